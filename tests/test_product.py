"""What README and docs promise, on the model and the music that ship."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

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
START = TOP / "docs" / "index.md"
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


class Block(NamedTuple):
    """A piece of code on a page, and what is said of running it in a comment above it."""

    page: Path
    mark: str
    language: str
    code: str


def _blocks_of(page: Path) -> list[Block]:
    found = re.findall(
        r"(?:^<!-- ((?:not run|run by)[^\n]*?) -->\n)?^```(\w*)\n(.*?)^```$",
        page.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    return [Block(page, *parts) for parts in found]


BLOCKS = tuple(block for page in PAGES for block in _blocks_of(page))


def _blocks(language: str) -> list[str]:
    """What is run here."""
    return [block.code for block in BLOCKS if block.language == language and not block.mark]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_or_says_why_not(page):
    for block in (block for block in BLOCKS if block.page == page):
        way, _, what = block.mark.partition(" run: " if "not run" in block.mark else " by ")
        if way == "run":  # by another test, which reads this page
            assert page.name in (TOP / what).read_text(encoding="utf-8"), block.mark
        elif way == "not":
            assert len(what) > 5, block.code
        else:
            assert block.language in ("bash", "python"), block.code
    fences = page.read_text(encoding="utf-8").count("\n```")
    assert fences == 2 * len(_blocks_of(page)), "a fence that is not read"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    for link in local:
        assert (page.parent / link).exists(), link


def test_every_page_is_a_question_that_the_start_page_asks():
    """Each once, under a short name: the site's menu is made of these rows."""
    start = START.read_text(encoding="utf-8")
    for page in PAGES[1:]:
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert title.endswith("?"), page.name
        row = rf"^\| {re.escape(title)} \| \[[^\]]+\]\({re.escape(page.name)}\) \|$"
        assert len(re.findall(row, start, re.MULTILINE)) == (page != START), page.name


def test_what_the_readme_asks_is_what_the_pages_are_called():
    readme = README.read_text(encoding="utf-8")
    assert "(docs/index.md)" in readme
    for title, name in re.findall(r"^\| (.+\?) \| \[.+\]\(docs/(.+)\) \|$", readme, re.MULTILINE):
        page = TOP / "docs" / name
        assert page.read_text(encoding="utf-8").splitlines()[0] == f"# {title}"


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
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)  # as a reader has it
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
