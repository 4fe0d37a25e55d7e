"""What goes up: a file, a file object or bytes, read piece by piece while it is sent."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from sgn_rt.errors import AudioError

Upload: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A recording: a file's name, its content, or a binary file object, from where it stands."""

_PIECE: Final = 1 << 18
"""Bytes read at a time."""


def opened(recording: Upload, held: ExitStack) -> tuple[BinaryIO, int | None]:
    """A recording open for reading, and how many bytes of it there are, if that is known.

    Parameters
    ----------
    recording
        See `Upload`.
    held
        Closes what was opened here.

    Raises
    ------
    AudioError
        If it is none, or there is no such file.
    """
    if isinstance(recording, bytes | bytearray | memoryview):
        return io.BytesIO(recording), len(recording)
    if isinstance(recording, str | os.PathLike):
        try:
            file: BinaryIO = Path(recording).open("rb")  # noqa: SIM115 - held does it
            held.callback(file.close)
            return file, os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise AudioError(
                f"{recording}: got a file that cannot be read ({reason}), expected a recording. "
                "Check the name."
            ) from error
    foreign: object = recording
    if not hasattr(foreign, "read") or isinstance(foreign, io.TextIOBase):
        raise AudioError(
            f"recording: got {type(recording).__name__}, expected a file's name, bytes or a binary "
            "file object. Write samples to a file first, or send them by stream()."
        )
    try:
        begin = recording.tell()
        size = recording.seek(0, os.SEEK_END) - begin
        recording.seek(begin)
    except (OSError, AttributeError):  # a pipe: it goes in chunks
        return recording, None
    return recording, size


async def pieces(file: BinaryIO, most: int | None = None) -> AsyncIterator[bytes]:
    """The rest of a file; read by a thread, a piece whenever the last one is sent.

    Parameters
    ----------
    file
        Open for reading.
    most
        Bytes that the server takes; None where it is not known.

    Raises
    ------
    AudioError
        If there are more.
    """
    size = 0
    while piece := await asyncio.to_thread(file.read, _PIECE):
        size += len(piece)
        expect_taken(size, most)
        yield piece


def expect_taken(size: int, most: int | None) -> None:
    """Raise AudioError for more bytes than the server takes."""
    if most is not None and size > most:
        raise AudioError(
            f"recording: got {size} bytes or more, expected at most {most}, as the server says. "
            "Send a part of it, or FLAC."
        )
