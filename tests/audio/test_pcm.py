"""Samples as bytes and back."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.audio.pcm import PCM_FORMATS, checked_pcm_format, decoded, encoded, frame_bytes
from sgn_rt.errors import ConfigError


@pytest.mark.parametrize("sample_format", PCM_FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_what_was_coded_comes_back(sample_format, channels, noise):
    samples = noise(channels, 100)
    data = encoded(samples, sample_format)
    assert len(data) == 100 * frame_bytes(channels, sample_format)
    back = decoded(data, channels, sample_format)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, samples, atol=0 if sample_format == "f32le" else 2**-16)
    assert encoded(back, sample_format) == data


def test_channels_are_interleaved():
    samples = np.array([[0.5, -0.5], [0.25, 1.0]], np.float32)
    assert encoded(samples, "s16le") == np.array([16384, 8192, -16384, 32767], "<i2").tobytes()
    assert encoded(samples, "f32le") == np.array([0.5, 0.25, -0.5, 1.0], "<f4").tobytes()


def test_integers_end_at_full_scale():
    loud = np.array([[2.0, -2.0]], np.float32)
    assert encoded(loud, "s16le") == np.array([32767, -32768], "<i2").tobytes()


def test_nothing_is_nothing():
    for sample_format in PCM_FORMATS:
        assert encoded(np.zeros((2, 0), np.float32), sample_format) == b""
        assert decoded(b"", 2, sample_format).shape == (2, 0)


@pytest.mark.parametrize("name", ["s16be", "", None, 16])
def test_other_formats_are_none(fails, name):
    with fails(ConfigError, "s16le or f32le"):
        checked_pcm_format(name)
