"""What is run of a row in each scenario."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sgn_rt.benchmarks.loadgen.logs import Outcome
from sgn_rt.benchmarks.loadgen.process import Child
from sgn_rt.benchmarks.loadgen.scenario import AT_ONCE, Run, Scenario
from sgn_rt.errors import SgnError

STEPS: Final = 5
"""Rates that the server scenario tries."""
RATES: Final = (0.125, 1.25)
"""Between which, as parts of the pace."""


@dataclass(frozen=True, slots=True)
class Found:
    """A run's outcome, and what the reader should know of it."""

    outcome: Outcome
    note: str


@dataclass(slots=True, kw_only=True)
class Row:
    """A row, in a process of its own, and what has been found of it.

    Attributes
    ----------
    name
        Of the row.
    start
        Opens it in a process.
    folder
        For the generator's files.
    official
        As `Run`.
    failed, found
        Scenario -> its first error, or its runs.
    """

    name: str
    start: Callable[[], Child]
    folder: Path
    official: bool
    failed: dict[Scenario, str] = field(default_factory=dict)
    found: dict[Scenario, list[Found]] = field(default_factory=dict)
    _child: Child | None = None

    def open(self) -> str | None:
        """Start its process where it has none; why it cannot be."""
        try:
            if self._child is None:
                self._child = self.start()
        except SgnError as error:
            return str(error)
        return None

    def close(self) -> None:
        """End its process."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def run(self, scenario: Scenario, turn: int, bound_s: float | None) -> None:
        """One more round of a scenario, unless one has failed; the bound is the server's."""
        if scenario is Scenario.SERVER and bound_s is None:
            # No row has a single-stream latency that it would be a multiple of, nor has this one.
            self.failed[scenario] = self.failed[Scenario.SINGLE_STREAM]
        if scenario in self.failed:
            return
        try:
            found = self._round(scenario, f"{turn}", bound_s)
        except SgnError as error:
            self.failed[scenario] = str(error)
            self.close()  # it has failed, or hangs
        else:
            self.found.setdefault(scenario, []).append(found)

    def _round(self, scenario: Scenario, turn: str, bound_s: float | None) -> Found:
        if self._child is None:
            self._child = self.start()
        run = Run(scenario=scenario, pace=self._child.pace, official=self.official)
        if scenario is Scenario.SERVER:
            return self._server(self._child, replace(run, bound_s=bound_s), turn)
        outcome = self._child.run(run, self._place(run, turn))
        if not outcome.valid and outcome.rate is not None:
            # It was slower when it was warmed: the generator has to be told what it expects.
            faster = max(run.pace.rate, outcome.rate)
            run = replace(run, pace=replace(run.pace, rate=faster))
            outcome = self._child.run(run, self._place(run, turn))
        notes = {
            Scenario.SINGLE_STREAM: f"90th percentile of {_seconds(run)}",
            Scenario.MULTI_STREAM: f"{run.percentile}th percentile of queries of {AT_ONCE} "
            f"windows, {_seconds(run)}",
            Scenario.OFFLINE: f"all windows asked for at once, {_seconds(run)}",
        }
        return Found(outcome, _told(notes[scenario], outcome))

    def _server(self, child: Child, run: Run, turn: str) -> Found:
        """The largest rate within the bound, by bisection."""
        low, high = (part * run.pace.rate for part in RATES)
        best: Outcome | None = None
        for step in range(STEPS):
            rate = (low + high) / 2
            tried = replace(run, rate=rate)
            outcome = child.run(tried, self._place(run, turn) / f"{step}")
            if outcome.valid:
                best, low = outcome, rate
            else:
                last, high = outcome, rate
        assert run.bound_s is not None
        note = (
            f"{run.percentile}th percentile within {run.bound_s:.3g} s, of {STEPS} rates "
            f"by bisection, {_seconds(run)} each"
        )
        if best is not None:
            return Found(best, note)
        return Found(last, _told(f"{note}; the lowest was {rate:.3g}/s", last))

    def _place(self, run: Run, turn: str) -> Path:
        return self.folder / re.sub(r"[^\w.+-]", "_", self.name) / run.scenario / turn


def _seconds(run: Run) -> str:
    return f"at least {run.least_s:.0f} s"


def _told(note: str, outcome: Outcome) -> str:
    return note if outcome.valid else f"{note}; INVALID: {outcome.words}"
