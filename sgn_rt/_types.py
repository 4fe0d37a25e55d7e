"""Names for the arrays that go around, alone and together."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float32]
"""Audio (full scale 1), masks and probabilities alike."""

Positions: TypeAlias = NDArray[np.int64]
"""Positions of categories in the configuration's list, shape = (S,)."""


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
