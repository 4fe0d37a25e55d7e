"""What the page on the server promises, on the model and the music that ship."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import soundfile

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.cli.serve import command

from .tools import PATIENCE_S

PAGE = (Path(__file__).parents[3] / "docs" / "server.md").read_text(encoding="utf-8")
WRITTEN = "http://127.0.0.1:8000"


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.fixture
def url(tmp_path, monkeypatch):
    """Of the server that the page starts, at any port that is free."""
    shutil.copy(shipped_music() / "003.mix.flac", tmp_path / "mix.flac")
    monkeypatch.chdir(tmp_path)
    first = block("sh").splitlines()[0]
    assert first == "sgn-rt serve --port 8000 &"
    program = str(Path(sys.executable).with_name("sgn-rt"))
    process = subprocess.Popen(
        [program, *first.removesuffix(" &").replace("8000", "0").split()[1:]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process.stdout.readline().split()[-1]
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (0, "")


def test_what_the_page_runs(url):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    commands = "\n".join(block("sh").splitlines()[1:]).replace(WRITTEN, url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile("stems.zip").namelist()
    assert names == ["report.json", "tuba.wav", "piano.wav"]
    assert soundfile.info("tuba.flac").frames == soundfile.info("mix.flac").frames
    found: dict[str, object] = {}
    exec(compile(block("py").replace(WRITTEN, url), "server.md", "exec"), found)
    assert found["rest"]["tuba"].shape == (1, 44100)


def test_the_page_knows_options_that_there_are():
    named = set(re.findall(r"`(--[a-z-]+)`", PAGE))
    known = {text for parameter in command.params for text in parameter.opts}
    assert named <= known
    mine = {"--host", "--token", "--token-file", "--behind-proxy", "--max-upload", "--max-seconds",
            "--max-channels", "--time-limit", "--jobs", "--queue", "--max-streams", "--deadline",
            "--overload", "--drain", "--spool"}  # fmt: skip
    assert mine <= named
