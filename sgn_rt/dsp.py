"""Signal processing around the network, on NumPy and SciPy: STFT, log-frequency warp, masked inverse STFT."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgn_rt.contract import LOG_AXIS_BASE


def _interpolation_matrix(positions: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Linear-interpolation matrix, shape = (len(positions), size), sampling at ``positions`` in [0, size - 1]."""
    low = np.clip(np.floor(positions).astype(np.int64), 0, size - 2)
    weight = positions - low
    matrix = np.zeros((len(positions), size), np.float64)
    rows = np.arange(len(positions))
    matrix[rows, low] = 1.0 - weight
    matrix[rows, low + 1] = weight
    return matrix.astype(np.float32)


def log_warp_matrix(bins: int, log_bins: int) -> NDArray[np.float32]:
    """Linear frequency to log axis, shape = (log_bins, bins), rows sum to 1 (MODEL, step 2)."""
    y = np.linspace(-1.0, 1.0, log_bins)
    s = (LOG_AXIS_BASE ** ((y + 1.0) / 2.0) - 11.0) / 10.0
    return _interpolation_matrix((np.clip(s, -1.0, 1.0) + 1.0) / 2.0 * (bins - 1), bins)


def log_unwarp_matrix(bins: int, log_bins: int) -> NDArray[np.float32]:
    """Log axis to linear frequency, shape = (bins, log_bins), rows sum to 1 (MODEL, step 10)."""
    y = np.linspace(-1.0, 1.0, bins)
    s = np.log(10.0 * y + 11.0) / np.log(LOG_AXIS_BASE) * 2.0 - 1.0
    return _interpolation_matrix((np.clip(s, -1.0, 1.0) + 1.0) / 2.0 * (log_bins - 1), log_bins)
