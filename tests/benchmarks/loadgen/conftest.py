"""A small model on the disk, and a short way to run an engine of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from sgn_rt.model.bundle import Bundle

SMALL = Path(__file__).parents[2] / "data" / "bundle_schema1"
"""Windows of 1016 samples at 8 kHz, two categories, random weights."""


@pytest.fixture(scope="session", autouse=True)
def _installed():
    pytest.importorskip("mlperf_loadgen")


@pytest.fixture
def setting(tmp_path):
    """The part of a benchmark's setting that is looked at."""
    pytest.importorskip("onnxruntime")
    return SimpleNamespace(bundle=Bundle.open(SMALL), threads=2, folder=tmp_path, devices=None)
