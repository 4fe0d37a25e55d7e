"""Who works on a run's entries: threads of this process, or worker processes; and their end."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Final, NamedTuple

from sgn_rt.separator import Separator
from sgn_rt.serving.folders.desk import Desk, Done, Line, Order, Ready, Told, Work
from sgn_rt.serving.folders.entry import Entry
from sgn_rt.serving.folders.state import State
from sgn_rt.serving.folders.worker import SIGNALS, work

log = logging.getLogger(__name__)

GRACE_S: Final = 60.0
"""For workers to end what they are at, cleanly; then they are killed."""


class Lost(NamedTuple):
    """A worker that ended without being asked to.

    Attributes
    ----------
    how
        In words, such as ``signal SIGKILL``.
    entries
        What it was at.
    was_ready
        Whether it had opened the model.
    """

    how: str
    entries: tuple[Entry, ...]
    was_ready: bool


class Member(ABC):
    """Somebody with a desk.

    Attributes
    ----------
    size
        Entries at a time.
    entries
        In work, by key.
    alone
        Whether what is in work is to have no company.
    """

    def __init__(self, connection: Connection, size: int) -> None:
        self.connection, self.size = connection, size
        self.entries: dict[str, Entry] = {}
        self.alone = self.is_ready = False

    def begin(self, entry: Entry, *, alone: bool = False) -> None:
        """Give it an entry."""
        self.entries[entry.key] = entry
        self.alone = alone
        self.order(entry)

    def order(self, what: Entry | Order) -> None:
        """Say something to it; where it is gone, `hear` tells."""
        try:
            self.connection.send(what)
        except OSError:
            log.debug("%s: gone before it heard of %s", self, what)

    def hear(self) -> Told | Lost:
        """What it says, when there is something; that it is lost where nothing more comes."""
        try:
            told: Told = self.connection.recv()
        except Exception as error:  # the end, or half of a message, whatever that unpickles to
            log.debug("%s: %r", self, error)
            self.connection.close()
            return Lost(self.ended(), tuple(self.entries.values()), self.is_ready)
        if isinstance(told, Ready):
            self.is_ready = True
        if isinstance(told, Done):
            del self.entries[told.key]
            self.alone = False
        return told

    @abstractmethod
    def ended(self) -> str:
        """Wait for its end, which has come; how it was."""

    @abstractmethod
    def kill(self) -> bool:
        """End it, whatever it is at; whether that can be."""


class Here(Member):
    """Threads of this process."""

    def __init__(self, separator: Separator, wanted: Work, size: int) -> None:
        ours, theirs = multiprocessing.Pipe()
        super().__init__(ours, size)
        line = Line(theirs)

        def serve() -> None:
            try:
                Desk(line, separator, wanted, size).serve()
            finally:
                line.close()

        self._thread = threading.Thread(target=serve, name="sgn-rt-desk", daemon=True)
        self._thread.start()

    def ended(self) -> str:
        """As Member's."""
        self._thread.join()
        return "an error of this process"

    def kill(self) -> bool:
        """As Member's: threads cannot be."""
        return False


class Worker(Member):
    """A process of its own, started afresh: a fork would take along locks and no threads."""

    def __init__(self, opener: Callable[[], Separator], wanted: Work, size: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        super().__init__(ours, size)
        self.process: Any = context.Process(
            target=work, args=(theirs, opener, wanted, size), name="sgn-rt-worker", daemon=True
        )
        resource_tracker.ensure_running()  # it would let the signals in again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def ended(self) -> str:
        """As Member's."""
        self.process.join(GRACE_S)
        if self.process.exitcode is None:
            self.kill()
        code = self.process.exitcode
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> bool:
        """As Member's."""
        self.process.kill()
        self.process.join()
        return True


class Crew:
    """Members that are replaced where they are lost. Use as a context manager.

    Leaving it in peace lets them end; leaving it by an error, as by a signal, has them drop what
    they are at, cleanly, and kills workers that do not. Either way nobody is left.

    Parameters
    ----------
    make
        Makes a member.
    count
        Members at most; each is made when there is work for it.
    state
        Of the run, where the tries of those that had to be killed are taken back.

    Attributes
    ----------
    members
        At work.
    """

    def __init__(self, make: Callable[[], Member], count: int, state: State | None = None) -> None:
        self._make, self._count, self._state = make, count, state
        self.members: list[Member] = []

    def grow(self) -> Member | None:
        """One more member; None where there are as many as there may be."""
        if len(self.members) >= self._count:
            return None
        self.members.append(self._make())
        return self.members[-1]

    def hear(self, timeout_s: float | None = None) -> Iterator[Told | Lost]:
        """Wait for what members say, until there is something."""
        by_connection: dict[Any, Member] = {member.connection: member for member in self.members}
        for connection in wait(list(by_connection), timeout_s):
            member = by_connection[connection]
            told = member.hear()
            if isinstance(told, Lost):
                self.members.remove(member)
            yield told

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self.end(Order.END if kind is None else Order.CANCEL)

    def end(self, order: Order) -> None:
        """Have all of them end, and wait for it."""
        killed: list[Entry] = []
        for member in self.members:
            member.order(order)
        deadline = time.monotonic() + GRACE_S
        while self.members:
            left = deadline - time.monotonic()
            if left <= 0:
                for member in self.members:
                    if member.kill():
                        killed += member.entries.values()
            for _ in self.hear(max(left, 1.0)):
                pass
        if killed and self._state is not None:
            self._state.interrupted(killed)
