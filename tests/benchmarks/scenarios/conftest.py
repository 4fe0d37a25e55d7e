"""Rows that are fakes, on a bundle of fakes."""

from __future__ import annotations

import pytest

from sgn_rt.benchmarks.harness import NO_WARMING
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.benchmarks.scenarios.setting import Setting
from sgn_rt.model.bundle import Bundle


@pytest.fixture
def setting(bundle_folder, tmp_path) -> Setting:
    return Setting(
        bundle=Bundle.open(bundle_folder), threads=2, folder=tmp_path, seconds=1.0, repeats=3,
        calls=3, starts=3, file_warming=NO_WARMING, call_warming=NO_WARMING, lengths_s=(1.0, 2.0),
    )  # fmt: skip


@pytest.fixture
def subject(fake_engine, config):
    """Builds a row by its name, which runs, or fails as it is told to."""

    def make(name, **options) -> Subject:
        return Subject(name=name, engine=fake_engine(config, name, **options))

    return make
