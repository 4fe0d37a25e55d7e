"""Recordings as protocols want them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.reader import open_audio

SILENT: Final = 1e-5
"""Sum of magnitudes up to which a signal counts as silent, as in Sound-of-Pixels."""


def read_channels(path: Path) -> tuple[Float, int]:
    """A recording as it is: shape = (channels, samples), float32, and its rate, Hz."""
    reader = open_audio(path)
    return np.concatenate(list(reader.blocks(1 << 20)), axis=1), reader.sample_rate


def is_any_silent(signals: Float) -> bool:
    """Whether one of some signals is, shape = (signals, samples)."""
    return bool(np.any(np.abs(signals).sum(axis=1) <= SILENT))


def centre(signal: Float, samples: int) -> Float:
    """``samples`` from the middle of a signal, shape = (samples,); a short one repeats itself."""
    if len(signal) == 0:
        return np.zeros(samples, np.float32)
    if len(signal) < samples:
        signal = np.tile(signal, -(-samples // len(signal)))
    first = (len(signal) - samples) // 2
    return signal[first : first + samples]
