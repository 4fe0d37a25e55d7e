"""One engine and its streams, window by window, by the hub's own scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heapreplace
from math import inf
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sgn_rt.benchmarks.simulation.arrivals import CLOSE, OPEN, Events
from sgn_rt.benchmarks.simulation.service import Kind, Service
from sgn_rt.streaming.hub.policies import LEAST_CALM, MOST_CALM
from sgn_rt.streaming.hub.scheduler import Scheduler

Policy: TypeAlias = Literal["none", "raise", "longer-step", "pass-through"]
"""What a late stream meets. Those of the hub, and none; refusing is what admission does, before."""


@dataclass(slots=True)
class Figures:
    """What came of it.

    Attributes
    ----------
    done_s, lateness_s
        Of every window that was computed: when, and how long after its last sample was there.
    streams
        Whose window it was.
    batches
        Calls by their number of windows.
    passed
        Windows not computed, the mixture in their place.
    raised
        Streams that were ended.
    longer
        Streams whose step was longer for a while.
    """

    done_s: list[float] = field(default_factory=list)
    lateness_s: list[float] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)
    batches: Counter[int] = field(default_factory=Counter)
    passed: int = 0
    raised: set[int] = field(default_factory=set)
    longer: set[int] = field(default_factory=set)

    def late(self, since_s: float = 0.0, until_s: float = inf) -> NDArray[np.float64]:
        """Lateness of windows that were ready in a span of time, seconds."""
        lateness = np.asarray(self.lateness_s, np.float64)
        ready = np.asarray(self.done_s) - lateness
        chosen: NDArray[np.float64] = lateness[(ready >= since_s) & (ready < until_s)]
        return chosen

    @property
    def mean_batch(self) -> float:
        """Windows in a call."""
        calls = sum(self.batches.values())
        return sum(size * count for size, count in self.batches.items()) / max(calls, 1)


_WEIGHT: Final = 0.1
"""Of the latest call, in the running mean of what one takes."""


@dataclass(slots=True)
class _Pace:
    """A stream's steps under ``longer-step``."""

    is_longer: bool = False
    calm: int = 0
    wanted: int = LEAST_CALM
    owed: float = 0.0


class OneGpu:
    """An engine on a simulated clock. As the hub: when a lane is free it takes what is due first.

    Parameters
    ----------
    service
        How long calls take.
    kinds
        Of streams.
    kind_of
        Position in ``kinds`` of every stream, by its number.
    policy, deadline_s
        What a stream meets that is later than that.
    """

    def __init__(
        self,
        service: Service,
        kinds: Sequence[Kind],
        kind_of: Sequence[int],
        *,
        policy: Policy = "none",
        deadline_s: float = 0.2,
    ) -> None:
        self.service, self.figures = service, Figures()
        self._kinds, self._kind_of = kinds, kind_of
        self._policy: Policy = policy
        self._deadline_s = deadline_s
        # A window is when it was ready, as that is all that is asked about it.
        self.scheduler: Scheduler[int, float] = Scheduler()
        self._open: set[int] = set()
        self._lanes = [0.0] * service.lanes
        self._now = 0.0
        self._paces: dict[int, _Pace] = {}
        self._call_s = 0.0

    def advance(self, events: Events, tell: Callable[[float], object] | None = None) -> None:
        """Live through events; each is later than those before."""
        scheduler, push = self.scheduler, self.scheduler.push
        lanes, paces = self._lanes, self._paces
        told = max(1, len(events.times) // 20)
        columns = (column.tolist() for column in events)
        for number, (time, stream, what) in enumerate(zip(*columns, strict=True)):
            while len(scheduler) and (start := max(lanes[0], self._now)) <= time:
                self._dispatch(start)
            self._now = time
            if what == OPEN:
                self._open.add(stream)
                scheduler.open(stream, self._kinds[self._kind_of[stream]].step_s)
            elif stream not in self._open:
                continue  # it was ended
            elif what == CLOSE:
                self.close(stream)
            elif not paces or stream not in paces or self._is_due(stream):
                push(stream, time, time)
            if tell is not None and number % told == 0:
                tell(number / len(events.times))

    def close(self, stream: int) -> None:
        """A stream goes, and what waited of it."""
        self._open.discard(stream)
        self.scheduler.close(stream)

    def drain(self) -> None:
        """Serve all that waits."""
        while len(self.scheduler):
            self._dispatch(max(self._lanes[0], self._now))

    def _is_due(self, stream: int) -> bool:
        """Of a stream with a longer step, whether the window is one that it still wants."""
        pace = self._paces[stream]
        stretch = self._kinds[self._kind_of[stream]].stretch if pace.is_longer else 1.0
        pace.owed += 1.0
        if pace.owed < stretch:
            return False
        pace.owed -= stretch
        return True

    def _take(self, start: float) -> list[tuple[int, float, float]]:
        """A call's windows; those that would be late pass, and leave room, as in the hub."""
        size = self.service.batch
        if self._policy != "pass-through":
            return self.scheduler.pop(size)
        earliest = start + self._call_s - self._deadline_s
        taken: list[tuple[int, float, float]] = []
        while len(taken) < size and (found := self.scheduler.pop(size - len(taken))):
            in_time = [each for each in found if each[1] >= earliest]
            self.figures.passed += len(found) - len(in_time)
            taken += in_time
        return taken

    def _dispatch(self, start: float) -> None:
        taken = self._take(start)
        if not taken:
            return
        kinds, kind_of, figures = self._kinds, self._kind_of, self.figures
        done = self.service.call(start, [kinds[kind_of[stream]].cost for stream, _, _ in taken])
        heapreplace(self._lanes, done)
        figures.batches[len(taken)] += 1
        for stream, ready, _ in taken:
            figures.done_s.append(done)
            figures.lateness_s.append(done - ready)
            figures.streams.append(stream)
        self._call_s += _WEIGHT * (done - start - self._call_s)
        if self._policy == "raise":
            self._end([stream for stream, ready, _ in taken if done - ready > self._deadline_s])
        elif self._policy == "longer-step":
            for stream, ready, _ in taken:
                self._lengthen(stream, is_late=done - ready > self._deadline_s)

    def _end(self, late: Sequence[int]) -> None:
        for stream in late:
            if stream in self._open:
                self.figures.raised.add(stream)
                self.close(stream)

    def _lengthen(self, stream: int, *, is_late: bool) -> None:
        """As the hub does: longer steps from a late window on, until it was calm for a while."""
        pace = self._paces.setdefault(stream, _Pace())
        pace.calm = 0 if is_late else pace.calm + 1
        if not pace.is_longer and is_late:
            self._change(stream, pace)
            self.figures.longer.add(stream)
        elif pace.is_longer and pace.calm >= pace.wanted:
            pace.wanted = min(MOST_CALM, 2 * pace.wanted)
            self._change(stream, pace)
        elif not pace.is_longer and pace.calm >= 2 * pace.wanted:
            pace.wanted = LEAST_CALM

    def _change(self, stream: int, pace: _Pace) -> None:
        pace.is_longer, pace.calm, pace.owed = not pace.is_longer, 0, 0.0
        kind = self._kinds[self._kind_of[stream]]
        if stream in self._open:
            self.scheduler.pace(stream, kind.step_s * (kind.stretch if pace.is_longer else 1.0))
