"""What the README promises, on the model and the music that ship."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sgn_rt
from sgn_rt.audio.labelled_music import load_music, shipped_music
from sgn_rt.model.bundle import embedded
from sgn_rt.separator import Separator

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

STATED_DB = {
    ("003", "tuba"): (-0.3, 12.7),
    ("003", "piano"): (0.5, 11.6),
    ("004", "xylophone"): (1.8, 24.0),
    ("004", "trumpet"): (-1.7, 22.5),
}
"""SI-SDR of mixture and of separated source, as the model's card states them."""


@pytest.fixture(scope="module")
def separator():
    with Separator.open() as opened:
        yield opened


@pytest.mark.parametrize("piece", load_music(None, 11025), ids=lambda piece: piece.name)
def test_separation_is_as_good_as_the_card_says(separator, piece, si_sdr):
    names = list(piece.stems)
    result = separator.separate(piece.mixture, names, sample_rate=11025)
    for name in names:
        before, after = STATED_DB[piece.name, name]
        stem = piece.stems[name]
        assert si_sdr(stem, piece.mixture) == pytest.approx(before, abs=0.06)  # the card's rounding
        assert si_sdr(stem, result.sources[name][0]) - before > after - before - 0.3


def test_true_instruments_are_found(separator):
    for piece in load_music(None, 11025):
        found = separator.separate(piece.mixture, [], sample_rate=11025).presence
        assert all(found[name] > 0.5 for name in piece.stems)


def _blocks(language: str) -> list[str]:
    """Of all but the section on TensorRT, whose commands need a GPU."""
    sections = [part for part in README.split("\n## ") if not part.startswith("TensorRT")]
    return re.findall(rf"```{language}\n(.*?)```", "\n".join(sections), re.DOTALL)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    shutil.copy(shipped_music() / "003.mix.flac", tmp_path / "mix.flac")
    shutil.copy(embedded() / "checkpoint.safetensors", tmp_path)
    monkeypatch.chdir(tmp_path)
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(scripts), prepend=":")
    return tmp_path


def test_commands_of_the_readme_run(workplace):
    commands = "\n".join(_blocks("bash"))
    if shutil.which("ffmpeg") is None:  # the README's way to raw PCM; libsndfile's does as well
        samples, _ = soundfile.read("mix.flac", dtype="int16")
        np.repeat(samples[:, None], 2, axis=1).tofile("mix.pcm")
        commands = re.sub(r"ffmpeg .* - \|", "cat mix.pcm |", commands)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    frames = soundfile.info("mix.flac").frames
    for stem in ("tuba.wav", "piano.wav", "tuba.flac", "piano.flac", "residual.flac"):
        assert soundfile.info(workplace / "out" / "mix" / stem).frames == frames
    assert (workplace / "four-channels.pcm").stat().st_size == frames * 4 * 2


def test_python_of_the_readme_runs(workplace, capsys):
    for block in _blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert "tuba" in capsys.readouterr().out


def test_base_installation_needs_no_torch():
    needed = [r for r in metadata.requires("sgn-rt") or [] if "extra ==" not in r]
    assert needed
    assert not [r for r in needed if re.match(r"torch|onnx|nvidia|tensorrt|pycuda", r)]


def test_version_is_one():
    assert metadata.version("sgn-rt") == sgn_rt.__version__
