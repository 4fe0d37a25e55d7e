"""Where entries are worked on: threads that get them over a connection, here or in a worker."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from sgn_rt.errors import AudioError, CancelledError, SgnError, SgnWarning
from sgn_rt.separator import Separator
from sgn_rt.serving.folders.entry import Entry, Row
from sgn_rt.serving.folders.one import TRIES, Addition, separate_one
from sgn_rt.serving.folders.state import State
from sgn_rt.streaming.choices import Progress

TOLD_EVERY_S: Final = 0.1
"""From one report of an entry's progress to the next."""


class Order(Enum):
    """What is said to a desk beside entries."""

    END = "end when what is in work is done"
    CANCEL = "end at once, cleanly"


class Ready(NamedTuple):
    """The model is open."""


class Part(NamedTuple):
    """What part of an entry is done, 0 to 1."""

    key: str
    done: float


class Done(NamedTuple):
    """What became of an entry."""

    key: str
    row: Row


class Warned(NamedTuple):
    """A warning of this package's."""

    text: str


class Broken(NamedTuple):
    """What keeps everything else from going on, too; whether it is the storage."""

    text: str
    is_storage: bool = False


Told: TypeAlias = Ready | Part | Done | Warned | Broken
"""What a desk says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is wanted of every entry; it can be pickled.

    Attributes
    ----------
    output
        Folder of the folders of stems.
    options
        Of `Separator.separate_to`.
    fingerprint
        Of the run's state (`sgn_rt.serving.folders.state.fingerprint_of`); None to keep none.
    state_place
        Where the state is kept, if not in ``output``.
    tries, skip_existing, addition
        As `separate_one`.
    """

    output: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None
    state_place: Path | None = None
    tries: int = TRIES
    skip_existing: bool = False
    addition: Addition | None = None

    def state(self) -> State | None:
        """The run's state, opened anew."""
        if self.fingerprint is None:
            return None
        return State(self.output, self.fingerprint, self.state_place)


class Line:
    """A desk's end of the connection to who gives it work; shared by threads.

    Parameters
    ----------
    connection
        Entries and orders come in, `Told` goes out.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection, self._sending = connection, threading.Lock()

    def say(self, told: Told) -> None:
        """Say something, if anybody is there to hear it."""
        with self._sending, suppress(OSError):
            self._connection.send(told)

    def next(self) -> Entry | Order:
        """Wait for what comes; an order to end where nobody is left to give any."""
        try:
            order: Entry | Order = self._connection.recv()
        except (EOFError, OSError):
            return Order.CANCEL
        return order

    def close(self) -> None:
        """Let the other end know that nothing more comes."""
        self._connection.close()


class Desk:
    """Works on entries that come over a line, and says there what becomes of them.

    Parameters
    ----------
    line
        To who gives the work; where that is gone, all ends cleanly.
    separator
        By which.
    work
        What is wanted of each.
    size
        Entries at a time: while one is computed, the next is read.
    """

    def __init__(self, line: Line, separator: Separator, work: Work, size: int) -> None:
        self._line, self._separator, self._work = line, separator, work
        self._size, self._state = size, work.state()
        self._cancel = threading.Event()

    def serve(self) -> None:
        """Work until told to end; what is in work then ends first."""
        with ThreadPoolExecutor(self._size, thread_name_prefix="sgn-rt-desk") as threads:
            try:
                self._line.say(Ready())
                while isinstance(order := self._line.next(), Entry):
                    threads.submit(self._one, order)
                if order is Order.CANCEL:
                    self._cancel.set()
            except BaseException:  # a signal
                self._cancel.set()
                raise

    def _one(self, entry: Entry) -> None:
        work = self._work
        try:
            row = separate_one(
                self._separator, entry, work.output, work.options, self._state, work.tries,
                skip_existing=work.skip_existing, addition=work.addition,
                progress=self._progress_of(entry.key), cancel=self._cancel,
            )  # fmt: skip
        except CancelledError:
            pass
        except SgnError as error:
            self._line.say(Broken(str(error), isinstance(error, AudioError)))
        except BaseException as error:  # or its end would never be told
            self._line.say(
                Broken(
                    f"{entry.key}: got {type(error).__name__}: {error}, expected no such error. "
                    "Please report it."
                )
            )
        else:
            self._line.say(Done(entry.key, row))

    def _progress_of(self, key: str) -> Progress:
        last = time.monotonic()

        def tell(done: float) -> None:
            nonlocal last
            if time.monotonic() - last >= TOLD_EVERY_S:
                last = time.monotonic()
                self._line.say(Part(key, done))

        return tell


def forwarding_warnings(tell: Callable[[Warned], object]) -> None:
    """Have warnings of this package told, not printed, in all of this process."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *details: Any, **more: Any) -> None:
        if issubclass(category, SgnWarning):
            tell(Warned(str(message)))
        else:
            before(message, category, *details, **more)

    warnings.showwarning = show
