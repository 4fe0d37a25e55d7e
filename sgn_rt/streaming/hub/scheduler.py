"""Whose window goes to the network next: earliest due first, and no faster than its own pace.

No clock, no threads and no lock: whoever owns it locks. The hub drives it by the real clock, the
simulation of `sgn_rt.benchmarks.studies.fleet` by a simulated one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Generic, NamedTuple, TypeVar

from sgn_rt.errors import ConfigError, SgnError

K = TypeVar("K", bound=Hashable)
W = TypeVar("W")

PACE: Final = 7 / 8
"""Of a step that goes by, at the least, between two windows of a stream that are due. Less than all
of it, so that a stream whose input has stumbled is due in time again some windows later."""

_FEW: Final = 64
"""Entries of closed streams that are not worth clearing away."""


class _Waiting(NamedTuple, Generic[W]):
    due_s: float
    number: int
    window: W
    weight: int


@dataclass(slots=True)
class _Stream(Generic[K, W]):
    """``next_due_s``: before then no window of it is due, whenever it came."""

    key: K
    step_s: float
    next_due_s: float = -inf
    waiting: deque[_Waiting[W]] = field(default_factory=deque)
    turn: int = -1
    """Number of the window for which it stands in the heap."""


class Scheduler(Generic[K, W]):
    """Windows of many streams that wait for the network.

    A window is due when it is ready, but not before its stream's last one was due and `PACE` of a
    step went by. So of one stream at most ``1 + seconds / (PACE step)`` windows are due in any
    time, however many it brings at once, and what others wait does not depend on it. In a stream
    windows keep their order; between streams the earlier due goes first, of equal ones the earlier
    brought. As time only grows, every window is the earliest at last: none starves.

    A window costs O(log n) for n streams that wait, and so does a stream that closes (amortised).

    Attributes
    ----------
    weight
        Of all that waits.
    """

    def __init__(self) -> None:
        self._streams: dict[K, _Stream[K, W]] = {}
        # Streams by their first windows; a stream that was closed stays until it is met.
        self._heap: list[tuple[float, int, _Stream[K, W]]] = []
        self._stale = self._number = self._count = self.weight = 0

    def __len__(self) -> int:
        """Windows that wait."""
        return self._count

    def open(self, stream: K, step_s: float) -> None:
        """Begin a stream.

        Parameters
        ----------
        stream
            Its name.
        step_s
            Seconds of signal from one of its windows to the next.

        Raises
        ------
        SgnError
            If it is open already.
        ConfigError
            For a step that is not positive.
        """
        if stream in self._streams:
            raise SgnError(
                f"stream: got {stream!r:.40} for the second time, expected a new one. "
                "Close it first."
            )
        self._streams[stream] = _Stream(stream, _checked(step_s))

    def pace(self, stream: K, step_s: float) -> None:
        """Change a stream's step for what comes; windows that wait stay due when they were."""
        self._streams[stream].step_s = _checked(step_s)

    def push(self, stream: K, window: W, ready_s: float, weight: int = 1) -> float:
        """Bring a stream's next window.

        Parameters
        ----------
        stream
            An open one.
        window
            Given back by `pop`.
        ready_s
            When its last sample was there, on the owner's clock.
        weight
            What it counts in a batch: its channels.

        Returns
        -------
        float
            When it is due, on the same clock: at ``ready_s``, or `PACE` of a step after the one
            before it.
        """
        if weight < 1:
            raise ConfigError(
                f"weight of a window: got {weight}, expected at least 1. Count its channels."
            )
        state = self._streams[stream]
        due_s = max(ready_s, state.next_due_s)
        state.next_due_s = due_s + PACE * state.step_s
        state.waiting.append(_Waiting(due_s, self._number, window, weight))
        self._number += 1
        self._count += 1
        self.weight += weight
        if len(state.waiting) == 1:
            self._enter(state)
        return due_s

    def pop(self, limit: int) -> list[tuple[K, W, float]]:
        """Take the windows that are due first: stream, window and when it was due.

        As many as have ``limit`` of weight together: a heavier one ends the batch, so that light
        ones do not pass it for ever, and goes alone where it is the first.
        """
        taken: list[tuple[K, W, float]] = []
        while (state := self._first()) is not None:
            weight = state.waiting[0].weight
            if taken and weight > limit:
                break
            limit -= weight
            heappop(self._heap)
            first = state.waiting.popleft()
            self._count -= 1
            self.weight -= weight
            if state.waiting:
                self._enter(state)
            taken.append((state.key, first.window, first.due_s))
            if limit <= 0:
                break
        return taken

    def drop(self, stream: K) -> list[W]:
        """Forget what waits of a stream that begins anew, and give it back, in order.

        The stream stays open, and keeps the pace of what was taken of it: who begins anew again and
        again gets no more of the network than who goes on.
        """
        state = self._streams[stream]
        if not state.waiting:
            return []
        state.next_due_s = state.waiting[0].due_s
        return self._forget(state)

    def close(self, stream: K) -> list[W]:
        """End a stream, and give back what waited of it, in order."""
        return self._forget(self._streams.pop(stream))

    def _forget(self, state: _Stream[K, W]) -> list[W]:
        windows = [each.window for each in state.waiting]
        if windows:
            self._count -= len(windows)
            self.weight -= sum(each.weight for each in state.waiting)
            state.waiting.clear()
            state.turn = -1
            self._stale += 1
            if self._stale > _FEW + len(self._heap) // 2:
                self._clear_away()
        return windows

    def _enter(self, state: _Stream[K, W]) -> None:
        due_s, state.turn, *_ = state.waiting[0]
        heappush(self._heap, (due_s, state.turn, state))

    def _first(self) -> _Stream[K, W] | None:
        """The stream whose window is due first, at the top of the heap."""
        while self._heap:
            _, number, state = self._heap[0]
            if number == state.turn:
                return state
            heappop(self._heap)
            self._stale -= 1
        return None

    def _clear_away(self) -> None:
        self._heap = [entry for entry in self._heap if entry[1] == entry[2].turn]
        heapify(self._heap)
        self._stale = 0


def _checked(step_s: float) -> float:
    if not 0.0 < step_s < inf:
        raise ConfigError(
            f"step of a stream: got {step_s} s, expected a positive number of seconds. "
            "Take that of its windows."
        )
    return step_s
