"""The stage ``resampling``: right filters hold it, and a hundredth of a sample does not."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.audio.resample import SpanResampler
from sgn_rt.model.contract import Precision
from sgn_rt.model.stages import LIMITS, Stage
from sgn_rt.parity.resampling import at_both, resampling
from sgn_rt.tensorrt.plugins.polyphase import PolyphaseResampler, without_kernel

LIMIT = LIMITS[Stage.RESAMPLING][Precision.FP32]


def polyphase(source_rate, target_rate):
    return PolyphaseResampler(source_rate, target_rate, without_kernel)


def late_by(part):
    class Late(SpanResampler):
        def __call__(self, source, start, stop):
            made = super().__call__(source, start, stop)
            shift = np.exp(-2j * np.pi * np.fft.rfftfreq(made.shape[1]) * part)
            return np.fft.irfft(np.fft.rfft(made) * shift, made.shape[1]).astype(np.float32)

    return Late


@pytest.mark.parametrize("make", [SpanResampler, polyphase])
@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_white_noise_is_the_hardest_and_holds(make, rate, small_config, noise):
    config = small_config(sample_rate=rate)
    assert LIMIT.holds(resampling(make, noise(1, 8191)[0], config))


@pytest.mark.parametrize("part", [0.5, 1.0, 0.01])
def test_late_by_part_of_a_sample_does_not_hold(part, small_config, noise):
    assert not LIMIT.holds(resampling(late_by(part), noise(1, 8191)[0], small_config()))


def test_both_rates_hold_the_same_tone():
    low, high = at_both(np.cos(2 * np.pi * np.arange(8000) / 80).astype("f4"), 8000, 44100)
    assert np.abs(low - np.cos(2 * np.pi * np.arange(8000) / 80)).max() < 1e-6
    assert np.abs(high - np.cos(2 * np.pi * np.arange(44100) / 441)).max() < 1e-6
