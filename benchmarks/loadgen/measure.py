"""The four scenarios of every row, in turn, as figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from sgn_rt.benchmarks.harness import Tell, orders
from sgn_rt.benchmarks.loadgen.logs import Outcome
from sgn_rt.benchmarks.loadgen.process import Child
from sgn_rt.benchmarks.loadgen.row import Row
from sgn_rt.benchmarks.loadgen.scenario import Scenario, generator, percentile
from sgn_rt.benchmarks.result import Better, Figure, Network, median_interval
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.model.bundle import Bundle

BOUND: Final = 5.0
"""The server scenario's latency bound, of the fastest row's latency with a single stream."""

_LATENCY: Final[tuple[str, str, Better]] = ("latency", "s", "lower")
_FIGURES: Final[dict[Scenario, tuple[str, str, Better]]] = {
    Scenario.SINGLE_STREAM: _LATENCY,
    Scenario.MULTI_STREAM: _LATENCY,
    Scenario.OFFLINE: ("throughput", "windows/s", "higher"),
    Scenario.SERVER: ("rate", "windows/s", "higher"),
}


class Where(Protocol):
    """What a benchmark's setting has that is of use here."""

    @property
    def bundle(self) -> Bundle:
        """The model."""

    @property
    def threads(self) -> int:
        """Processors to use."""

    @property
    def folder(self) -> Path:
        """For everything that is written."""

    @property
    def devices(self) -> tuple[int, ...] | None:
        """Numbers of the GPUs that a GPU's engines run on; None for the one in use."""


def measure(
    subjects: Iterable[Subject | str],
    setting: Where,
    *,
    scenarios: Iterable[Scenario | str] = tuple(Scenario),
    official: bool = False,
    rounds: int = 3,
    categories: Sequence[str] | None = None,
    network: Network = "published",
    bound_s: float | None = None,
    out: Path | None = None,
    tell: Tell | None = None,
    seed: int = 0,
) -> list[Figure]:
    """Put rows to MLPerf's load generator.

    Each row has a process of its own, in which it is opened anew, proved by the bundle's probes and
    warmed. All stay open, and run in turn: there has to be memory for all of them at once.

    Parameters
    ----------
    subjects
        Rows; those that have failed already have no figures.
    setting
        Where it is done.
    scenarios
        Which are wanted.
    official
        By MLPerf's own rules, 10 minutes or more a run; else as short as a VALID run can be.
    rounds
        Runs of each scenario and row; their median is the figure. The server scenario is a search,
        of several runs, and done once.
    categories
        Names of those whose sources are made; None for all.
    network
        Which one the bundle has, for the figures.
    bound_s
        Latency bound of the server scenario, for all rows; None for `BOUND` times the least 90th
        percentile of single-stream latency among them.
    out
        Folder that keeps the generator's own files, as ``NETWORK/ROW/SCENARIO/ROUND``, of the
        server scenario ``ROUND/STEP``. None to drop them.
    tell
        Told how much is done.
    seed
        Of the order of rows.

    Returns
    -------
    list
        Of each scenario and row one. ``valid`` is the generator's word over all rounds; what came
        to nothing has a ``failure``.

    Raises
    ------
    DependencyError
        If the generator is not installed.
    """
    generator()
    wanted = {Scenario(each) for each in scenarios}
    bounded = Scenario.SERVER not in wanted or bound_s is not None
    needed = wanted if bounded else {*wanted, Scenario.SINGLE_STREAM}
    start = partial(
        Child, bundle=setting.bundle.root, threads=setting.threads, folder=setting.folder,
        devices=setting.devices, categories=categories or setting.bundle.config.categories,
    )  # fmt: skip
    folder = (setting.folder / "loadgen" if out is None else out) / network
    rows = {
        name: Row(name=name, start=partial(start, name), folder=folder, official=official)
        for name in _names(subjects)
    }
    plan = [
        (scenario, turn, name)
        for scenario in Scenario
        if scenario in needed
        for turn, order in enumerate(orders(list(rows), _rounds(scenario, rounds), seed))
        for name in order
    ]
    with ExitStack() as stack:
        for row in rows.values():
            stack.callback(row.close)
            failure = row.open()
            if failure is not None:
                row.failed = dict.fromkeys(Scenario, failure)
        for done, (scenario, turn, name) in enumerate(plan, start=1):
            if scenario is Scenario.SERVER and bound_s is None:
                bound_s = _bound(rows.values())
            rows[name].run(scenario, turn, bound_s)
            if tell is not None:
                tell(done / len(plan))
    blank = Figure(
        scenario="", row="", name="", unit="", better="higher", value=math.nan, network=network,
        case="" if categories is None else f"{len(categories)} named",
    )  # fmt: skip
    return [
        _figure(blank, scenario, row)
        for scenario in Scenario
        if scenario in wanted
        for row in rows.values()
    ]


def _rounds(scenario: Scenario, rounds: int) -> int:
    return 1 if scenario is Scenario.SERVER else rounds


def _names(subjects: Iterable[Subject | str]) -> list[str]:
    return [
        each if isinstance(each, str) else each.name
        for each in subjects
        if isinstance(each, str) or each.engine is not None
    ]


def _bound(rows: Iterable[Row]) -> float | None:
    """Latency bound, seconds, to two digits; None where nothing is left that it would be of."""
    latencies = [
        np.median([each.outcome.percentiles["p90"] for each in row.found[Scenario.SINGLE_STREAM]])
        for row in rows
        if Scenario.SINGLE_STREAM not in row.failed
    ]
    return float(f"{BOUND * min(latencies):.1e}") if latencies else None


def _figure(blank: Figure, scenario: Scenario, row: Row) -> Figure:
    name, unit, better = _FIGURES[scenario]
    named = replace(
        blank, scenario=str(scenario), row=row.name, name=name, unit=unit, better=better
    )
    failure = row.failed.get(scenario)
    if failure is not None:
        return replace(named, failure=failure)
    found = row.found[scenario]
    outcomes = [each.outcome for each in found]
    judged = f"p{percentile(scenario, row.official)}"
    values = [each.percentiles[judged] if each.rate is None else each.rate for each in outcomes]
    return replace(
        named,
        value=float(np.median(values)),
        values=tuple(values),
        interval=median_interval(values),
        # Offline all is asked for at once: how late an answer is, the length of the queue tells.
        percentiles=None if scenario is Scenario.OFFLINE else _percentiles(outcomes),
        valid=all(each.valid for each in outcomes),
        note="; ".join(dict.fromkeys(each.note for each in found)),
    )


def _percentiles(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        name: float(np.median([outcome.percentiles[name] for outcome in outcomes]))
        for name in outcomes[0].percentiles
    }
