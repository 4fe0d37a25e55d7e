"""Lanes between threads: each is one thread's at a time; few, as each costs memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.run.lane import Lane


class LanePool:
    """Lends lanes, made when they are first needed.

    Parameters
    ----------
    make
        Makes a lane; may raise EngineError.
    limit
        Lanes at most.
    """

    def __init__(self, make: Callable[[], Lane], limit: int) -> None:
        self._make, self._limit = make, limit
        self._free: list[tuple[int, Lane]] = []
        self._lent = 0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def borrow(self, wanted: int) -> Iterator[list[Lane]]:
        """Lanes for this thread: one, waiting for it if need be, and up to ``wanted`` as are free.

        Lanes that an error passes through are closed, not given back: what they hold is unknown.

        Raises
        ------
        EngineError
            If no lane can be made, or the pool is closed.
        """
        lanes = [self._take(wait=True)]
        try:
            while len(lanes) < wanted:
                try:
                    lanes.append(self._take(wait=False))
                except EngineError:
                    break  # one lane is slower, and enough
            yield lanes
        except BaseException:
            self._give_back(lanes, broken=True)
            raise
        self._give_back(lanes, broken=False)

    def close(self) -> None:
        """Close all that are free, and what comes back later."""
        with self._changed:
            self._closed = True
            free, self._free = self._free, []
            self._make = _no_more  # and with it all that it would make lanes of
            self._changed.notify_all()
        for _, lane in free:
            lane.close()

    def _take(self, *, wait: bool) -> Lane:
        with self._changed:
            while not self._closed and not self._free and self._lent >= self._limit:
                if not wait:
                    raise EngineError("lanes: got none free, expected one. Wait for one.")
                self._changed.wait()
            if self._closed:
                _no_more()
            self._lent += 1
            if self._free:
                me = threading.get_ident()
                mine = next((pair for pair in self._free if pair[0] == me), self._free[-1])
                self._free.remove(mine)
                return mine[1]
        try:
            return self._make()
        except BaseException:
            self._lost(1)
            raise

    def _lost(self, count: int) -> None:
        with self._changed:
            self._lent -= count
            self._changed.notify(count)

    def _give_back(self, lanes: list[Lane], *, broken: bool) -> None:
        with self._changed:
            keep = not (broken or self._closed)
            if keep:
                me = threading.get_ident()
                self._free += [(me, lane) for lane in lanes]
                self._lent -= len(lanes)
                self._changed.notify(len(lanes))
        if not keep:
            try:
                for lane in lanes:
                    lane.close()
            finally:
                self._lost(len(lanes))


def _no_more() -> NoReturn:
    raise EngineError("engine: got a window after close, expected none. Open it again.")
