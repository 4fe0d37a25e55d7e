"""Timing side by side: interleaved rounds, warm-up, and ratios of runs that lay next to each other.

A machine's speed drifts with its clock, its heat and its other users. What is compared is therefore
run in turn, in an order that changes from round to round, and ratios are taken within each round:
what slows a whole round down cancels out of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rounds gave.

    Attributes
    ----------
    seconds
        Name -> seconds of each round, in the rounds' order; only of what never failed.
    failures
        Name -> the error of what did; it is not run again.
    """

    seconds: dict[str, list[float]]
    failures: dict[str, str]


def orders(names: Sequence[str], rounds: int, seed: int) -> Iterator[list[str]]:
    """An order for each round: shuffled once, then each order and its reverse, rotated by one.

    In every two rounds each name is as much late as early; in twice as many rounds as there are
    names it has had every place, and both neighbours.
    """
    base = list(names)
    random.Random(seed).shuffle(base)
    for turn in range(rounds):
        at = turn // 2 % max(len(base), 1)
        rotated = base[at:] + base[:at]
        yield rotated[::-1] if turn % 2 else rotated


def interleave(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warm_up: int = 1,
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
    repeats, warm_up
        Rounds that are kept, and rounds before them that are not.
    seed
        Of the order.
    between
        Called after every run, untimed: to clean up.
    clock
        Seconds, monotonic.
    tell
        For the progress.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    failures: dict[str, str] = {}
    total = (warm_up + repeats) * len(runs)
    done = 0
    for turn, order in enumerate(orders(list(runs), warm_up + repeats, seed)):
        for name in order:
            done += 1
            if name in failures:
                continue
            try:
                start = clock()
                runs[name]()
                elapsed = clock() - start
            except SgnError as error:
                failures[name] = str(error)
                del seconds[name]
                continue
            finally:
                between()
            if turn >= warm_up:
                seconds[name].append(elapsed)
            if tell is not None:
                tell(done / total)
    return Outcome(seconds, failures)
