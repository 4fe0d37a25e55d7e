"""The scripts of `examples/`, run as a user runs them: a process each, on what ships."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.separator import Separator

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))
RATE = 44100


@pytest.fixture
def workplace(tmp_path):
    """With a short piece of the duet, and a PyTorch that nobody may import."""
    samples, rate = soundfile.read(shipped_music() / "003.mix.flac", frames=7 * RATE)
    soundfile.write(tmp_path / "mix.flac", samples, rate)
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise SystemExit('torch was imported')\n")
    return tmp_path


def run(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script), *map(str, arguments)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(cwd)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_there_are_three_and_each_is_short():
    assert SCRIPTS == ["embed.py", "gate.py", "live.py"]
    for script in SCRIPTS:
        assert len((EXAMPLES / script).read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_arguments_it_says_what_it_takes(script, tmp_path):
    done = run(script, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"usage: python {script} ")


def test_embed_tells_what_is_there_and_goes_on_after_a_failure(workplace):
    done = run("embed.py", "none.wav", "mix.flac", cwd=workplace)
    assert done.returncode == 1
    assert "none.wav" in done.stderr
    assert "Traceback" not in done.stderr
    told = dict(re.findall(r"^  (\w+) +(-?[\d.]+) dBFS$", done.stdout, re.M))
    with Separator.open() as separator:
        present = separator.separate(workplace / "mix.flac").sources
    assert {"tuba", "piano"} <= set(present)
    assert set(told) == {*present, "residual"}
    assert all(-60 < float(told[name]) < 0 for name in ("tuba", "piano"))


def test_live_writes_what_a_separation_of_the_file_gives(workplace):
    done = run("live.py", "mix.flac", "tuba", "tuba.wav", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("delay: 1.00 s\n")
    assert re.search(r"s: tuba appeared$", done.stdout, re.M)
    found, rate = soundfile.read(workplace / "tuba.wav", dtype="float32")
    mixture, _ = soundfile.read(workplace / "mix.flac", dtype="float32")
    assert (len(found), rate) == (len(mixture), RATE)
    with Separator.open() as separator:
        stream = separator.stream(sample_rate=RATE, categories=["tuba"], latency_s=1.0)
        parts = [stream.feed(mixture)["tuba"], stream.flush()["tuba"]]
    # The file has 16 bits.
    expected = [sample for part in parts for sample in part[0]]
    assert found == pytest.approx(expected, abs=1 / 32768)


def test_live_says_what_is_wrong(workplace):
    done = run("live.py", "mix.flac", "cow", "cow.wav", cwd=workplace)
    assert done.returncode == 1
    assert done.stderr.startswith("category: got 'cow', expected one of")


def test_gate_lets_the_bundle_that_ships_through(workplace):
    done = run("gate.py", embedded(), cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert "FAILED" not in done.stdout
    assert done.stdout.count("holds ") > 8


def test_gate_stops_a_bundle_whose_graphs_answer_otherwise(workplace, edit_manifest):
    """Its right answers are one per cent louder than what the graphs give."""
    folder = workplace / "bundle"
    shutil.copytree(embedded(), folder)
    probe = Bundle.open(folder).probe
    content = replace(probe, sources=probe.sources * np.float32(1.01)).to_bytes()
    (folder / "probe.npz").write_bytes(content)
    record = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_manifest(folder, lambda manifest: manifest["files"].update({"probe.npz": record}))
    done = run("gate.py", folder, cwd=workplace)
    assert done.returncode == 1, done.stderr
    assert re.findall(r"^FAILED \S+ (\S+):", done.stdout, re.M) == ["level"]


def test_gate_cannot_compare_what_is_damaged(workplace):
    bundle = workplace / "bundle"
    shutil.copytree(embedded(), bundle)
    (bundle / "core.fp32.onnx").write_bytes(b"")
    done = run("gate.py", bundle, cwd=workplace)
    assert done.returncode == 2
    assert "core.fp32.onnx" in done.stderr
    assert "Traceback" not in done.stderr
