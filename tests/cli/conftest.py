"""The command line, run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from sgn_rt.audio.labelled_music import shipped_music

MIX = shipped_music() / "003.mix.flac"


@pytest.fixture
def clip(tmp_path) -> Path:
    """Two seconds of the shipped music, 44.1 kHz mono."""
    samples, rate = soundfile.read(MIX, start=6 * 44100, frames=2 * 44100, dtype="float32")
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path
