"""What every reader of encoded recordings is: decoded from its start, checked once for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.containers import truncated
from sgn_rt.audio.limits import Limits, frames_per_block
from sgn_rt.audio.source import Source
from sgn_rt.errors import AudioError

_COUNTED = 1 << 16
"""Frames decoded at once while they are counted."""


class DamageError(Exception):
    """What a decoder stumbles over: an error, or, where it is salvaged, the end."""


class UnsuitedError(AudioError):
    """A file that this reader does not read, or not whole; another one may."""


class AudioReader(ABC):
    """An encoded recording, read as often as is wanted, each time the same number of frames.

    Attributes
    ----------
    name
        For messages.
    sample_rate
        Hz.
    channels, frames
        Of the recording; a frame is one sample of each channel.
    salvaged
        What is missing of it, where a damaged file is read as far as it goes; None of a whole one.
    """

    name: str
    sample_rate: int
    channels: int
    frames: int
    salvaged: str | None

    def __init__(self, source: Source, limits: Limits, *, salvage: bool) -> None:
        self.name, self.salvaged = source.name, None
        self._source, self._limits, self._salvage = source, limits, salvage
        with source.open() as content:
            missing = truncated(content)
        if missing is not None:
            self._damaged(missing)

    def blocks(self, frames: int, start: int = 0) -> Iterator[Float]:
        """The recording in blocks, from its start or another frame on.

        Yields
        ------
        ndarray
            shape = (channels, ``frames``, or fewer where there are many channels, and at the end),
            float32, full scale 1.

        Raises
        ------
        AudioError
            If the file ends early or does not decode.
        """
        done, size = start, frames_per_block(frames, self.channels)
        try:
            for block in regrouped(self._decode(size, start), size):
                kept = block[:, : self.frames - done]
                done += block.shape[1]
                if kept.shape[1]:
                    yield kept
                if done >= self.frames and self.salvaged:
                    return
        except DamageError as error:
            raise AudioError(
                f"{self.name}: got {error} after {done} of {self.frames} frames, expected to read "
                "it all. The file is damaged: copy it again, or salvage what is left of it."
            ) from error
        if done != self.frames:
            raise AudioError(
                f"{self.name}: got {done} frames, expected {self.frames}: the file is truncated, "
                "or has changed. Copy it again, or salvage what is left of it."
            )

    @abstractmethod
    def _decode(self, frames: int, start: int) -> Iterator[Float]:
        """Pieces of any size; about ``frames`` where there is a choice.

        Raises
        ------
        DamageError
            Where decoding fails; what was before it has been given.
        """

    def _lengths(self) -> Iterator[int]:
        """Frames of each piece of `_decode`, and its errors."""
        for block in self._decode(frames_per_block(_COUNTED, self.channels), 0):
            yield block.shape[1]

    def _count(self) -> int:
        """Frames that really decode."""
        count = 0
        try:
            for frames in self._lengths():
                count += frames
                self._check(count)
        except DamageError as error:
            self._damaged(f"{error} after {count} frames")
        return count

    def _check(self, frames: int) -> None:
        """Refuse what is beyond the limits, so many frames of it at least."""
        self._limits.check(self.name, rate=self.sample_rate, channels=self.channels, samples=frames)

    def _damaged(self, what: str) -> None:
        """Tell of damage: by an error, or, salvaging, by a word in the report.

        Parameters
        ----------
        what
            Was found, e.g. ``"12 of 15 frames"``.
        """
        if not self._salvage:
            raise AudioError(
                f"{self.name}: got {what}, expected all of it: the file is truncated or damaged. "
                "Copy it again, or salvage what is left of it."
            )
        self.salvaged = self.salvaged or what

    def _expect_sound(self) -> None:
        if self.frames == 0:
            raise AudioError(
                f"{self.name}: got no samples, expected at least one. Check the recording."
            )


def regrouped(pieces: Iterable[Float], frames: int) -> Iterator[Float]:
    """Blocks of ``frames``, and a shorter last one, of pieces of any size; also before an error."""
    kept: list[Float] = []
    have = 0
    try:
        for piece in pieces:
            while piece.shape[1]:
                kept.append(piece[:, : frames - have])
                have += kept[-1].shape[1]
                piece = piece[:, kept[-1].shape[1] :]
                if have == frames:
                    yield _joined(kept)
                    kept, have = [], 0
    except DamageError:
        if kept:
            yield _joined(kept)
        raise
    if kept:
        yield _joined(kept)


def _joined(pieces: list[Float]) -> Float:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
