"""Whose windows go into the next call of the engine, and who answers for a call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sgn_rt.streaming.answers import InService
from sgn_rt.streaming.hub.flow import Flow, Pending
from sgn_rt.streaming.hub.scheduler import Scheduler
from sgn_rt.streaming.jobs import Job


class Piece(NamedTuple):
    """One channel of a window, for the engine."""

    flow: Flow
    pending: Pending
    channel: int

    @property
    def job(self) -> Job:
        """What the engine is asked."""
        return self.pending.window.jobs[self.channel]

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return not self.flow.is_over and self.flow.error is None


@dataclass(slots=True, eq=False)
class Call:
    """A call of the engine that is under way.

    Attributes
    ----------
    pieces
        What it was asked.
    engine
        In service when it began.
    began_s
        By the hub's clock; later where another engine took over meanwhile.
    passed
        Windows beside it that no network is to hear.
    thread
        That computes it.
    """

    pieces: Sequence[Piece]
    engine: InService
    began_s: float
    thread: threading.Thread = field(default_factory=threading.current_thread)
    passed: list[Piece] = field(default_factory=list)


class Desk:
    """Windows that wait, and calls under way. Its lock is held for moments; nobody computes in it.

    A call belongs to the thread that computes it until it is `returned`, or the watchdog has taken
    it away: one of both, never both.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scheduler: Scheduler[int, tuple[Flow, Pending]] = Scheduler()
        # Channels of windows that did not fit into a call with the rest of theirs, or that a call
        # was asked that has been given up.
        self._first: deque[Piece] = deque()
        self._calls: set[Call] = set()

    @property
    def waiting(self) -> int:
        """Windows that wait."""
        with self._lock:
            begun = any(piece.is_wanted for piece in self._first)
            return len(self._scheduler) + begun

    def open(self, key: int, step_s: float) -> None:
        """A stream comes."""
        with self._lock:
            self._scheduler.open(key, step_s)

    def close(self, key: int) -> None:
        """A stream goes, and its windows with it."""
        with self._lock:
            self._scheduler.close(key)

    def drop(self, key: int) -> None:
        """A stream begins anew."""
        with self._lock:
            self._scheduler.drop(key)

    def pace(self, key: int, step_s: float) -> None:
        """A stream's windows come at another step."""
        with self._lock:
            self._scheduler.pace(key, step_s)

    def push(self, flow: Flow, pending: Pending) -> None:
        """A window is ready; nothing happens where its signal is over."""
        with self._lock:
            if flow.is_over:
                return
            weight = len(pending.window.jobs)
            pending.due_s = self._scheduler.push(flow.key, (flow, pending), pending.ready_s, weight)

    def take(
        self, engine: InService, now: float, passes: Callable[[Pending, Flow], bool]
    ) -> tuple[Call | None, bool]:
        """What goes into the next call, and whether more waits behind it.

        Windows that pass are not the engine's business: they come beside the others.
        """
        call = Call([], engine, now)
        pieces: list[Piece] = []
        with self._lock:
            while len(pieces) < engine.batch and (self._first or len(self._scheduler)):
                if not self._first:
                    for _, (flow, pending), _ in self._scheduler.pop(engine.batch - len(pieces)):
                        channels = range(len(pending.window.jobs))
                        self._first.extend(Piece(flow, pending, channel) for channel in channels)
                piece = self._first.popleft()
                if not piece.is_wanted:
                    continue
                if piece.pending.passes is None:
                    piece.pending.passes = passes(piece.pending, piece.flow)
                (call.passed if piece.pending.passes else pieces).append(piece)
            call.pieces = pieces
            if pieces:
                self._calls.add(call)
            more = bool(self._first) or len(self._scheduler) > 0
        return (call if pieces or call.passed else None), more

    def returned(self, call: Call) -> bool:
        """A call has come back; whether anybody still waits for it."""
        with self._lock:
            known = call in self._calls
            self._calls.discard(call)
        return known or not call.pieces

    def under_way(self) -> list[Call]:
        """Calls that have not come back."""
        with self._lock:
            return list(self._calls)

    def take_away(self, call: Call) -> bool:
        """Give up a call, and have its windows computed by others; False where it is back."""
        with self._lock:
            if call not in self._calls:
                return False
            self._calls.discard(call)
            self._first.extendleft(reversed(call.pieces))
        return True
