"""The process around a command: its streams, which may be closed or full, and its signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import click

from sgn_rt.errors import AudioError


class Terminated(BaseException):
    """A signal that asks the process to end; no ``except Exception`` holds it up.

    Attributes
    ----------
    number
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def unwinding_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise `Terminated`, so that what is half done is cleaned up.

    SIGINT raises KeyboardInterrupt, as ever.

    The first one counts: another does not cut the cleaning short. A signal that the process was
    started to ignore, as by ``nohup``, stays ignored.
    """
    before: dict[signal.Signals, Any] = {}

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        for taken in before:
            signal.signal(taken, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            before[signal.SIGINT] = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def expect_streams() -> None:
    """Have stdin, stdout and stderr stand for something, and take any text.

    A closed one would give its number to the next file that is opened, and what a library prints
    would land there. What a stream's encoding does not have is written as an escape.

    Raises
    ------
    AudioError
        If stdout is closed: there is nowhere to write a result.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        raise AudioError(
            "stdout: got a closed one, expected one to write the result to. Send it to /dev/null "
            "if nobody wants it."
        )
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    """Text with escapes in the place of what is neither printable nor a line's end.

    Names of files, categories and bundles may hold anything, also what a terminal obeys.
    """
    return "".join(
        letter
        if letter.isprintable() or letter == "\n"
        else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in text
    )


_bars: list[object] = []
"""Those that are drawn on the terminal now, of one line each."""


@contextmanager
def bar_shown() -> Iterator[None]:
    """While a bar is drawn again and again on the last line of the terminal, by stderr."""
    _bars.append(None)
    try:
        yield
    finally:
        _bars.pop()


def make_way() -> None:
    """Erase a bar that is drawn, before something else is printed; it is drawn anew below."""
    if _bars:
        with suppress(OSError):  # a terminal that was hung up
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def say(kind: str, message: str) -> None:
    """Tell of something on stderr, in one line; where that is gone, nobody is told."""
    make_way()
    with suppress(OSError):  # a terminal that was hung up
        click.echo(f"sgn-rt: {kind}: {printable(' '.join(message.split()))}", err=True)


def forget_stdout() -> None:
    """Let what is still to be written to stdout go nowhere; Python would complain at the end."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
