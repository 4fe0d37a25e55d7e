"""Audio files, read in blocks. Formats are libsndfile's."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import soundfile

from sgn_rt._types import Float
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


class AudioReader:
    """An audio file, read from its start as often as is wanted.

    Attributes
    ----------
    path
        The file.
    sample_rate
        Hz.
    channels, frames
        Of the file; a frame is one sample of each channel.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._expect_file()
        try:
            with soundfile.SoundFile(self.path) as file:
                self.sample_rate = int(file.samplerate)
                self.channels = int(file.channels)
                self.frames = int(file.frames)
                log = str(file.extra_info)
        # TypeError is for RAW, whose rate and channels nothing tells.
        except (soundfile.LibsndfileError, OSError, TypeError) as error:
            raise AudioError(
                f"{path}: got a file that does not read as audio ({reason(error)}), expected "
                "WAV, FLAC, Ogg, MP3 or another format of libsndfile. Convert it to one."
            ) from error
        self._expect_whole(log)
        if self.frames == 0:
            raise AudioError(f"{path}: got no samples, expected at least one. Check the recording.")

    def _expect_file(self) -> None:
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError as error:
            raise AudioError(
                f"{self.path}: got no such file, expected an audio file. Check the name."
            ) from error
        except (OSError, ValueError) as error:
            raise AudioError(
                f"{self.path}: got {reason(error)}, expected an audio file. Check the name."
            ) from error
        if stat.S_ISDIR(mode):
            raise AudioError(
                f"{self.path}: got a folder, expected an audio file. Name the file in it."
            )
        if not stat.S_ISREG(mode):
            raise AudioError(
                f"{self.path}: got a pipe or device, expected a file, which can be read more than "
                "once. Write the recording to a file first."
            )

    def _expect_whole(self, log: str) -> None:
        if self.frames >= _UNTOLD_FRAMES:
            raise AudioError(
                f"{self.path}: got a file that does not tell its length, as one written to a pipe, "
                "expected one that does. Encode it again, into a file."
            )
        for match in (match for pattern in _SHORTENED for match in pattern.finditer(log)):
            declared, actual = int(match["declared"]), int(match["actual"])
            if declared not in _UNTOLD_SIZES and declared > actual:
                raise AudioError(
                    f"{self.path}: got {actual} of {declared} bytes or frames, expected all of "
                    "them: the file is truncated. Copy it again."
                )

    def blocks(self, frames: int) -> Iterator[Float]:
        """The file from its start, in blocks.

        Yields
        ------
        ndarray
            shape = (channels, at most ``frames``), float32, full scale 1.

        Raises
        ------
        AudioError
            If the file ends early or does not decode.
        """
        done = 0
        try:
            with soundfile.SoundFile(self.path) as file:
                while True:
                    block = file.read(frames, dtype="float32", always_2d=True)
                    done += len(block)
                    if len(block):
                        yield block.T
                    if len(block) < frames:
                        break
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioError(
                f"{self.path}: got {reason(error)} after {done} of {self.frames} frames, expected "
                "to read it all. The file is damaged: copy it again."
            ) from error
        if done != self.frames:
            raise AudioError(
                f"{self.path}: got {done} frames, expected {self.frames}: the file is truncated. "
                "Copy it again."
            )


def reason(error: BaseException) -> str:
    """What an error of the system or of libsndfile says, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.strip() or type(error).__name__).rstrip(".").splitlines()[0]
