"""The generator's scenarios, and what it is told of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

from sgn_rt._optional import require
from sgn_rt.errors import EngineError

AT_ONCE: Final = 8
"""Windows of a query of the multi-stream scenario."""

_SHORT_S: Final = 2.0
_OFFICIAL_S: Final = 600.0
_OFFICIAL_QUERIES: Final = 662
"""Of the 99th percentile's early stopping."""


class Scenario(StrEnum):
    """MLPerf inference's, in the order in which they are run."""

    SINGLE_STREAM = "single-stream"
    MULTI_STREAM = "multi-stream"
    OFFLINE = "offline"
    SERVER = "server"

    @property
    def generators(self) -> str:
        """Its name in the generator."""
        return "".join(part.capitalize() for part in self.split("-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What an engine does about, as far as a warm-up can tell: a run is made as long by it.

    Attributes
    ----------
    rate
        Windows per second, as many side by side as the engine likes.
    latency_s
        Of one window alone.
    """

    rate: float
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the generator.

    Attributes
    ----------
    scenario
        Which one.
    pace
        Of the engine. Where it is far too slow, a run may end before its time, and is INVALID.
    official
        By MLPerf's own rules, 10 minutes or more; else long enough to be VALID, at the 90th
        percentile in every scenario.
    rate, bound_s
        Of the server scenario: windows per second, and the latency that its percentile may have.
    accuracy
        Write down the answers to every window once, instead of timing.
    """

    scenario: Scenario
    pace: Pace
    official: bool = False
    rate: float | None = None
    bound_s: float | None = None
    accuracy: bool = False

    @property
    def least_s(self) -> float:
        """Seconds that it is meant to last at least."""
        return _OFFICIAL_S if self.official else _SHORT_S

    @property
    def percentile(self) -> int:
        """Of latency, by which the generator judges."""
        return percentile(self.scenario, self.official)

    @property
    def expected_s(self) -> float:
        """Seconds that it takes at the engine's pace."""
        queries = max(self._queries, _OFFICIAL_QUERIES if self.official else 1)
        by_count = {
            Scenario.SINGLE_STREAM: queries * self.pace.latency_s,
            Scenario.MULTI_STREAM: queries * AT_ONCE / self.pace.rate,
            Scenario.OFFLINE: 2 * self.least_s,
            Scenario.SERVER: queries / (self.rate or self.pace.rate),
        }
        return max(self.least_s, by_count[self.scenario])

    @property
    def _queries(self) -> int:
        # Early stopping wants 64 at the 90th percentile, and more for each that is late.
        counts = {Scenario.OFFLINE: 1, Scenario.SERVER: 100}
        return counts.get(self.scenario, 64)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Self:
        """The run that `to_dict` told of."""
        named = {"scenario": Scenario(told["scenario"]), "pace": Pace(**told["pace"])}
        return cls(**(told | named))

    def settings(self) -> Any:
        """The generator's settings: MLPerf's own, and what differs from them.

        Raises
        ------
        DependencyError
            If the generator is not installed.
        EngineError
            If its rules cannot be had of it.
        """
        found = generator()
        made = found.TestSettings()
        name = self.scenario.generators
        if made.FromConfig("", "sgn-rt", name, 0) != 0:  # 0: its own mlperf.conf, not the user's
            raise EngineError(
                f"load generator: got no rules of MLPerf for {name}, expected its own mlperf.conf. "
                "Install another version of mlcommons-loadgen."
            )
        made.scenario = getattr(found.TestScenario, name)
        made.mode = found.TestMode.AccuracyOnly if self.accuracy else found.TestMode.PerformanceOnly
        if not self.official:
            made.min_duration_ms = round(1e3 * _SHORT_S)
            made.min_query_count = self._queries
            made.multi_stream_target_latency_percentile = self.percentile / 100
            made.server_target_latency_percentile = self.percentile / 100
        # It prepares so many queries, and runs out of them where the engine is faster.
        made.single_stream_expected_latency_ns = _ns(self.pace.latency_s / 4)
        made.multi_stream_expected_latency_ns = _ns(AT_ONCE / self.pace.rate / 4)
        made.multi_stream_samples_per_query = AT_ONCE
        made.offline_expected_qps = 1.5 * self.pace.rate
        if self.scenario is Scenario.SERVER:
            assert self.rate is not None
            assert self.bound_s is not None
            made.server_target_qps = self.rate
            made.server_target_latency_ns = _ns(self.bound_s)
        return made


def percentile(scenario: Scenario, official: bool) -> int:
    """Of latency, by which the generator judges a scenario."""
    return 99 if official and scenario is not Scenario.SINGLE_STREAM else 90


def _ns(seconds: float) -> int:
    return max(1, round(1e9 * seconds))


def generator() -> Any:
    """MLPerf's load generator.

    Raises
    ------
    DependencyError
        If it is not installed.
    """
    return require("mlperf_loadgen", extra="bench", purpose="MLPerf's load generator")
