"""What a hub has done so far, in figures."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

LATEST: Final = 4096
"""Windows over which percentiles are taken."""
SHARES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDone:
    """A call of the engine that has come back.

    Attributes
    ----------
    windows, streams
        Of one channel each; and how many streams they were of.
    queue_s
        How long each had waited.
    compute_s
        How long the call took.
    engine
        That answered.
    late
        Windows that were due before it came back, by more than the hub's deadline.
    """

    windows: int
    streams: int
    queue_s: tuple[float, ...]
    compute_s: float
    engine: str
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HubStats:
    """A hub's figures: counts since it opened, percentiles over its latest windows, seconds.

    Attributes
    ----------
    streams, waiting
        Open now; windows that wait now.
    windows, batches
        Windows added to streams, all channels of one together; calls of the engine.
    late
        Windows that came later than the deadline allows.
    passed
        Windows that no network has heard, as they would have been late.
    refused, raised
        Streams that were not opened; that were given an OverloadError.
    longer_steps
        Windows of a longer step than their stream's own.
    queue_s, lateness_s
        From ready to the engine; from due to done: 0.5, 0.9, 0.99 and 1 of windows, by name.
    capacity
        Windows of one channel per second that the engine holds with the sources that are asked for
        now; None where nothing is known yet.
    load
        Share of it that the open streams need.
    engine, replacements
        In service; and what was said of those that no longer are.
    given_up
        Calls that hung.
    """

    streams: int
    waiting: int
    windows: int
    batches: int
    late: int
    passed: int
    refused: int
    raised: int
    longer_steps: int
    queue_s: dict[str, float]
    lateness_s: dict[str, float]
    capacity: float | None
    load: float
    engine: str
    replacements: tuple[str, ...]
    given_up: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "replacements": list(self.replacements)}


class Tally:
    """Counts what happens; shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self._queue: deque[float] = deque(maxlen=LATEST)
        self._lateness: deque[float] = deque(maxlen=LATEST)

    def count(self, *names: str) -> None:
        """Something has happened once."""
        with self._lock:
            self.counts.update(names)

    def added(self, lateness_s: float, *kinds: str) -> None:
        """A window was added."""
        with self._lock:
            self._lateness.append(lateness_s)
            self.counts.update(("windows", *kinds))

    def called(self, queue_s: Sequence[float]) -> None:
        """A call of the engine has come back."""
        with self._lock:
            self._queue.extend(queue_s)
            self.counts["batches"] += 1

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Of time in the queue and of lateness."""
        with self._lock:
            queue, lateness = list(self._queue), list(self._lateness)
        return {"queue_s": _percentiles(queue), "lateness_s": _percentiles(lateness)}


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return dict.fromkeys(SHARES, 0.0)
    found = np.percentile(values, list(SHARES.values())).tolist()
    return dict(zip(SHARES, found, strict=True))
