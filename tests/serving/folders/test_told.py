"""What ``sgn-rt separate`` of a folder tells and adds: its report, pictures, progress."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading

import pytest
import soundfile


@pytest.fixture
def command(tmp_path, material, small_bundle):
    """Arguments of the command on two recordings and one that is none, by one worker."""
    (tmp_path / "in" / "x").mkdir(parents=True)
    for number in range(2):
        path = tmp_path / "in" / "x" / f"{number}.wav"
        soundfile.write(path, material[number], 8000, subtype="FLOAT")
    (tmp_path / "in" / "bad.wav").write_bytes(b"no audio")
    arguments = [
        sys.executable, "-m", "sgn_rt", "separate", tmp_path / "in", "-o", tmp_path / "out",
        "--bundle", small_bundle, "--engine", "onnxruntime", "--categories", "bell,horn",
        "--jobs", 1,
    ]  # fmt: skip
    return [*map(str, arguments)]


def test_report_and_pictures(command, tmp_path):
    pytest.importorskip("matplotlib")
    report, pictures = tmp_path / "r.json", [tmp_path / f"out/x/{n}/overview.png" for n in "01"]

    def told():
        arguments = [*command, "--plot", "--json", str(report)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 2, "one is no audio"
        assert "3 recordings: " in done.stdout
        rows = json.loads(report.read_text())
        for row in rows:
            assert row["stems"].keys() == {"bell", "horn"}
            assert all(soundfile.info(stem).frames for stem in row["stems"].values())
        return {row["key"]: row["status"] for row in rows}

    assert told() == {"x/0.wav": "separated", "x/1.wav": "separated"}
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    pictures[1].unlink()
    assert told() == {"x/0.wav": "skipped", "x/1.wav": "separated"}
    assert all(picture.exists() for picture in pictures)


def test_a_bar_on_the_terminal_takes_nothing_from_a_pipe(command):
    """Results go where stdout goes, also while stderr is a terminal that shows a bar."""
    ours, theirs = pty.openpty()
    shown = []

    def read() -> None:
        try:
            while data := os.read(ours, 1 << 16):
                shown.append(data)
        except OSError:  # how Linux tells of a terminal that nobody has open
            pass

    reader = threading.Thread(target=read)
    reader.start()
    arguments = [*command, "--jsonl", "-"]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    reader.join()
    os.close(ours)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["key"] for row in rows} == {"x/0.wav", "x/1.wav", "bad.wav"}
    screen = b"".join(shown).decode()
    for line in screen.splitlines():  # each of its own, whatever a bar drew there before
        before, told, _ = line.rpartition("sgn-rt: error: ")
        assert not told or before == "" or before.endswith("\x1b[2K"), line
    assert "does not read as audio" in screen
    assert '"key"' not in screen
