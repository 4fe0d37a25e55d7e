"""``sgn-rt separate --ray``: a Ray of this machine alone, for as long as it takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("ray")

MARK = "SGN_RT_TEST_RUN"


def started(mark: str) -> list[int]:
    """Processes that have a run's variable in their environment, the run itself included."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}\0".encode() in (each / "environ").read_bytes():
                found.append(int(each.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


@pytest.fixture
def command(place, tmp_path):
    """The command, and what its processes have in their environment."""
    mark = str(tmp_path)
    arguments = [
        sys.executable, "-m", "sgn_rt", "separate", place.folder, "-o", place.output,
        "--bundle", place.opening["bundle"], "--engine", "onnxruntime",
        "--categories", "bell,horn", "--jsonl", "-",
    ]  # fmt: skip
    return arguments, os.environ | {MARK: mark}


def test_interrupted_and_resumed_without_a_cluster(place, command, stems):
    """State and stems are the same, whoever computes."""
    place.add(40, broken=b"no sound")
    arguments, environment = command
    on_ray = [*arguments, "--ray-actors", "1", "--ray"]
    run = subprocess.Popen(
        on_ray, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with run:
        first = json.loads(run.stdout.readline())
        run.send_signal(signal.SIGINT)
        out, err = run.communicate()
    assert first["status"] == "separated", err
    assert run.returncode == 130, err
    assert err.splitlines()[-1] == "sgn-rt: error: interrupted"
    assert "Traceback" not in err
    for line in out.splitlines():  # nothing of Ray's among the results
        json.loads(line)
    assert started(environment[MARK]) == []
    assert list(place.output.glob(".sgn-rt-*")) == [place.output / ".sgn-rt-state"]

    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr  # one is broken
    rows = {row["key"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert len(rows) == 41
    assert rows[first["key"]]["status"] == "skipped"
    assert {row["tries"] for key, row in rows.items() if key != "broken.wav"} == {1}
    for number in range(40):
        for name, samples in stems[number % len(stems)].items():
            found, _ = soundfile.read(place.output / f"{number:03}" / f"{name}.wav")
            np.testing.assert_array_equal(found, samples)
    assert started(environment[MARK]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray", "in"], "expected local, auto or the address"),
        (["--ray-actors", "3"], "without --ray"),
        (["--cpus-per-actor", "2"], "without --ray"),
        (["--ray=local", "--jobs", "2"], "--jobs: got 2 with --ray"),
        (["--ray=local", "--threads", "2"], "--threads: got 2 with --ray"),
        (["--ray=local", "--device", "0"], "--device: got 0 with --ray"),
        (["--ray=local", "--ray-actors", "3-2"], "the smaller first"),
    ],
)
def test_options_that_do_not_go_together(run, tmp_path, options, message):
    result = run("separate", tmp_path / "a.wav", "-o", tmp_path / "out", *options)
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "out").exists()


def test_without_ray_the_command_that_installs_it(run, place, monkeypatch):
    place.add(1)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    result = run("separate", place.folder, "-o", place.output, "--bundle",
                 place.opening["bundle"], "--ray")  # fmt: skip
    assert result.code == 2
    assert 'pip install "ray[data]' in result.err
