"""A process that works on entries: it is replaced where it dies, and ends where its parent does."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType

from sgn_rt.errors import SgnError
from sgn_rt.separator import Separator
from sgn_rt.serving.folders.desk import Broken, Desk, Line, Work, forwarding_warnings

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A terminal sends them to parent and workers alike: the parent decides, so they are blocked when a
worker starts. SIGTERM counts again as soon as it can be heeded: it may be meant for the worker."""


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(number, signal.SIG_IGN)  # another does not cut the end short
    sys.exit(128 + number)


def work(connection: Connection, opener: Callable[[], Separator], wanted: Work, size: int) -> None:
    """What the process does.

    Parameters
    ----------
    connection
        To the parent.
    opener
        Opens the separator; it can be pickled.
    wanted, size
        As `Desk`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    line = Line(connection)
    forwarding_warnings(line.say)
    try:
        separator = opener()
    except SgnError as error:
        line.say(Broken(str(error)))
        return
    with separator:
        Desk(line, separator, wanted, size).serve()
