"""Where an encoded recording comes from: a file, bytes, or a file object."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

from sgn_rt.errors import AudioError

Encoded: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | io.IOBase | Any
"""A file's name, its content, or a binary file object that can seek; see `is_encoded`."""


def is_encoded(value: object) -> TypeGuard[Encoded]:
    """Whether something is an encoded recording, rather than samples."""
    if isinstance(value, memoryview):
        return value.format in ("B", "b", "c")
    return isinstance(value, str | os.PathLike | bytes | bytearray) or hasattr(value, "read")


@dataclass(frozen=True, slots=True)
class Source:
    """An encoded recording. Every `open` begins at its start, and has a position of its own.

    Attributes
    ----------
    name
        For messages: printable whatever the file is called.
    """

    name: str
    _open: Callable[[], io.RawIOBase | io.BufferedIOBase]

    @classmethod
    def of(cls, encoded: Encoded) -> Source:
        """The source of a file, bytes or a file object.

        Parameters
        ----------
        encoded
            A file object stays open, is read from its start, and its position moves.

        Raises
        ------
        AudioError
            If there is no such file, or it cannot be read more than once.
        """
        if isinstance(encoded, bytes | bytearray | memoryview):
            content = bytes(encoded)  # ours alone, whatever becomes of a bytearray
            return cls("bytes", lambda: io.BytesIO(content))
        if isinstance(encoded, str | os.PathLike):
            path = Path(encoded)
            name = printable(encoded)
            _expect_file(path, name)
            return cls(name, lambda: path.open("rb"))
        name = _expect_seekable(encoded)
        lock = threading.Lock()
        return cls(name, lambda: _View(encoded, lock))

    def open(self) -> Content:
        """The content, from its start."""
        try:
            return Content(self._open())
        except OSError as error:
            raise AudioError(
                f"{self.name}: got {reason(error)}, expected an audio file. Check the name and "
                "its permissions."
            ) from error


class Content:
    """What libraries read of: `read`, `seek` and `tell`, and nothing that tells them a name.

    Libraries written in C lose what a file object raises, and take it for the end.

    Attributes
    ----------
    error
        What reading has raised.
    """

    def __init__(self, file: io.RawIOBase | io.BufferedIOBase) -> None:
        self._file = file
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes; fewer at the end or after an error alone, never more."""
        parts: list[bytes] = []
        try:
            while size > 0 and self.error is None and (part := self._file.read(size)):
                if len(part) > size:  # libraries would write it beyond their buffers
                    raise OSError(f"read() gave {len(part)} bytes where {size} were asked for")
                parts.append(part)
                size -= len(part)
        except Exception as error:
            self.error = error
        return b"".join(parts)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; the position after it, -1 where there is none."""
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            self.error = error
            return -1
        except (ValueError, OverflowError):  # places that no file has; damaged ones ask for them
            return -1

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


class _View(io.RawIOBase):
    """Another's file object with a position of its own; closing it leaves the object open."""

    def __init__(self, file: Any, lock: threading.Lock) -> None:
        self._other, self._lock, self._position = file, lock, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            with self._lock:
                offset += self._other.seek(0, os.SEEK_END)
        if offset < 0:
            raise ValueError("a position before the start")
        self._position = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        with self._lock:
            self._other.seek(self._position)
            data = self._other.read(size)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise OSError(f"read() gave {type(data).__name__}")
        self._position += len(data)
        return bytes(data)


def _expect_file(path: Path, name: str) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise AudioError(
            f"{name}: got no such file, expected an audio file. Check the name."
        ) from error
    except (OSError, ValueError) as error:
        raise AudioError(
            f"{name}: got {reason(error)}, expected an audio file. Check the name."
        ) from error
    if stat.S_ISDIR(mode):
        raise AudioError(f"{name}: got a folder, expected an audio file. Name the file in it.")
    if not stat.S_ISREG(mode):
        raise AudioError(
            f"{name}: got a pipe or device, expected a file, which can be read more than once. "
            "Write the recording to a file first."
        )


def _expect_seekable(file: Any) -> str:
    """What a file object is called, if it serves."""
    given = getattr(file, "name", None)
    name = printable(given) if isinstance(given, str | bytes | os.PathLike) else "file object"
    try:
        file.seek(0)
        nothing = file.read(0)
    except Exception as error:  # whatever a stranger's object raises: closed, no seek, a pipe
        raise AudioError(
            f"{name}: got a file object that cannot seek ({reason(error)}), expected one that can "
            "be read more than once. Read it, and give the bytes."
        ) from error
    if not isinstance(nothing, bytes | bytearray | memoryview):
        raise AudioError(
            f"{name}: got a file object that reads {type(nothing).__name__}, expected bytes. "
            'Open it with mode "rb".'
        )
    return name


def printable(name: str | bytes | os.PathLike[Any]) -> str:
    """A file's name for messages: what no terminal should get, or no UTF-8 holds, is escaped."""
    text = os.fsdecode(name)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def reason(error: BaseException) -> str:
    """What an error of the system or of a library says, in one line."""
    # libsndfile's own text is in error_string, FFmpeg's and the system's in strerror.
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return (text.strip() or type(error).__name__).rstrip(".").splitlines()[0]
