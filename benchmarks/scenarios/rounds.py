"""From things that are run in turn to figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sgn_rt.benchmarks.harness import Outcome, Tell, Warming, interleave
from sgn_rt.benchmarks.machine.energy import EnergyMeter, Metered
from sgn_rt.benchmarks.result import Figure, Network, median_interval

UNSETTLED = "still becoming faster when its warm-up ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that is run, and what its figure is of.

    Attributes
    ----------
    row, case, x
        As of `Figure`.
    run
        What is timed.
    windows
        That one run separates, for a throughput; None where the time itself is the figure.
    """

    row: str
    case: str
    run: Callable[[], object]
    x: float | None = None
    windows: int | None = None


def figure_of(
    values: Sequence[float], *, scenario: str, row: str, case: str, name: str, unit: str,
    network: Network = "published", higher: bool = False, x: float | None = None,
    note: str | None = None,
) -> Figure:  # fmt: skip
    """The median of some values, with the interval it lies in."""
    return Figure(
        scenario=scenario, row=row, case=case, name=name, unit=unit, network=network, x=x,
        better="higher" if higher else "lower", values=tuple(map(float, values)),
        value=float(np.median(values)), interval=median_interval(values), note=note,
    )  # fmt: skip


def failed(case: Case, scenario: str, network: Network, reason: str) -> Figure:
    """In the place of a figure: the error that came."""
    name, unit = ("time", "s") if case.windows is None else ("throughput", "windows/s")
    return Figure(
        scenario=scenario, row=case.row, case=case.case, x=case.x, name=name, unit=unit,
        better="lower" if case.windows is None else "higher", value=float("nan"),
        network=network, failure=reason,
    )  # fmt: skip


def in_turn(
    scenario: str,
    cases: Sequence[Case],
    *,
    network: Network,
    repeats: int,
    warming: Warming,
    seed: int,
    tell: Tell,
    between: Callable[[], object] = lambda: None,
    meter: EnergyMeter | None = None,
) -> list[Figure]:
    """Run cases in turn, as `interleave` does; figures of each, in the cases' order.

    Parameters
    ----------
    scenario, network
        Of the figures.
    cases
        What is run.
    repeats, warming, seed, tell, between
        As `interleave`'s.
    meter
        Of what each run takes of energy, where the machine tells; None to leave it out.
    """
    metered = {str(i): Metered(case.run, meter) for i, case in enumerate(cases)}
    outcome = interleave(
        metered, repeats=repeats, warming=warming, seed=seed, tell=tell, between=between
    )
    found: list[Figure] = []
    for key, case in zip(metered, cases, strict=True):
        if key in outcome.failures:
            found.append(failed(case, scenario, network, outcome.failures[key]))
            continue
        found.append(_figure(key, case, scenario, network, outcome))
        found += [
            figure_of(
                joules, scenario=scenario, row=case.row, case=case.case, x=case.x,
                name=f"energy ({source})", unit="J", network=network,
            )
            for source, joules in metered[key].joules(repeats).items()
        ]  # fmt: skip
    return found


def _figure(key: str, case: Case, scenario: str, network: Network, outcome: Outcome) -> Figure:
    seconds = outcome.seconds[key]
    note = UNSETTLED if key in outcome.unsettled else None
    if case.windows is None:
        return figure_of(
            seconds, scenario=scenario, row=case.row, case=case.case, x=case.x, name="time",
            unit="s", network=network, note=note,
        )  # fmt: skip
    return figure_of(
        [case.windows / each for each in seconds], scenario=scenario, row=case.row, case=case.case,
        x=case.x, name="throughput", unit="windows/s", network=network, note=note, higher=True,
    )  # fmt: skip
