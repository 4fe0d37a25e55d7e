"""What README and docs promise, on the model and the music that ship."""

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
from sgn_rt.model.contract import Precision
from sgn_rt.model.stages import LIMITS
from sgn_rt.separator import Separator

TOP = Path(__file__).parents[1]
README = TOP / "README.md"
PAGES = (README, *sorted((TOP / "docs").glob("*.md")))

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
    """Of all pages but the one on TensorRT, whose commands need a GPU."""
    pages = [page.read_text(encoding="utf-8") for page in PAGES if page.name != "tensorrt.md"]
    return re.findall(rf"```{language}\n(.*?)```", "\n".join(pages), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    for link in local:
        assert (page.parent / link).exists(), link


def test_every_page_is_a_question_that_the_readme_asks():
    readme = README.read_text(encoding="utf-8")
    for page in PAGES[1:]:
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert title.endswith("?"), page.name
        assert f"| {title} | [docs/{page.name}](docs/{page.name}) |" in readme


def test_the_readme_is_one_page():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 110


def test_limits_of_the_page_on_parity_are_those_of_the_code():
    rows = dict(
        re.findall(r"^\| (\w+) \|[^|]*\| ([^\n]+) \|$", (TOP / "docs/parity.md").read_text(), re.M)
    )
    for stage, by_precision in LIMITS.items():
        name, _, largest = str(stage).partition("-")
        part = 1 if largest else 0
        for cell, precision in zip(rows[name].split(" | "), Precision, strict=True):
            stated = float(re.findall(r"[\d.e-]+", cell)[part])
            assert stated == by_precision[precision].value, (stage, precision)


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
    for stem in ("out/mix/tuba.wav", "out/mix/piano.wav", "named/mix/tuba.flac",
                 "named/mix/residual.flac", "batch/mix/piano.wav"):  # fmt: skip
        assert soundfile.info(workplace / stem).frames == frames
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
