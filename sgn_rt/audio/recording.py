"""A recording to separate, be it a file or an array: read from its start as often as is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike, NDArray

from sgn_rt._types import Float
from sgn_rt.audio.limits import (
    Limits,
    checked_channels,
    checked_rate,
    checked_seconds,
    frames_per_block,
)
from sgn_rt.audio.reader import open_audio
from sgn_rt.audio.samples import as_samples, sample_array
from sgn_rt.audio.source import Encoded, is_encoded
from sgn_rt.errors import AudioError


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that can be read from its start more than once.

    Attributes
    ----------
    name
        For messages.
    sample_rate
        Hz.
    channels, samples
        Its shape.
    blocks
        Reads it in blocks of at most a given number of samples, shape = (channels, samples),
        float32, finite, of full scale 1; each is the reader's own.
    start
        Its first sample in the whole file or array, of which it may be an excerpt.
    salvaged
        What is missing of a damaged file that is read as far as it goes; None of a whole one.
    """

    name: str
    sample_rate: int
    channels: int
    samples: int
    blocks: Callable[[int], Iterable[Float]]
    start: int = 0
    salvaged: str | None = None


def open_recording(
    mixture: Encoded | ArrayLike,
    sample_rate: int | None = None,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    salvage: bool = False,
    most_seconds: float | None = None,
    most_channels: int | None = None,
) -> Recording:
    """A recording from a file, or from samples in memory.

    Parameters
    ----------
    mixture
        A file's name, its content as bytes, or a binary file object that can seek; or samples,
        shape = (channels, samples) or (samples,), floating point of full scale 1 or PCM of 8
        (signed or not), 16 or 32 bits: arrays, lists, tensors on the CPU. They are not copied.
    sample_rate
        Hz, of samples; for a file None, or its own.
    start_s, duration_s
        The part of it that is wanted, seconds, rounded to whole samples; None for all that follows.
    salvage
        Read a damaged file as far as it goes.
    most_seconds, most_channels
        The most that the whole file or array may have; for services, whose files come from
        strangers. None for what files can have.

    Raises
    ------
    AudioError
        If the file does not read, the rate is missing or another than the file's, the samples are
        none, of more than two axes or no sound, the excerpt lies beyond the end, or there is more
        than is taken.
    ConfigError
        For limits that are none.
    DependencyError
        If a package is needed that is not installed.
    """
    limits = (
        Limits(seconds=most_seconds)
        if most_channels is None
        else Limits(seconds=most_seconds, channels=most_channels)
    )
    rate = None if sample_rate is None else checked_rate(sample_rate)
    whole, read = (
        _of_file(mixture, rate, limits, salvage=salvage)
        if is_encoded(mixture)
        else _of_samples(mixture, rate, limits)
    )
    return _part(whole, read, *_span(whole, start_s, duration_s))


_FAR = 2.0**62
"""Samples; beyond every recording."""

_Read = Callable[[int, int], Iterable[NDArray[Any]]]
"""Blocks of at most so many samples, from a sample on."""


def _part(whole: Recording, read: _Read, start: int, stop: int) -> Recording:
    """Samples [start, stop) of a recording, checked as they are read."""

    def blocks(size: int) -> Iterator[Float]:
        at = start
        for block in read(frames_per_block(size, whole.channels), start):
            kept = block[:, : stop - at]
            if kept.shape[1]:
                yield as_samples(kept, what=whole.name, channels=whole.channels, position=at)
            at += kept.shape[1]
            # A file is read to its end only where that is wanted: then damage shows.
            if at >= stop and stop < whole.samples:
                return

    return replace(whole, samples=stop - start, start=start, blocks=blocks)


def _of_file(
    mixture: Encoded, rate: int | None, limits: Limits, *, salvage: bool
) -> tuple[Recording, _Read]:
    reader = open_audio(mixture, salvage=salvage, limits=limits)
    if rate is not None and rate != reader.sample_rate:
        raise AudioError(
            f"{reader.name}: sample rate: got {rate} Hz, expected the file's own "
            f"{reader.sample_rate} Hz. Leave it out for files."
        )
    salvaged = None
    if reader.salvaged is not None:
        seconds = reader.frames / reader.sample_rate
        salvaged = f"got {reader.salvaged}; {reader.frames} samples ({seconds:.2f} s) were read"
    shape = (reader.sample_rate, reader.channels, reader.frames)
    recording = Recording(reader.name, *shape, blocks=reader.blocks, salvaged=salvaged)
    return recording, reader.blocks


def _of_samples(mixture: Any, rate: int | None, limits: Limits) -> tuple[Recording, _Read]:
    if rate is None:
        raise AudioError(
            "sample_rate: got none, expected the rate of the samples in Hz. Add sample_rate=..."
        )
    array = sample_array(mixture, what="mixture")
    if 0 in array.shape:
        raise AudioError(
            f"mixture: got shape {array.shape}, expected (channels, samples) with at least one "
            "of each. Put channels first."
        )
    channels, length = array.shape
    checked_channels(channels)
    limits.check("mixture", rate=rate, channels=channels, samples=length)

    def read(size: int, start: int) -> Iterator[NDArray[Any]]:
        for at in range(start, length, size):
            yield array[:, at : at + size]

    return Recording("mixture", rate, channels, length, blocks=lambda size: read(size, 0)), read


def _span(whole: Recording, start_s: Any, duration_s: Any) -> tuple[int, int]:
    """First sample, and one past the last, of the part that is wanted."""
    length_s = whole.samples / whole.sample_rate
    start = _moment(whole, "start", start_s)
    if not 0 <= start < whole.samples:
        raise AudioError(
            f"{whole.name}: start: got {start_s:g} s, expected 0 to less than its {length_s:.6g} "
            "s. Choose a part that it has."
        )
    if duration_s is None:
        return start, whole.samples
    samples = _moment(whole, "duration", duration_s)
    if not 1 <= samples <= whole.samples - start:
        raise AudioError(
            f"{whole.name}: duration: got {duration_s:g} s from {start_s:g} s, expected more than "
            f"0, and at most the {length_s - start_s:.6g} s that are left of it. Choose a part "
            "that it has."
        )
    return start, start + samples


def _moment(whole: Recording, what: str, seconds: Any) -> int:
    samples = checked_seconds(seconds, f"{whole.name}: {what}") * whole.sample_rate
    return round(max(-_FAR, min(samples, _FAR)))
