"""Sound of nothing but denormal numbers, with which processors take up to 100 times as long."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.samples import SMALLEST


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
@pytest.mark.parametrize("level", [1e-44, 1e-38, 1e-30, 1e-26, 1e-25, 1e-24])
def test_no_engine_sees_a_number_that_slows_it(fake_separator, noise, tmp_path, rate, level):
    opened = fake_separator()
    opened.engine.seen = []
    signal = noise(1, 2 * rate) * np.float32(level)
    signal[:, rate:] = 0.0  # into which filters ring
    opened.separator.separate(signal, ["bell"], sample_rate=rate)
    soundfile.write(tmp_path / "a.wav", signal.T, rate, subtype="FLOAT")
    opened.separator.separate_to(tmp_path / "a.wav", tmp_path / "out", ["bell"])
    stream = opened.separator.stream(sample_rate=rate, categories=["bell"])
    stream.feed(signal)
    stream.flush()
    assert opened.engine.seen
    for window in opened.engine.seen:
        magnitude = np.abs(window)
        assert not ((magnitude > 0) & (magnitude < SMALLEST)).any()
