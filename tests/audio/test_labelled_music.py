"""Mixtures with stems: what is found, and the music that ships."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.labelled_music import load_music
from sgn_rt.errors import AudioError


@pytest.fixture
def put(tmp_path):
    def write(name, seconds=0.5, rate=8000, channels=1, level=0.1):
        tone = level * np.sin(np.arange(int(seconds * rate)) * (2 * np.pi * 440 / rate))
        path = tmp_path / name
        soundfile.write(path, np.tile(tone[:, None], (1, channels)), rate)
        return path

    return write


def test_names_tell_what_belongs_together(put, tmp_path):
    for name in ("song [1].mix.wav", "song [1].bell.wav", "song [1].drum.wav", "solo.mix.flac",
                 "solo.bell.flac", "solo.drum.wav", "loose.wav", "other.bell.wav"):  # fmt: skip
        put(name)
    (tmp_path / "notes.mix.d").mkdir()
    pieces = load_music(tmp_path, 8000)
    assert [(piece.name, sorted(piece.stems)) for piece in pieces] == [
        ("solo", ["bell"]),
        ("song [1]", ["bell", "drum"]),
    ]


def test_everything_comes_to_the_models_rate_in_mono(put, tmp_path, tolerance):
    put("a.mix.wav", rate=44100, channels=2)
    put("a.bell.wav", rate=44100, level=0.05)
    (piece,) = load_music(tmp_path, 8000)
    assert piece.mixture.shape == piece.stems["bell"].shape == (4000,)
    assert piece.mixture.dtype == np.float32
    tone = 0.1 * np.sin(np.arange(4000) * (2 * np.pi * 440 / 8000))
    np.testing.assert_allclose(piece.mixture[200:-200], tone[200:-200], atol=tolerance["pcm16"])
    bell = piece.stems["bell"][200:-200]
    np.testing.assert_allclose(bell, tone[200:-200] / 2, atol=tolerance["pcm16"])


def test_a_stem_of_another_length(put, tmp_path, fails):
    put("a.mix.wav")
    put("a.bell.wav", seconds=0.25)
    with fails(AudioError, "a.bell.wav: got 2000 samples", "the mixture's 4000"):
        load_music(tmp_path, 8000)


def test_no_music(tmp_path, fails):
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with fails(AudioError, f"{folder}: got no mixture"):
            load_music(folder, 8000)


def test_the_music_that_ships(tolerance):
    pieces = load_music(None, 11025)
    assert {piece.name: sorted(piece.stems) for piece in pieces} == {
        "003": ["piano", "tuba"], "004": ["trumpet", "xylophone"],
    }  # fmt: skip
    for piece in pieces:
        total = sum(piece.stems.values())
        # Three files of 16 bits, each rounded by half a step.
        assert np.abs(total - piece.mixture).max() <= 1.5 * tolerance["pcm16"]
        assert np.abs(piece.mixture).max() > 0.05
