"""The measures in which parity and quality are stated."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def si_sdr(estimate: ArrayLike, reference: ArrayLike) -> float:
    """Scale-invariant signal-to-distortion ratio, dB, without removal of the mean.

    Parameters
    ----------
    estimate, reference
        Signals of the same shape; all their axes count as one.

    Returns
    -------
    float
        inf for a perfect estimate of a sound, -inf where nothing of it is left; nan where the
        reference is silent, or either is not finite.

    Source: Le Roux et al., "SDR - half-baked or well done?", 2019.
    """
    e = np.asarray(estimate, np.float64).ravel()
    r = np.asarray(reference, np.float64).ravel()
    energy = float(r @ r)
    if energy == 0.0:
        return float("nan")
    target = (float(e @ r) / energy) * r
    kept, error = float(target @ target), float(np.sum((e - target) ** 2))
    if kept == 0.0:
        return float("-inf")
    return float("inf") if error == 0.0 else float(10.0 * np.log10(kept / error))


_LEAST = 1e-5
"""Shares and presences below are as good as none: differences are relative to this."""


def relative(found: ArrayLike, expected: ArrayLike) -> float:
    """Largest difference, relative to what is expected; nan where a number is not finite."""
    f, e = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.max(np.abs(f - e) / np.maximum(np.abs(e), _LEAST)))


def share(source: ArrayLike, mixture: ArrayLike) -> float:
    """A source's projection on its mixture: 1 for all of it, 0 for none; 0 of silence."""
    s, m = np.asarray(source, np.float64), np.asarray(mixture, np.float64)
    energy = float(m @ m)
    return float(s @ m) / energy if energy else 0.0
