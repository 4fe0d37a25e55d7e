"""The plugin for pytest: inert without its options, one test for each graph and stage with them."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from sgn_rt.model.bundle import embedded
from sgn_rt.model.stages import Stage

PLUGIN = "sgn_rt.parity.pytest_plugin"


def test_every_graph_and_stage_of_what_ships_is_gated(outer):
    code, out, states = outer("--sgn-bundle", embedded(), "-rs")
    assert code == 0, out
    shown = dict.fromkeys(map(str, Stage), "passed")
    assert states == shown | {"assignment": "skipped"}
    assert "assignment: the bundle was exported without" in out


def test_without_an_option_it_does_nothing_and_loads_nothing(outer):
    (outer.folder / "test_own.py").write_text(
        "import sys\ndef test_own():\n    assert 'numpy' not in sys.modules\n"
        "    assert 'sgn_rt.model.bundle' not in sys.modules\n"
    )
    code, out, states = outer()
    assert (code, states) == (0, {"test_own": "passed"}), out


def test_a_stage_that_does_not_hold_is_the_test_that_fails(outer):
    code, out, states = outer(
        "--sgn-engine", "onnxruntime", "-k", "whole or level",
        code="from sgn_rt.model.stages import LIMITS, Limit, Stage\n"
        "from sgn_rt.model.contract import Precision\n"
        "LIMITS[Stage.WHOLE][Precision.FP32] = Limit(value=300.0, unit='dB', at_least=True)",
    )  # fmt: skip
    assert code == 1
    assert states == {"whole": "failure", "level": "passed"}
    assert "(at least 300 dB)" in out
    assert "Traceback" not in out


def test_an_engine_that_does_not_open_fails_every_test_once_told(outer):
    code, out, states = outer("--sgn-engine", "abacus")
    assert code == 1
    assert set(states.values()) == {"failure"}
    assert "engine: got 'abacus'" in out


def test_a_bundle_that_does_not_open_is_an_error_of_usage(outer):
    code, out, _ = outer("--sgn-bundle", outer.folder / "nowhere")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "got no readable bundle.json" in out


def test_a_graph_that_nothing_runs_here_is_skipped(outer, tmp_path, edit_manifest):
    folder = Path(shutil.copytree(embedded(), tmp_path / "bundle"))

    def change(manifest):
        core, masks = manifest["artifacts"]
        manifest["artifacts"] = [core | {"kind": "plugin"}, masks | {"kind": "synthesis"}]

    edit_manifest(folder, change)
    code, out, states = outer("--sgn-bundle", folder)
    assert (code, states) == (0, {"plugin.fp32": "skipped"}), out


def test_it_is_an_entry_point_under_its_own_name():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}
