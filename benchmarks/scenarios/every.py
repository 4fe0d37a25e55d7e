"""Every scenario by its name, MLPerf's four and ours on top, and what a pass through them is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final, Protocol

from sgn_rt.benchmarks.harness import Tell, Warming
from sgn_rt.benchmarks.loadgen.scenario import Scenario as Generated
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.benchmarks.scenarios import batch, files, generated, length, many, sources, streams
from sgn_rt.benchmarks.scenarios.setting import Setting

Step = Callable[[str], AbstractContextManager[Tell]]
"""Called with what comes next; gives a function that is told how much of it is done."""


class Scenario(Protocol):
    """What ``run`` of each of ours is."""

    def __call__(
        self, subjects: Sequence[Subject], setting: Setting, *, tell: Tell
    ) -> list[Figure]: ...


OURS: Final[Mapping[str, Scenario]] = {
    module.NAME: module.run for module in (files, streams, length, sources, batch)
}
NAMES: Final = (*generated.NAMES, *OURS)
"""Of every scenario, in the order in which they are run."""
QUICK: Final = (str(Generated.SINGLE_STREAM), *OURS)
"""What is run where only that everything runs is to be shown."""
ONCE: Final = (str(Generated.SERVER), streams.NAME)
"""Searches of many runs, which only the first pass does."""
STILL_WARM: Final = Warming(few=1, most=1)
"""In a later pass: what has lain still meanwhile runs once before it is timed."""


def run(
    names: Sequence[str],
    subjects: Sequence[Subject],
    setting: Setting,
    step: Step,
    turn: int = 0,
    passes: int = 1,
) -> Iterator[list[Figure]]:
    """Figures of one pass, as they come: of some scenarios, or of all where none is named.

    Passes differ in the order of rows. A later one leaves out what is done `ONCE`, and recordings
    so long that one takes the place of several.
    """
    where = f"{setting.network}, pass {turn + 1} of {passes}" if passes > 1 else setting.network
    wanted = [name for name in NAMES if name in names or not names]
    keep = setting.keep or setting.folder / "loadgen"
    setting = replace(setting, seed=setting.seed + turn, keep=keep / f"{turn}")
    if turn:
        wanted = [name for name in wanted if name not in ONCE]
        setting = replace(
            setting, file_warming=STILL_WARM, call_warming=STILL_WARM,
            lengths_s=tuple(s for s in setting.lengths_s if s < length.LONG_S),
        )  # fmt: skip
    ours = [name for name in wanted if name in OURS]
    theirs = [name for name in wanted if name not in OURS]
    if theirs:
        with step(f"{', '.join(theirs)} ({where})") as tell:
            yield generated.run(theirs, subjects, setting, tell=tell)
    for name in ours:
        with step(f"{name} ({where})") as tell:
            yield OURS[name](subjects, setting, tell=tell)
    if sources.NAME in ours and setting.categories and setting.network == "published":
        with step(f"{sources.NAME} of {setting.categories} ({where})") as tell:
            yield many.run(subjects, setting, tell=tell)
