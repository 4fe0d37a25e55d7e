"""The recording is the same every time, and of any length."""

from __future__ import annotations

import numpy as np
import soundfile

from sgn_rt.benchmarks.material import SAMPLE_RATE, write_recording


def test_the_recording_is_the_same_every_time(tmp_path):
    first, again, longer = (tmp_path / name for name in ("a.wav", "b.wav", "c.wav"))
    assert write_recording(first, 0.1) == round(0.1 * 60 * SAMPLE_RATE)
    write_recording(again, 0.1)
    write_recording(longer, 0.7)
    assert first.read_bytes() == again.read_bytes()
    sound, rate = soundfile.read(longer)
    assert (rate, sound.ndim, len(sound)) == (SAMPLE_RATE, 1, round(0.7 * 60 * SAMPLE_RATE))
    np.testing.assert_array_equal(soundfile.read(first)[0], sound[: round(6 * SAMPLE_RATE)])
    assert np.abs(sound[-SAMPLE_RATE:]).max() > 0.01
