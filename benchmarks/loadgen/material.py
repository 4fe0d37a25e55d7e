"""Windows that are sent: of the music that ships."""

from __future__ import annotations

from typing import Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import load_music
from sgn_rt.model.config import ModelConfig

WINDOWS: Final = 16
"""No two alike, and few enough for the log of an accuracy run, which has every sample."""


def windows(config: ModelConfig) -> Float:
    """`WINDOWS` windows of the shipped mixtures, evenly spread, shape = (B, N), float32."""
    signal = np.concatenate([piece.mixture for piece in load_music(None, config.sample_rate)])
    signal = np.resize(signal, max(len(signal), config.window_samples))
    starts = np.linspace(0, len(signal) - config.window_samples, WINDOWS).astype(int)
    return np.stack([signal[start : start + config.window_samples] for start in starts])
