"""An audio file, written in blocks."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import soundfile

from sgn_rt._types import Float
from sgn_rt.audio.source import printable, reason
from sgn_rt.errors import AudioError, StorageError

Format = Literal["wav", "flac"]
SUBTYPES: Mapping[str, str] = {"wav": "FLOAT", "flac": "PCM_24"}
"""Sample formats written: float32 loses and clips nothing; FLAC has no floating point."""

WAV_LIMIT = 4_000_000_000
"""Bytes beyond which a WAV file's 32-bit sizes do not do; RF64 does, and is read by the same
programs."""


_STORAGE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_ADD_PEAK_CHUNK = 0x1050
"""libsndfile's SFC_SET_ADD_PEAK_CHUNK."""
_SYSTEM = 2
"""libsndfile's number for an error of the system, of which it keeps no more."""


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Make errors of the system and of libsndfile an AudioError that says what they kept from.

    It is a StorageError where all else that is written there would fail as well.
    """
    try:
        yield
    except (soundfile.LibsndfileError, OSError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in _STORAGE or getattr(error, "code", None) == _SYSTEM:
            raise StorageError(_of_storage(place, error)) from error
        raise AudioError(
            f"{place}: got {reason(error)}, expected to write stems there. "
            "Check the name, permissions and the format's limits."
        ) from error


def _of_storage(place: Path, error: Exception) -> str:
    """What a user is told of storage that takes nothing more: which, how much is free, what to do.

    libsndfile's word, a system error, says nothing of that.
    """
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    disk = there.resolve()
    while not os.path.ismount(disk):
        disk = disk.parent
    free_mb = shutil.disk_usage(there).free / 1e6
    return (
        f"{place}: got {reason(error)}, expected to write stems there. The disk at "
        f"{printable(disk)} has {free_mb:.1f} MB of free space. Make room, see "
        "whether it is read-only or has a quota or a limit of a file's size, or name another "
        "output folder."
    )


def _without_peak_chunk(file: Any) -> None:
    """Leave out what libsndfile adds to WAV of floating point, before anything is written.

    It looks for the peak sample by sample, which takes twice as long as the writing itself, and
    puts the time of day beside it, so that no two files of the same sound were the same. soundfile
    has no call of its own for it; where a version lets nobody do it, the chunk is there as before.
    """
    with suppress(AttributeError):
        soundfile._snd.sf_command(file._file, _ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)


class AudioWriter:
    """One audio file in the making; whoever opens it closes it, or leaves its ``with`` block.

    Parameters
    ----------
    path
        The file, ending in ``.wav`` (float32) or ``.flac`` (24 bit); what is there is lost.
    sample_rate
        Hz.
    channels, frames
        How many there will be; a file that is closed with another number of frames is an error.
    place
        What errors name: where the file is meant for. None for `path`.

    Attributes
    ----------
    path
        The file.
    peak
        Largest magnitude so far, full scale 1.
    frames
        Written so far.

    Raises
    ------
    AudioError
        If it cannot be written, also by `write` and `close`.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        channels: int,
        frames: int,
        *,
        place: Path | None = None,
    ) -> None:
        self.path, self.peak, self.frames = path, 0.0, 0
        self._place = place or path
        self._kind = path.suffix.removeprefix(".")
        self._expected = frames
        large = self._kind == "wav" and frames * channels * 4 > WAV_LIMIT
        with writing(self._place):
            path.touch()  # libsndfile would give it fewer permissions than the umask lets
            self._file: Any = soundfile.SoundFile(
                os.fsencode(path),  # it would encode a text itself, and not any
                "w",
                sample_rate,
                channels,
                subtype=SUBTYPES[self._kind],
                format="RF64" if large else self._kind.upper(),
            )
        _without_peak_chunk(self._file)

    def write(self, block: Float) -> None:
        """Append a block, shape = (channels, samples), float32, full scale 1."""
        with writing(self._place):
            try:
                self._file.write(block.T)
            except AssertionError as error:  # how soundfile tells of a short write
                raise OSError(errno.ENOSPC, "a short write: the disk may be full") from error
        self.frames += block.shape[1]
        highest, lowest = block.max(initial=0.0), block.min(initial=0.0)  # no copy, as of abs
        self.peak = max(self.peak, float(highest), -float(lowest))

    @property
    def clipped(self) -> bool:
        """Whether the sound went beyond full scale in a format that clips there."""
        return self.peak > 1.0 and SUBTYPES[self._kind] != "FLOAT"

    @property
    def is_open(self) -> bool:
        """Whether it has been neither closed nor abandoned."""
        return not self._file.closed

    def close(self) -> None:
        """Finish the file, and make sure that all of it has arrived."""
        with writing(self._place):
            self._file.close()
            arrived = soundfile.info(os.fsencode(self.path)).frames
            if arrived != self._expected:
                lost = self.frames == self._expected  # or never written
                raise OSError(
                    errno.EIO if lost else errno.EINVAL,
                    f"{arrived} of {self._expected} frames in {self.path.name}",
                )

    def abandon(self) -> None:
        """Let go of the file as it is."""
        with suppress(soundfile.LibsndfileError, OSError):  # nobody wants the file
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()
