"""``files``: a file to stems on disk, by an engine that is warm and by a process from nothing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.machine.energy import EnergyMeter
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.subjects import Subject, separator
from sgn_rt.benchmarks.scenarios import isolated
from sgn_rt.benchmarks.scenarios.rounds import Case, in_turn
from sgn_rt.benchmarks.scenarios.setting import Setting, engines_of

NAME: Final = "files"
WARM_SHARE: Final = 0.6
"""Of the progress, about."""


def run(subjects: Sequence[Subject], setting: Setting, *, tell: Tell) -> list[Figure]:
    """Time and energy of warm runs; time and peak memory of cold ones."""
    warm = _warm(subjects, setting, lambda done: tell(WARM_SHARE * done))
    cold = _cold(subjects, setting, lambda done: tell(WARM_SHARE + (1 - WARM_SHARE) * done))
    return warm + cold


def _warm(subjects: Sequence[Subject], setting: Setting, tell: Tell) -> list[Figure]:
    out = setting.folder / "stems"
    recording = setting.recording()
    with ExitStack() as stack:
        cases = []
        for row, engine in engines_of(subjects).items():
            opened = stack.enter_context(separator(engine, setting.bundle, setting.threads))
            cases += [
                Case(
                    row=row, case=f"{choice}, warm",
                    run=partial(opened.separate_to, recording, out, names),
                )
                for choice, names in setting.chosen().items()
            ]  # fmt: skip
        meter = stack.enter_context(EnergyMeter.here())
        return in_turn(
            NAME, cases, network=setting.network, repeats=setting.repeats,
            warming=setting.file_warming, seed=setting.seed, tell=tell, meter=meter,
            between=partial(shutil.rmtree, out, ignore_errors=True),
        )  # fmt: skip


def _cold(subjects: Sequence[Subject], setting: Setting, tell: Tell) -> list[Figure]:
    cases = [
        isolated.Case(subject=subject, case=f"{choice}, cold", categories=names,
                      recording=setting.recording(), total=True)
        for subject in subjects if subject.engine is not None
        for choice, names in setting.chosen().items() if choice in setting.cold
    ]  # fmt: skip
    return isolated.figures(NAME, cases, setting, repeats=setting.starts, tell=tell)
