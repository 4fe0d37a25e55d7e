"""Whether calls of the engine come back, and another takes over where they do not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from sgn_rt.errors import EngineError, SgnError
from sgn_rt.streaming.answers import Separates
from sgn_rt.streaming.hub.capacity import Capacity
from sgn_rt.streaming.hub.crew import Crew
from sgn_rt.streaming.hub.desk import Call, Desk
from sgn_rt.streaming.hub.stats import Tally

log = logging.getLogger(__name__)

HANGS_S: Final = 10.0
"""A call of the engine hangs where it takes longer than this, and than `HANGS_CALLS` of them."""
HANGS_CALLS: Final = 20.0
OPENS_S: Final = 300.0
"""An engine that is to take over hangs where it takes longer than this to open and be proved."""


class Guarded(Separates, Protocol):
    """An engine in service that another can take over from."""

    @property
    def replacing(self) -> bool:
        """Whether another is about to take over."""
        ...

    @property
    def replacements(self) -> Sequence[str]:
        """What was said of those that did."""
        ...

    def give_up(self, engine: Any, error: EngineError) -> None:
        """Have another take over from one that hangs."""
        ...


class Board(Protocol):
    """What is watched."""

    engine: Guarded
    clock: Callable[[], float]
    desk: Desk
    tally: Tally
    capacity: Capacity
    crew: Crew

    def fail(self, error: Exception) -> None:
        """There is nothing more to come, of any stream."""
        ...


class Watch:
    """Gives up what hangs: a call, and an engine that is to take over.

    Parameters
    ----------
    board
        Whose calls.
    hangs_s
        See `HANGS_S`.
    """

    def __init__(self, board: Board, hangs_s: float) -> None:
        self._board, self._hangs_s = board, hangs_s
        self._replacer: threading.Thread | None = None
        self._replacing_since_s: float | None = None

    def wait(self) -> None:
        """Wait, but not for ever, until what hangs was given up."""
        if self._replacer is not None:
            self._replacer.join(self._hangs_s)

    def look(self) -> float:
        """Give up calls that hang, and the engine with them; seconds until the next look."""
        limit_s = max(self._hangs_s, HANGS_CALLS * self._board.capacity.call_s)
        now, calls = self._board.clock(), self._board.desk.under_way()
        hanging = [call for call in calls if now - call.began_s > limit_s]
        if self._is_replacing:
            for call in calls:
                call.began_s = now  # what opens and proves an engine takes its time
            self._expect_replacement(now)
            return min(1.0, limit_s / 4)
        self._replacing_since_s = None
        if hanging:
            # In a thread of its own: the engine that is to take over may hang as well.
            self._replacer = threading.Thread(
                target=self._give_up,
                args=(hanging, limit_s),
                name="sgn-rt-hub-replacer",
                daemon=True,
            )
            self._replacer.start()
        return min(1.0, limit_s / 4)

    @property
    def _is_replacing(self) -> bool:
        return self._board.engine.replacing or (
            self._replacer is not None and self._replacer.is_alive()
        )

    def _expect_replacement(self, now: float) -> None:
        """End all streams where no engine takes over in time."""
        if self._replacing_since_s is None:
            self._replacing_since_s = now
        if now - self._replacing_since_s > OPENS_S:
            self._board.fail(
                EngineError(
                    f"{self._board.engine.active.name}: got no other engine in its place within "
                    f"{OPENS_S:.0f} s, expected one to open. Look at the device's load and its "
                    "driver's log."
                )
            )

    def _give_up(self, calls: Sequence[Call], limit_s: float) -> None:
        for call in calls:
            error = EngineError(
                f"{call.engine.name}: got no answer within {limit_s:.1f} s, expected one. "
                "Look at the device's load and its driver's log."
            )
            try:
                self._board.engine.give_up(call.engine, error)
            except SgnError as none_left:
                self._board.fail(none_left)
            except Warning:  # that someone has made an error: the other engine is in service
                log.exception("hub: a warning was raised as an error")
            if self._board.desk.take_away(call):
                self._board.tally.count("given_up")
                log.warning("hub: %d windows of a call that hangs go again", len(call.pieces))
                self._board.crew.abandon(call.thread)
                self._board.crew.wake()
