"""MLPerf's scenarios, by its own load generator: as figures like all others."""

from __future__ import annotations

from collections.abc import Sequence

from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.loadgen.measure import measure
from sgn_rt.benchmarks.loadgen.scenario import Scenario
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.benchmarks.scenarios.setting import Setting, engines_of
from sgn_rt.errors import DependencyError

NAMES = tuple(map(str, Scenario))


def run(
    names: Sequence[str], subjects: Sequence[Subject], setting: Setting, *, tell: Tell
) -> list[Figure]:
    """All of some scenarios, as rows stay open from one to the next.

    Where the generator is not installed each figure is the command that installs it.
    """
    try:
        return measure(
            subjects, setting, scenarios=names, official=setting.official, rounds=setting.rounds,
            network=setting.network, out=setting.keep, seed=setting.seed, tell=tell,
        )  # fmt: skip
    except DependencyError as error:
        reason = str(error)
    return [
        Figure(
            scenario=name, row=row, network=setting.network, name="throughput", unit="windows/s",
            better="higher", value=float("nan"), failure=reason,
        )
        for name in names
        for row in engines_of(subjects)
    ]  # fmt: skip
