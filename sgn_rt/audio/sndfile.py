"""Formats of libsndfile: WAV, AIFF, FLAC, Ogg, MP3 and their kin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import soundfile

from sgn_rt._types import Float
from sgn_rt.audio import mpeg
from sgn_rt.audio.base import AudioReader, DamageError, UnsuitedError
from sgn_rt.audio.limits import Limits
from sgn_rt.audio.source import Source, reason
from sgn_rt.errors import AudioError

_SHORTENED = (
    re.compile(
        r"(?:data|SSND|BODY|Data Size|riff)\s*: (?P<declared>\d+) \(should be (?P<actual>\d+)\)"
    ),
    re.compile(r"frame count (?P<actual>\d+) does not match .* chunk of (?P<declared>\d+)"),
)
"""What libsndfile notes in its log where a file (WAV, AIFF, SVX, AU, W64; RF64) promises more than
it holds. It shortens the file and goes on: a truncated recording would pass for a whole one."""

_UNTOLD_SIZES = (0xFFFFFFFF, 0x7FFFFFFF)
"""Sizes in the headers of files that were written to a pipe; such files go to their end."""

_UNTOLD_FRAMES = 1 << 62
"""libsndfile says at least so many of a FLAC whose header does not tell its length."""

_ERRORS = (soundfile.LibsndfileError, OSError, RuntimeError)

_SALVAGED = 1024
"""Frames read at once of a damaged file: what a failing read has decoded is lost."""


class SndfileReader(AudioReader):
    """A recording that libsndfile reads."""

    def __init__(self, source: Source, limits: Limits, *, salvage: bool = False) -> None:
        super().__init__(source, limits, salvage=salvage)
        with self._opened() as file:
            self.sample_rate = int(file.samplerate)
            self.channels = int(file.channels)
            self.frames = int(file.frames)
            self._format, subtype = str(file.format), str(file.subtype)
            log = str(file.extra_info)
        # Decoders of the others need what lies before.
        self._seeks = self._format == "FLAC" or subtype.startswith(("PCM_", "FLOAT", "DOUBLE"))
        self._check(0)
        if self._format == "MP3":
            self._settle_mpeg()
        else:
            self._settle(log)
        self._check(self.frames)
        self._expect_sound()

    def _settle(self, log: str) -> None:
        """Find out whether the file holds what its header says."""
        if self.frames >= _UNTOLD_FRAMES:  # as a FLAC that was written to a pipe
            self.frames = self._count()
            return
        for match in (match for pattern in _SHORTENED for match in pattern.finditer(log)):
            declared, actual = int(match["declared"]), int(match["actual"])
            if declared not in _UNTOLD_SIZES and declared > actual:
                self._damaged(f"{actual} of {declared} bytes or frames")
        self._check(self.frames)
        if self._format in ("OGG", "FLAC") and not self._has_last_frame():
            self._damaged(f"less than the {self.frames} frames of its header")
        if self._salvage:
            declared, self.frames = self.frames, self._count()
            if self.frames < declared:
                self._damaged(f"{self.frames} of {declared} frames")

    def _has_last_frame(self) -> bool:
        """Whether the last frame decodes: headers can claim any number of them."""
        if self.frames == 0:
            return False
        try:
            with self._opened() as file:
                file.seek(self.frames - 1)
                return len(file.read(1, dtype="float32")) == 1
        except _ERRORS:
            return False

    def _settle_mpeg(self) -> None:
        """Find out how many frames an MP3 has, and whether libsndfile reads them all."""
        with self._source.open() as content:
            found = mpeg.walk(content)
        if found is None:
            raise UnsuitedError("an MP3 without a frame")
        self._check(max(0, found.frames - 3) * found.samples)  # two may be padding, one miscounted
        promised = found.promised
        if promised is None:
            if found.frames * found.samples > self.frames:
                raise UnsuitedError(
                    "an MP3 without a header, of which it guesses too short a length"
                )
            if not found.whole:
                self._damaged(f"an MP3 with a broken frame, and {found.frames} whole ones")
        elif found.frames > promised + 1:
            raise UnsuitedError(f"an MP3 of {found.frames} frames whose header tells {promised}")
        elif found.frames < promised - found.whole:  # some encoders count the header as a frame
            self._damaged(f"{found.frames} of {promised} MPEG frames")
        if self._salvage or found.frames != promised:
            self.frames = self._count()

    def _decode(self, frames: int, start: int) -> Iterator[Float]:
        step = min(frames, _SALVAGED) if self._salvage else frames
        skip = 0 if self._seeks else start
        with self._opened() as file:
            try:
                if self._seeks and start:
                    file.seek(start)
                while len(block := file.read(step, dtype="float32", always_2d=True)):
                    if skip < len(block):
                        yield block[skip:].T
                    skip = max(0, skip - len(block))
            except _ERRORS as error:
                raise DamageError(reason(error)) from error

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The file, opened; what reading of its bytes raises is told instead of what follows."""
        with self._source.open() as content:
            try:
                with _sound_file(content) as file:
                    yield file
            finally:
                if content.error is not None:
                    raise AudioError(
                        f"{self.name}: got {reason(content.error)}, expected to read it. "
                        "Check where it comes from."
                    ) from content.error


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read on and on.

    soundfile seeks after every read, to where it is, and decoders begin anew there: an MP3 came out
    otherwise by a rounding, the end of an Opus wholly otherwise, for other sizes of blocks.
    """

    def seekable(self) -> bool:
        return False


def _sound_file(content: Any) -> Any:
    try:
        return _Sequential(content)
    except _ERRORS as error:
        raise UnsuitedError(reason(error)) from error
