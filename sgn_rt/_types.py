"""Names for the arrays that go around, alone and together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float32]
"""Audio (full scale 1), masks and probabilities alike."""

Positions: TypeAlias = NDArray[np.int64]
"""Positions of categories in the configuration's list, shape = (S,)."""


Windows: TypeAlias = Float | Sequence[Float]
"""Windows of the network, shape = (B, N), in one array or each in its own."""

SampleFormat: TypeAlias = Literal["float32", "float16", "int16", "dithered-int16"]
"""What samples may come back from a GPU in; full scale 1 is 32768 steps of int16."""


class Part(NamedTuple):
    """What is heard of a window.

    Attributes
    ----------
    start, stop
        Samples [start, stop) of it.
    gain
        Factor on the sources.
    format
        What they may come in. What has nothing to send over a bus gives float32 all the same.
    position, channel
        The signal's sample that the window begins with, and its channel; for dither alone.
    """

    start: int
    stop: int
    gain: float = 1.0
    format: SampleFormat = "float32"
    position: int = 0
    channel: int = 0


class Separated(NamedTuple):
    """An engine's answer for a batch of windows.

    Attributes
    ----------
    sources
        Waveforms of the categories asked for, shape = (B, S, N), float32.
    presence
        Probability of every category, shape = (B, C), float32, 0 to 1.
    """

    sources: Float
    presence: Float


class Masked(NamedTuple):
    """The network's answer to a log-magnitude.

    Attributes
    ----------
    masks
        On the log-frequency axis, shape = (B, S, L, T), float32, 0 to 1.
    presence
        Probability of every category, shape = (B, C), float32, 0 to 1.
    """

    masks: Float
    presence: Float


class Signals(NamedTuple):
    """What the network says of one window beside masks.

    Attributes
    ----------
    presence
        Probability of every category, shape = (C,), float32, 0 to 1.
    embedding
        Of every category, shape = (C, D), float32.
    assignment
        Share of every feature token that each category gathers, shape = (C, P), float32, as in
        MODEL step 6: behind its division, so that a row sums to less than 1.
    """

    presence: Float
    embedding: Float
    assignment: Float


class Analysis(NamedTuple):
    """What a network says of one window: the first of an engine's two steps.

    Attributes
    ----------
    presence
        Probability of every category, shape = (C,), float32, 0 to 1.
    state
        What the same engine makes sources of; nobody else's business.
    """

    presence: Float
    state: Any


Answered: TypeAlias = tuple[Analysis, NDArray[Any]]
"""Of a window the network's part, and what is heard of the sources chosen."""


def as_batch(windows: Windows) -> Float:
    """Windows as one array, shape = (B, N); copied where they are several arrays."""
    if isinstance(windows, np.ndarray):
        return windows
    return windows[0][None] if len(windows) == 1 else np.stack(windows)


def to_float32(rows: NDArray[Any], out: Float | None = None) -> Float:
    """Samples of a `SampleFormat` as float32, full scale 1; a copy, ``out`` where it is given."""
    scale = np.float32(2.0**-15 if rows.dtype == np.int16 else 1.0)
    samples: Float = np.multiply(rows, scale, out=out, dtype=np.float32)
    return samples
