"""Processes against threads: what is run, looked at and concluded; not how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from sgn_rt.benchmarks.studies import many_files
from sgn_rt.benchmarks.studies.many_files import Took, concluded, expect_same, ways
from sgn_rt.errors import ParityError

from ...serving.conftest import small_bundle  # noqa: F401 - a fixture


def test_each_way_uses_all_processors():
    assert {way.processes * way.threads for way in ways(4).values()} == {4}
    assert list(ways(1)) == ["one process", "one process, several files"]


def test_figures_are_of_what_was_timed():
    times = {"one process": [Took(9.0, 8.0), Took(5.0, 4.0)],
             "2 processes": [Took(5.0, 4.0), Took(4.0, 1.0)]}  # fmt: skip
    told = concluded(times, 5)
    assert told["one process"]["times_as_fast"] == 1.0
    assert told["2 processes"]["times_as_fast"] == 3.0  # of 2 and 4
    assert told["2 processes"]["files_per_second"] == 4 / 2.5
    assert told["one process"]["seconds"] == 7.0


def test_other_stems_are_no_result(tmp_path):
    for name, level in (("a", 0.1), ("b", 0.1), ("c", 0.2)):
        (tmp_path / name / "x").mkdir(parents=True)
        soundfile.write(tmp_path / name / "x" / "bell.wav", np.full(10, level), 8000)
    expect_same([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(ParityError, match="c: got other stems than a"):
        expect_same([tmp_path / "a", tmp_path / "c"])
    (tmp_path / "b" / "x" / "bell.wav").unlink()
    with pytest.raises(ParityError, match="b: got other stems than a"):
        expect_same([tmp_path / "a", tmp_path / "b"])


def test_it_runs(small_bundle, tmp_path):  # noqa: F811
    report = tmp_path / "many.json"
    command = [
        sys.executable, "-P", "-m", many_files.__name__, "--bundle", small_bundle, "--files", 3,
        "--seconds", 0.2, "--rounds", 1, "--threads", 2, "--json", report,
    ]  # fmt: skip
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(report.read_text())
    assert told["ways"].keys() == told["measured"].keys()
    for name, figures in told["measured"].items():
        assert f"{name}: " in done.stdout
        assert figures["files_per_second"] > 0
        (run,) = figures["runs"]
        assert 0 < run["after_first_s"] < run["whole_s"]
