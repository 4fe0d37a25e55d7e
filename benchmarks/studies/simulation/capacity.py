"""How many streams one engine holds, and how late they are at any share of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt.benchmarks.studies.simulation.arrivals import windows_of
from sgn_rt.benchmarks.studies.simulation.one_gpu import Figures, OneGpu
from sgn_rt.benchmarks.studies.simulation.service import Gpu, GpuModel, Kind

EDGES_S: Final = np.concatenate(([0.0], np.geomspace(1e-5, 1e3, 321)))
"""Edges of the bins in which lateness is counted: 6 % apart."""

PRECISION: Final = 0.01
"""Of a number of streams that is searched for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Choices of a run.

    Attributes
    ----------
    deadline_s
        How late the 99th percentile may be.
    seconds
        Simulated, at least; two steps where these are longer. The first half does not count.
    jitter_s
        Mean of what a block comes late.
    seed
        Of the moments at which streams begin, and the jitter.
    """

    deadline_s: float = 0.2
    seconds: float = 6.0
    jitter_s: float = 0.01
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a number of streams came to.

    Attributes
    ----------
    streams
        How many.
    p50_s, p99_s
        Lateness.
    mean_batch
        Windows in a call.
    busy
        Share of the time in which kernels ran.
    histogram
        Windows by lateness, in bins of `EDGES_S`.
    """

    streams: int
    p50_s: float
    p99_s: float
    mean_batch: float
    busy: float
    histogram: NDArray[np.int64]

    @classmethod
    def of(cls, streams: int, figures: Figures, busy: float, since_s: float, end_s: float) -> Held:
        """Of the windows that were ready in a span of time."""
        late = figures.late(since_s, end_s)
        if not len(late):
            late = np.zeros(1)
        p50, p99 = np.percentile(late, [50, 99]).tolist()
        return cls(
            streams=streams,
            p50_s=p50,
            p99_s=p99,
            mean_batch=figures.mean_batch,
            busy=min(1.0, busy),
            histogram=np.histogram(late, EDGES_S)[0],
        )


def hold(model: GpuModel, kind: Kind, streams: int, trial: Trial) -> Held:
    """Give one GPU so many streams of a kind, for a while."""
    seconds = max(trial.seconds, 2.0 * kind.step_s)
    rng = np.random.default_rng(trial.seed)
    events = windows_of(np.full(streams, kind.step_s), seconds, rng, jitter_s=trial.jitter_s)
    gpu = OneGpu(Gpu(model), [kind], [0] * streams)
    gpu.advance(events)
    busy = gpu.service.busy_s / seconds
    gpu.drain()
    return Held.of(streams, gpu.figures, busy, seconds / 2, seconds)


def most_carried(model: GpuModel, kind: Kind) -> int:
    """Streams whose windows full calls alone could carry, however late."""
    return max(1, int(model.most_windows(kind.cost) * kind.step_s))


def most_streams(model: GpuModel, kind: Kind, trial: Trial) -> Held:
    """The largest number of streams whose 99th percentile of lateness is below the deadline.

    By bisection to `PRECISION` below what full calls alone could carry: no more can be held.
    """
    ceiling = most_carried(model, kind)
    floor, best = 0, None
    middle = ceiling  # most hold nearly all that full calls carry: look there first
    while ceiling - floor > max(1, PRECISION * ceiling):
        held = hold(model, kind, max(1, middle), trial)
        if held.p99_s < trial.deadline_s:
            floor, best = middle, held
        else:
            ceiling = middle
        middle = (floor + ceiling) // 2 if floor else int(0.9 * ceiling)
    return best or hold(model, kind, max(1, floor), trial)


class LatenessCurve:
    """How late streams are on an engine, by how many of those that it holds there are.

    The reduction of a GPU to what a fleet needs to know of it: measured in the simulation window by
    window at a few loads, interpolated between them.

    Parameters
    ----------
    held
        At rising loads.
    most
        Streams that count as a load of 1.

    Attributes
    ----------
    held, most
        As given.
    loads
        Shares of ``most``.
    """

    def __init__(self, held: Sequence[Held], most: int) -> None:
        self.most, self.held = most, held
        self.loads = np.array([each.streams / most for each in held])
        total = np.stack([each.histogram for each in held]).astype(np.float64)
        self._shares = total / total.sum(axis=1, keepdims=True)

    @classmethod
    def measure(
        cls, model: GpuModel, kind: Kind, most: int, trial: Trial, loads: Sequence[float]
    ) -> LatenessCurve:
        """Run the simulation at some loads."""
        return cls([hold(model, kind, max(1, round(most * x)), trial) for x in loads], most)

    def weights(self, streams: NDArray[np.int64]) -> NDArray[np.float64]:
        """Stream-ticks at every load that was measured, of GPUs with so many streams each."""
        load = np.clip(streams / self.most, self.loads[0], self.loads[-1])
        above = np.clip(np.searchsorted(self.loads, load), 1, len(self.loads) - 1)
        share = (load - self.loads[above - 1]) / (self.loads[above] - self.loads[above - 1])
        found = np.zeros(len(self.loads))
        found += np.bincount(above, streams * share, len(found))
        found += np.bincount(above - 1, streams * (1 - share), len(found))
        return found

    def percentile(self, weights: NDArray[np.float64], percent: float) -> float:
        """Of the lateness of all windows, seconds: the upper edge of the bin."""
        shares = np.cumsum(weights @ self._shares)
        at = int(np.searchsorted(shares, percent / 100 * shares[-1]))
        return float(EDGES_S[at + 1])
