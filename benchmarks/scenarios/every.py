"""Every scenario by its name: MLPerf's four, and ours on top."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from sgn_rt.benchmarks.harness import Tell
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


def run(
    names: Sequence[str], subjects: Sequence[Subject], setting: Setting, step: Step
) -> Iterator[list[Figure]]:
    """Figures of some scenarios, or of all where none is named, as they come."""
    wanted = [name for name in NAMES if name in names or not names]
    ours = [name for name in wanted if name in OURS]
    theirs = [name for name in wanted if name not in OURS]
    if theirs:
        with step(f"{', '.join(theirs)} ({setting.network})") as tell:
            yield generated.run(theirs, subjects, setting, tell=tell)
    for name in ours:
        with step(f"{name} ({setting.network})") as tell:
            yield OURS[name](subjects, setting, tell=tell)
    if sources.NAME in ours and setting.categories and setting.network == "published":
        with step(f"{sources.NAME} ({setting.categories} categories)") as tell:
            yield many.run(subjects, setting, tell=tell)
