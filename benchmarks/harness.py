"""Timing side by side: interleaved rounds, warmed until stable, and ratios of neighbouring runs.

A machine's speed drifts with its clock, its heat and its other users. What is compared is therefore
run in turn, in an order that changes from round to round, and ratios are taken within each round:
what slows a whole round down cancels out of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, islice

import numpy as np

from sgn_rt.errors import SgnError

Clock = Callable[[], float]
Tell = Callable[[float], None]
"""Told how much is done, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Figures of repeated runs, all in the unit of the runs.

    Attributes
    ----------
    count
        Number of runs.
    median, p95
        Percentiles, linearly interpolated.
    least, most
        The extremes.
    """

    count: int
    median: float
    p95: float
    least: float
    most: float

    def to_dict(self) -> dict[str, float]:
        """As JSON types."""
        return asdict(self)


def summarize(values: Sequence[float]) -> Summary:
    """Figures of one or more values."""
    return Summary(
        count=len(values),
        median=float(np.median(values)),
        p95=float(np.percentile(values, 95)),
        least=min(values),
        most=max(values),
    )


def ratios(times: Sequence[float], reference: Sequence[float]) -> list[float]:
    """How many times faster than the reference, round by round."""
    return [r / t for t, r in zip(times, reference, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warming:
    """When something counts as warm: once its times no longer fall.

    Attributes
    ----------
    few
        Runs whose median is compared with that of as many before them.
    tolerance
        What it may fall by all the same, as a share.
    most
        Runs after which it is taken as it is.
    """

    few: int = 3
    tolerance: float = 0.02
    most: int = 30

    @property
    def tells(self) -> bool:
        """Whether it is long enough to say that something is not warm yet."""
        return self.most >= 2 * self.few

    def is_warm(self, times: Sequence[float]) -> bool:
        """Of all runs so far."""
        if len(times) < 2 * self.few:
            return False
        before, latest = times[-2 * self.few : -self.few], times[-self.few :]
        return float(np.median(latest)) >= (1.0 - self.tolerance) * float(np.median(before))


NO_WARMING = Warming(most=0)
CALLS = Warming()
LONG_RUNS = Warming(few=1, most=4)
"""For what takes seconds: warm at the first run that is no faster than the one before."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rounds gave.

    Attributes
    ----------
    seconds
        Name -> seconds of each round, in the rounds' order; only of what never failed.
    failures
        Name -> the error of what did; it is not run again.
    unsettled
        What was still becoming faster when its warm-up ended.
    """

    seconds: dict[str, list[float]]
    failures: dict[str, str]
    unsettled: frozenset[str] = field(default=frozenset())


def orders(names: Sequence[str], rounds: int, seed: int) -> Iterator[list[str]]:
    """An order for each round: shuffled once, then each order and its reverse, rotated by one.

    In every two rounds each name is as much late as early; in twice as many rounds as there are
    names it has had every place, and both neighbours.
    """
    return islice(_orders(names, seed), rounds)


def _orders(names: Sequence[str], seed: int) -> Iterator[list[str]]:
    base = list(names)
    random.Random(seed).shuffle(base)
    for turn in count():
        at = turn // 2 % max(len(base), 1)
        rotated = base[at:] + base[:at]
        yield rotated[::-1] if turn % 2 else rotated


def interleave(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warming: Warming = LONG_RUNS,
    seed: int = 0,
    between: Callable[[], object] = lambda: None,
    clock: Clock = time.perf_counter,
    tell: Tell | None = None,
) -> Outcome:
    """Time several things in turn.

    Parameters
    ----------
    runs
        Name -> what is timed.
    repeats
        Rounds that are kept.
    warming
        Rounds before them, which are not: until everything is warm.
    seed
        Of the order.
    between
        Called after every run, untimed: to clean up.
    clock
        Seconds, monotonic.
    tell
        For the progress.
    """
    failures: dict[str, str] = {}
    order = _orders(list(runs), seed)

    def one_round(times: dict[str, list[float]], begin: float, share: float) -> None:
        for place, name in enumerate(next(order), 1):
            if name not in failures:
                try:
                    start = clock()
                    runs[name]()
                    times[name].append(clock() - start)
                except SgnError as error:
                    failures[name] = str(error)
                finally:
                    between()
            if tell is not None:
                tell(begin + share * place / len(runs))

    rounds = warming.most + repeats
    warm_up: dict[str, list[float]] = {name: [] for name in runs}
    cold = set(runs)
    for turn in range(warming.most):
        if not cold:
            break
        one_round(warm_up, turn / rounds, 1 / rounds)
        cold -= {name for name in cold if name in failures or warming.is_warm(warm_up[name])}
    begin = warming.most / rounds if rounds else 0.0
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats):
        one_round(seconds, begin + turn / rounds, 1 / rounds)
    kept = {name: times for name, times in seconds.items() if name not in failures}
    unsettled = frozenset(cold - set(failures)) if warming.tells else frozenset()
    return Outcome(kept, failures, unsettled)
