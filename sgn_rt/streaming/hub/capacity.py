"""What an engine holds: measured when a hub opens, and corrected by what is seen while it works."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from sgn_rt._types import Part
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.answers import Separates

CALLS: Final = 8
"""Timed of each thread at most, after one that is not: the first is half as slow again."""
MEASURE_S: Final = 0.5
"""No more of them begin after so long."""
LEVEL: Final = 0.1
"""Of the noise that is measured with: an engine's time does not depend on what it hears."""
WEIGHT: Final = 0.1
"""Of what is seen now, in the running means."""


class Capacity:
    """How long a full call takes, of any number of sources, where all threads are busy.

    Attributes
    ----------
    call_s
        Seconds of a call, running mean of the latest; 0 before the first.
    """

    def __init__(self) -> None:
        self._fixed_s = self._source_s = self.call_s = 0.0
        self._scale = 1.0

    def measure(self, engine: Separates, config: ModelConfig) -> None:
        """Have the engine work as it will: all its threads at a time, full batches, of noise.

        The median of calls counts: what else the machine does for a moment is no matter.

        Raises
        ------
        EngineError
            As `Separates.answer`.
        """
        known = len(config.categories)
        one = self._timed(engine, config, 1)
        most = self._timed(engine, config, known) if known > 1 else one
        self._source_s = max(0.0, (most - one) / max(1, known - 1))
        self._fixed_s = max(1e-9, one - self._source_s)
        self.call_s = self._cost_s(1.0)

    @staticmethod
    def _timed(engine: Separates, config: ModelConfig, sources: int) -> float:
        active = engine.active
        rng = np.random.default_rng(0)
        noise = LEVEL * rng.standard_normal((active.batch, config.window_samples))
        windows = list(noise.astype(np.float32))
        parts = [Part(0, config.window_samples)] * active.batch
        chosen = np.arange(sources)

        def call() -> float:
            start = time.perf_counter()
            engine.answer(windows, chosen, chosen, parts)
            return time.perf_counter() - start

        def calls(until_s: float) -> list[float]:
            times = [call()]
            while len(times) < CALLS and time.perf_counter() < until_s:
                times.append(call())
            return times

        count = active.concurrency
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(lambda _: call(), range(count)))
            found = list(threads.map(calls, [time.perf_counter() + MEASURE_S] * count))
        return float(np.median([time_s for times in found for time_s in times]))

    def _cost_s(self, sources: float) -> float:
        return self._scale * (self._fixed_s + self._source_s * sources)

    def observe(self, call_s: float, sources: int, *, is_full: bool) -> None:
        """A call has taken so long; ``is_full`` where it was, and all threads were busy."""
        self.call_s += (WEIGHT if self.call_s else 1.0) * (call_s - self.call_s)
        if not is_full or not call_s:
            return
        if not self._fixed_s:
            self._fixed_s = call_s  # nothing was measured: what a source costs is not known
        self._scale *= (call_s / self._cost_s(sources)) ** WEIGHT

    def doubt(self) -> None:
        """No call was made, as it would take too long: believe that less, so that it is tried."""
        self.call_s *= 1.0 - WEIGHT

    def windows_per_s(self, sources: float, concurrency: int, batch: int) -> float:
        """Windows of one channel that the engine answers; infinite before anything was seen."""
        cost_s = self._cost_s(sources)
        return concurrency * batch / cost_s if cost_s else float("inf")

    def load(self, demands: Sequence[tuple[float, int]], concurrency: int, batch: int) -> float:
        """Share of the engine's time that streams need: windows per second, sources of each."""
        return sum(rate / self.windows_per_s(n, concurrency, batch) for rate, n in demands)
