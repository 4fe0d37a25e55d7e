"""The threads of a hub: those that compute, and the one that watches whether they come back."""

from __future__ import annotations

import enum
import logging
import threading
from queue import Empty, SimpleQueue
from typing import Protocol

from sgn_rt.streaming.hub.flow import Flow

log = logging.getLogger(__name__)


class Turn(enum.Enum):
    """What has become of a call's worth of work.

    ``IDLE``: there was none. ``DONE``: it was computed. ``LOST``: it took so long that it was given
    up, and another thread is in the place of this one.
    """

    IDLE, DONE, LOST = range(3)


class Work(Protocol):
    """What there is to do."""

    @property
    def concurrency(self) -> int:
        """Threads that are best."""
        ...

    def turn(self) -> Turn:
        """Compute what waits, as much as goes into one call of the engine."""
        ...

    def watch(self) -> float:
        """Give up what hangs; seconds until it should be looked again."""
        ...


class Crew:
    """Threads that sleep until there is something to do. A free one never waits while work does.

    Whoever brings work puts a word into one queue, which takes no lock that a computing thread
    holds (`queue.SimpleQueue.put`). A thread that takes a word does what it says, then takes a
    call's worth of what waits, and leaves a word if there is more. It sleeps again when it has
    found nothing: what it has brought about itself needs no word.

    Parameters
    ----------
    work
        What there is to do.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._words: SimpleQueue[Flow | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._number = 0
        self._closing = threading.Event()
        self._watchdog = threading.Thread(
            target=self._watch, name="sgn-rt-hub-watchdog", daemon=True
        )

    def start(self) -> None:
        """Start as many threads as the engine likes, and the watchdog."""
        self.staff()
        self._watchdog.start()

    def staff(self) -> None:
        """Start threads that are missing: the engine in service may have changed."""
        with self._lock:
            while len(self._threads) < self._work.concurrency and not self._closing.is_set():
                self._number += 1
                thread = threading.Thread(
                    target=self._run, name=f"sgn-rt-hub-{self._number}", daemon=True
                )
                self._threads.add(thread)
                thread.start()

    def abandon(self, thread: threading.Thread) -> None:
        """Start another thread in the place of one that does not come back."""
        with self._lock:
            self._threads.discard(thread)
        self.staff()

    def wake(self, flow: Flow | None = None) -> None:
        """Have a signal advanced, or just looked whether windows wait. Never waits itself."""
        self._words.put(flow)

    def heed(self, flow: Flow | None = None) -> None:
        """Do what this word says, and all others that are there."""
        while True:
            if flow is not None:
                flow.advance()
            try:
                flow = self._words.get_nowait()
            except Empty:
                return

    def close(self, patience_s: float) -> None:
        """Have all threads end, and wait for each of them so long at most."""
        self._closing.set()
        with self._lock:
            threads = [*self._threads, self._watchdog]
        for _ in threads:
            self._words.put(None)
        for thread in threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(patience_s)
                if thread.is_alive():
                    log.warning("hub: %s hangs in a call of the engine, and is left", thread.name)

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            word = self._words.get()
            turn = Turn.DONE
            while turn is Turn.DONE and not self._closing.is_set():
                self.heed(word)
                word, turn = None, self._work.turn()  # what it brings, it finds in its next turn
                self.staff()
            if self._closing.is_set() or self._leaves(me, turn):
                self._words.put(None)  # it may have taken those of others that are to end
                return

    def _leaves(self, me: threading.Thread, turn: Turn) -> bool:
        """Whether a thread is no longer wanted; its engine may have gone, too."""
        with self._lock:
            if turn is Turn.LOST or len(self._threads) > self._work.concurrency:
                self._threads.discard(me)
            return me not in self._threads

    def _watch(self) -> None:
        while not self._closing.wait(self._work.watch()):
            pass
