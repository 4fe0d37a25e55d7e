"""The command line, run in this process."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.cli import main

MIX = shipped_music() / "003.mix.flac"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run ``sgn-rt`` in this process: exit code, stdout, stderr."""

    def call(*arguments: object):
        monkeypatch.setattr(sys, "argv", ["sgn-rt", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return SimpleNamespace(code=exit_.value.code, out=captured.out, err=captured.err)

    return call


@pytest.fixture
def clip(tmp_path) -> Path:
    """Two seconds of the shipped music, 44.1 kHz mono."""
    samples, rate = soundfile.read(MIX, start=6 * 44100, frames=2 * 44100, dtype="float32")
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path
