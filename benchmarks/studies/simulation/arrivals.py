"""When windows of live streams come: each at its own pace from its own moment on, with jitter."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 0
OPEN: Final = 1
CLOSE: Final = 2


class Events(NamedTuple):
    """What happens, in the order of time: when, to which stream, and what."""

    times: NDArray[np.float64]
    streams: NDArray[np.int64]
    what: NDArray[np.int8]


Floats: TypeAlias = NDArray[np.float64]


def windows_of(
    steps_s: Floats,
    seconds: float,
    rng: np.random.Generator,
    *,
    jitter_s: float,
    begin_s: Floats | None = None,
    end_s: Floats | None = None,
    at_once: NDArray[np.int64] | None = None,
) -> Events:
    """Windows of streams over some seconds.

    Parameters
    ----------
    steps_s
        Of each stream, from one window to the next.
    seconds
        From 0 on.
    rng
        For the moments at which streams begin within a step, and the jitter.
    jitter_s
        Mean of what a window's last block comes late (exponential); windows keep their order.
    begin_s, end_s
        Of each stream; from before 0 until after the end where they are not given.
    at_once
        How many windows each stream brings where one is due: more than one is a flood.
    """
    count = len(steps_s)
    begin = np.zeros(count) if begin_s is None else begin_s
    end = np.full(count, np.inf) if end_s is None else end_s
    first = begin + rng.random(count) * steps_s
    number = np.maximum(0, np.ceil((np.minimum(end, seconds) - first) / steps_s)).astype(np.int64)
    streams = np.repeat(np.arange(count), number)
    turn = np.arange(len(streams)) - np.repeat(np.cumsum(number) - number, number)
    times = first[streams] + turn * steps_s[streams]
    times += rng.exponential(jitter_s, len(times)) if jitter_s else 0.0
    # What comes late holds up what follows of the same stream: the largest so far.
    offset = 2.0 * (seconds + times.max(initial=0.0))
    times = np.maximum.accumulate(times + streams * offset) - streams * offset
    if at_once is not None:
        times, streams = (np.repeat(each, at_once[streams]) for each in (times, streams))
    what = np.full(len(times), WINDOW, np.int8)
    everyone = np.arange(count)
    closing = everyone[end < seconds]
    times = np.concatenate((begin, times, end[closing]))
    streams = np.concatenate((everyone, streams, closing))
    what = np.concatenate(
        (np.full(count, OPEN, np.int8), what, np.full(len(closing), CLOSE, np.int8))
    )
    order = np.lexsort((_RANK[what], times))
    return Events(times[order], streams[order], what[order])


_RANK: Final = np.array([1, 0, 2])
"""Of what happens at the same moment: a stream opens, brings windows, closes."""
