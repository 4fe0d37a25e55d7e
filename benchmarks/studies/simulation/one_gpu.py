"""One engine and its streams, window by window, by the hub's own scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapreplace
from math import inf
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sgn_rt.benchmarks.studies.simulation.arrivals import CLOSE, OPEN, Events
from sgn_rt.benchmarks.studies.simulation.service import Kind, Service
from sgn_rt.streaming.hub.capacity import Capacity
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
        lateness = np.array(self.lateness_s, np.float64)
        ready = np.array(self.done_s, np.float64) - lateness
        found: NDArray[np.float64] = lateness[(ready >= since_s) & (ready < until_s)]
        return found

    @property
    def mean_batch(self) -> float:
        """Windows in a call."""
        calls = sum(self.batches.values())
        return sum(size * count for size, count in self.batches.items()) / max(calls, 1)


@dataclass(slots=True)
class _Step:
    """A stream's step, as `sgn_rt.streaming.hub.policies.LongerStep` has it.

    ``owed``: windows of its own step since the last that it wanted, of the longer one.
    """

    longer: bool = False
    calm: int = 0
    wanted: int = LEAST_CALM
    changed_s: float = 0.0
    owed: float = 0.0

    def told(self, ready_s: float, done_s: float, *, late: bool) -> bool:
        """A window is done; whether the stream has changed to the longer step."""
        if ready_s < self.changed_s:
            return False
        self.calm = 0 if late else self.calm + 1
        if self.longer and self.calm >= self.wanted:
            self.wanted = min(MOST_CALM, 2 * self.wanted)
            self._change(done_s, longer=False)
        elif not self.longer and late:
            self._change(done_s, longer=True)
            return True
        elif not self.longer and self.calm >= 2 * self.wanted:
            self.wanted = LEAST_CALM
        return False

    def _change(self, now: float, *, longer: bool) -> None:
        self.longer, self.calm, self.changed_s, self.owed = longer, 0, now, 0.0

    def wants(self, stretch: float) -> bool:
        """Whether the window of the own step that is ready is one of the longer step, too."""
        if not self.longer:
            return True
        self.owed += 1.0
        due = self.owed >= stretch
        self.owed -= stretch if due else 0.0
        return due


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
        self._capacity = Capacity()
        self._steps: dict[int, _Step] = {}

    def advance(self, events: Events) -> None:
        """Live through events; each is later than those before."""
        scheduler, push = self.scheduler, self.scheduler.push
        lanes, longer = self._lanes, self.figures.longer
        columns = (column.tolist() for column in events)
        for time, stream, what in zip(*columns, strict=True):
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
            elif not longer or stream not in longer or self._is_due(stream):
                push(stream, time, time)

    def close(self, stream: int) -> None:
        """A stream goes, and what waited of it."""
        self._open.discard(stream)
        self.scheduler.close(stream)

    def drain(self) -> None:
        """Serve all that waits."""
        while len(self.scheduler):
            self._dispatch(max(self._lanes[0], self._now))

    def _is_due(self, stream: int) -> bool:
        """Whether a stream wants the window that is ready, or takes longer steps."""
        # At a longer step windows are one or two of the own step apart, so that no pace is told:
        # they are due when they are ready, as in the hub.
        return self._steps[stream].wants(self._kinds[self._kind_of[stream]].stretch)

    def _take(self, start: float) -> list[tuple[int, float, float]]:
        """What goes into the next call: stream, when it was ready, and when due."""
        scheduler, batch = self.scheduler, self.service.batch
        if self._policy != "pass-through":
            return scheduler.pop(batch)
        taken: list[tuple[int, float, float]] = []
        earliest = start + self._capacity.call_s - self._deadline_s
        while len(taken) < batch and len(scheduler):
            for each in scheduler.pop(batch - len(taken)):
                if each[2] < earliest:
                    self.figures.passed += 1
                else:
                    taken.append(each)
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
        self._act(taken, start, done)

    def _act(self, taken: Sequence[tuple[int, float, float]], start: float, done: float) -> None:
        """As the hub's policies, which ask how late a window is after it was due."""
        if self._policy == "pass-through":
            self._capacity.observe(done - start, 1, is_full=False)
        elif self._policy == "raise":
            for stream, _, due in taken:
                if done - due > self._deadline_s and stream in self._open:
                    self.figures.raised.add(stream)
                    self.close(stream)
        elif self._policy == "longer-step":
            for stream, ready, due in taken:
                step = self._steps.setdefault(stream, _Step())
                if step.told(ready, done, late=done - due > self._deadline_s):
                    self.figures.longer.add(stream)
