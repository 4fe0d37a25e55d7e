"""``length``: time and peak memory by the length of the recording, each in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.benchmarks.scenarios import isolated
from sgn_rt.benchmarks.scenarios.setting import Setting

NAME: Final = "length"
LONG_S: Final = 60.0
"""Seconds of sound from which a recording is separated once in a run: it is its own repetition."""


def run(subjects: Sequence[Subject], setting: Setting, *, tell: Tell) -> list[Figure]:
    """Time from the open engine to the stems, and peak memory; all categories named."""
    found: list[Figure] = []
    total = sum(setting.lengths_s)
    done = 0.0
    for seconds in setting.lengths_s:
        everything = list(setting.bundle.config.categories)
        cases = [
            isolated.Case(
                subject=subject, case=f"{seconds:g} s", x=seconds, categories=everything,
                recording=setting.recording(seconds), total=False,
            )
            for subject in subjects if subject.engine is not None
        ]  # fmt: skip
        told = partial(_part, tell, done / total, seconds / total)
        found += isolated.figures(
            NAME, cases, setting, repeats=1 if seconds >= LONG_S else setting.starts,
            tell=told,
        )  # fmt: skip
        done += seconds
    return found


def _part(tell: Tell, begin: float, share: float, done: float) -> None:
    tell(begin + share * done)
