"""``sgn-rt info``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sgn_rt.model.bundle import embedded


def test_info_goes_on_beside_an_engine_that_does_not_read(run, tmp_path):
    folder = Path(shutil.copytree(embedded(), tmp_path / "bundle"))
    (folder / "engines").mkdir()
    (folder / "engines" / "foreign.json").write_text("{}")
    result = run("info", folder)
    assert result.code == 0
    assert "xylophone" in result.out
    assert "got a description that does not read" in result.out
    assert "does not read" in json.loads(run("info", folder, "--json", "-").out)["engines_error"]


def test_info_lists_the_model(run):
    result = run("info")
    assert result.code == 0
    assert "xylophone" in result.out
    assert "core.fp32" in result.out
    assert json.loads(run("info", "--json", "-").out)["config"]["sample_rate"] == 11025


def test_info_tells_schema_digest_and_pairs(run):
    told = json.loads(run("info", "--json", "-").out)
    assert told["schema"] == 3
    assert told["digest"] == json.loads((embedded() / "bundle.json").read_text())["digest"]
    shown = run("info").out
    assert f"bundle schema 3, digest {told['digest'][:12]}" in shown
    assert "of core.fp32, which it goes with" in shown
    old = Path(__file__).parents[1] / "data" / "bundle_schema1"
    assert json.loads(run("info", old, "--json", "-").out)["digest"] is None
    assert "bundle schema 1, no digest" in run("info", old).out


def test_info_tells_a_graph_from_before_the_cut(run, bundle_folder, edit_manifest):
    def change(manifest):
        manifest["schema"] = 2
        manifest["artifacts"].append(manifest["artifacts"][0] | {"kind": "plugin"})

    edit_manifest(bundle_folder, change)
    assert json.loads(run("info", bundle_folder, "--json", "-").out)["outdated"] == ["plugin.fp32"]
    shown = " ".join(run("info", bundle_folder).out.split())
    assert "plugin.fp32" in shown
    assert "exported before" in shown
