"""A recording to separate, be it a file or an array: read from its start as often as is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from sgn_rt._types import Float
from sgn_rt.audio.reader import AudioReader
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
        Reads it in blocks of a given number of samples, shape = (channels, at most that number).
    """

    name: str
    sample_rate: int
    channels: int
    samples: int
    blocks: Callable[[int], Iterable[Float]]


def open_recording(mixture: str | Path | ArrayLike, sample_rate: int | None) -> Recording:
    """A recording from a file, or from samples in memory.

    Parameters
    ----------
    mixture
        A file, or samples, shape = (channels, samples) or (samples,), floating point, full scale 1.
    sample_rate
        Hz, of samples; for a file None, or its own.

    Raises
    ------
    AudioError
        If the file does not read, the rate is missing or another than the file's, or the samples
        are none, of more than two axes, or not floating point.
    """
    if isinstance(mixture, str | Path):
        reader = AudioReader(mixture)
        if sample_rate is not None and sample_rate != reader.sample_rate:
            raise AudioError(
                f"{mixture}: sample rate: got {sample_rate} Hz, expected the file's own "
                f"{reader.sample_rate} Hz. Leave it out for files."
            )
        return Recording(
            str(mixture), reader.sample_rate, reader.channels, reader.frames, reader.blocks
        )
    if sample_rate is None:
        raise AudioError(
            "sample_rate: got none, expected the rate of the samples in Hz. Add sample_rate=..."
        )
    try:
        samples = np.atleast_2d(np.asarray(mixture))
    except ValueError as error:
        raise AudioError(
            f"mixture: got what is no array ({error}), expected shape (channels, samples). "
            "Give all channels one length."
        ) from error
    if samples.ndim != 2 or 0 in samples.shape:
        raise AudioError(
            f"mixture: got shape {samples.shape}, expected (channels, samples) with at least one "
            "of each. Put channels first."
        )
    if samples.dtype.kind != "f":
        raise AudioError(
            f"mixture: got {samples.dtype} samples, expected floating point of full scale 1. "
            "Divide integer PCM by its full scale."
        )
    channels, length = samples.shape
    return Recording(
        "mixture",
        sample_rate,
        channels,
        length,
        lambda size: (samples[:, at : at + size] for at in range(0, length, size)),
    )
