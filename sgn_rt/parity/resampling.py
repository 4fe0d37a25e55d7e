"""A resampler against the signal that has the same spectrum at the other rate."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.resample import Resampler
from sgn_rt.model.config import ModelConfig

RATES: Final = (44_100, 48_000)
"""Of most recordings, Hz."""

_TOP, _SLOPE = 0.4, 0.05
"""Of the lower rate: sound up to the first is left, and between it and both together less and less.
Filters pass it all, whatever their slope."""

Make = Callable[[int, int], Resampler]
"""Gives the resampler from a rate to another, Hz."""


def resampling(make: Make, mixture: Float, config: ModelConfig) -> float:
    """Least signal-to-noise ratio of conversions to the model's rate and from it, dB.

    Parameters
    ----------
    make
        As `Engine.resampler`.
    mixture
        What is converted, again and again, shape = (N,), at the model's rate.
    config
        The model's.
    """
    rate = config.sample_rate
    ratios = []
    for other in RATES:
        if other != rate:
            low, high = at_both(mixture, rate, other)
            ratios.append(_snr(_convert(make(other, rate), high, len(low)), low))
            ratios.append(_snr(_convert(make(rate, other), low, len(high)), high))
    return float(np.min(ratios))


def at_both(signal: Float, rate: int, other: int) -> tuple[Float, Float]:
    """A signal without its highest frequencies at two rates, by its spectrum in double precision.

    Both are periods of endless ones, begin at the same time, and last equally long.
    """
    ratio = Fraction(other, rate)
    samples = -(-len(signal) // ratio.denominator) * ratio.denominator
    period = np.zeros(samples)
    period[: len(signal)] = signal
    lower = min(rate, other)
    beyond = np.fft.rfftfreq(samples, 1 / rate) - _TOP * lower
    spectrum = np.fft.rfft(period) * np.clip(1 - beyond / (_SLOPE * lower), 0, 1)
    there = int(samples * ratio)
    moved = np.zeros(there // 2 + 1, np.complex128)
    kept = min(len(spectrum), len(moved))
    moved[:kept] = spectrum[:kept]
    here = np.fft.irfft(spectrum, samples).astype(np.float32)
    return here, (np.fft.irfft(moved, there) * float(ratio)).astype(np.float32)


def _convert(resampler: Resampler, signal: Float, samples: int) -> Float:
    """A period of an endless signal."""
    span = signal[np.arange(*resampler.source_span(0, samples)) % len(signal)]
    converted: Float = resampler(span[None], 0, samples)[0]
    return converted


def _snr(found: Float, expected: Float) -> float:
    signal = expected.astype(np.float64)
    noise = float(np.sum(np.square(found - signal)))
    if noise == 0.0:
        return float("inf")
    energy = float(signal @ signal)
    return float(10.0 * np.log10(energy / noise)) if energy else -np.inf
