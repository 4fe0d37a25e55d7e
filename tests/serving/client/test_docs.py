"""What the page on clients promises, on the model and the music that ship."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import soundfile

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.separator import Separator

PAGE = (Path(__file__).parents[3] / "docs" / "clients.md").read_text(encoding="utf-8")
SOUND = 4 * 44100
WRITTEN = "http://127.0.0.1:8000"


@pytest.fixture
def blocks(running, tmp_path, monkeypatch):
    """Of the page, for a server of the model that ships."""
    samples, rate = soundfile.read(shipped_music() / "003.mix.flac", frames=SOUND)
    soundfile.write(tmp_path / "mix.flac", samples, rate)
    monkeypatch.chdir(tmp_path)
    url = running(Separator.open).url
    page = PAGE.replace(WRITTEN, url)
    return lambda language: re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_what_the_page_runs(blocks, capsys):
    programs = blocks("py")
    assert len(programs) == 3
    for program in programs:
        exec(compile(program, "clients.md", "exec"), {})
    said = capsys.readouterr().out
    assert "stems/mix/tuba.flac" in said
    assert "appeared tuba" in said
    frames = soundfile.info("mix.flac").frames
    assert soundfile.info("stems/mix/piano.flac").frames == frames
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (commands,) = blocks("sh")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile("stems.zip") as archive:
        assert archive.namelist() == ["report.json", "tuba.wav", "piano.wav"]
    assert soundfile.info("tuba.wav").frames == frames
    assert json.loads(Path("error.json").read_text())["error"]["type"] == "CategoryError"
