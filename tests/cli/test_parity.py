"""``sgn-rt parity``: what can be compared is, and the reports say so whatever happens."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sgn_rt.cli import parity
from sgn_rt.model.bundle import embedded

CORE = "onnxruntime:core.fp32"

# Jenkins' schema of JUnit XML (junit-10.xsd of its xunit plugin), which GitLab and GitHub's readers
# take, too: element -> attributes that it needs, those that it may have, elements within.
SCHEMA = {
    "testsuites": ((), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        ("name", "tests", "failures", "errors"),
        {"time", "skipped", "timestamp", "hostname", "id", "package", "file"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": ((), set(), {"property"}),
    "property": (("name", "value"), set(), set()),
    "testcase": (
        ("name", "classname"),
        {"time", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "skipped": ((), {"type", "message"}, set()),
    "error": ((), {"type", "message"}, set()),
    "failure": ((), {"type", "message"}, set()),
    "system-out": ((), set(), set()),
}


def checked(element: ElementTree.Element) -> None:
    needed, allowed, within = SCHEMA[element.tag]
    assert set(needed) <= set(element.attrib) <= {*needed, *allowed}, element.attrib
    if "time" in element.attrib:
        assert re.fullmatch(r"\d+\.\d*", element.get("time"))
    for child in element:
        assert child.tag in within
        checked(child)


def cases_of(path: Path) -> dict[tuple[str, str], str]:
    """Suite and case -> ``passed``, or what else it is; counts and schema are checked, too."""
    root = ElementTree.parse(path).getroot()
    checked(root)
    found = {}
    for suite in root:
        states = []
        for case in suite.findall("testcase"):
            assert case.get("classname") == suite.get("name")
            tags = [child.tag for child in case if child.tag != "system-out"] or ["passed"]
            assert len(tags) == 1
            states += tags
            found[suite.get("name"), case.get("name")] = tags[0]
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(count)) == states.count(tag)
        assert int(suite.get("tests")) == len(states)
        names = {each.get("name"): each.get("value") for each in suite.iter("property")}
        assert {"sgn-rt", "python", "numpy", "platform", "bundle"} <= set(names)
    for count in ("tests", "failures", "errors"):
        assert int(root.get(count)) == sum(int(suite.get(count)) for suite in root)
    return found


class Reports:
    """Where a run writes, with what an earlier one has left there."""

    def __init__(self, folder: Path) -> None:
        self.json_path, self.junit = folder / "p.json", folder / "p.xml"
        self.json_path.write_text('{"passed": true}')
        self.junit.write_text('<testsuites tests="1" failures="0" errors="0"/>')
        self.options = ("--json", self.json_path, "--junit", self.junit)

    @property
    def json(self) -> dict:
        return json.loads(self.json_path.read_text())

    @property
    def cases(self) -> dict[tuple[str, str], str]:
        return cases_of(self.junit)


@pytest.fixture
def reports(tmp_path) -> Reports:
    return Reports(tmp_path)


@pytest.fixture
def listed(tmp_path, edit_manifest):
    """The shipped bundle with more graphs: name -> content, None for that of ``core.fp32``."""

    def write(graphs: dict[str, bytes | None], *, only: bool = False) -> Path:
        folder = Path(shutil.copytree(embedded(), tmp_path / "bundle"))

        def change(manifest: dict) -> None:
            core, masks = manifest["artifacts"]
            for name, content in graphs.items():
                kind, precision = name.split(".")
                entry = core | {"kind": kind, "precision": precision}
                if content is not None:
                    (folder / f"{name}.onnx").write_bytes(content)
                    sha256 = hashlib.sha256(content).hexdigest()
                    manifest["files"][f"{name}.onnx"] = {"sha256": sha256, "bytes": len(content)}
                    entry |= {"path": f"{name}.onnx", "external": []}
                manifest["artifacts"].insert(0, entry)
            if only:
                manifest["artifacts"].remove(core)
                manifest["artifacts"].remove(masks)

        edit_manifest(folder, change)
        return folder

    return write


def test_what_ships_holds(run, reports):
    result = run("parity", *reports.options)
    assert (result.code, result.err) == (0, "")
    written = reports.json
    assert written["passed"]
    assert list(written["engines"]) == [CORE]
    engine = written["engines"][CORE]
    assert engine["passed"]
    assert engine["seconds"] > 0
    assert "onnxruntime" in engine["detail"]
    assert written["versions"]["numpy"]
    assert reports.cases == {(CORE, stage): "passed" for stage in engine["stages"]}


def test_a_graph_that_does_not_load_keeps_no_other_from_being_compared(run, listed, reports):
    broken = "onnxruntime:waveform.fp16"
    result = run("parity", listed({"waveform.fp16": b"no graph"}), *reports.options)
    assert result.code == 2
    assert f"sgn-rt: error: {broken}: onnxruntime: waveform.fp16.onnx: got" in result.err
    assert re.search(rf"{CORE} +whole", result.out)
    written = reports.json
    assert not written["passed"]
    assert written["error"] is None
    assert "waveform.fp16.onnx: got" in written["engines"][broken]["error"]
    assert written["engines"][CORE]["passed"]
    cases = reports.cases
    assert cases.pop((broken, "run")) == "error"
    assert set(cases.values()) == {"passed"}
    assert (CORE, "whole") in cases


def test_an_engine_that_is_not_there_keeps_no_other_from_being_compared(run, reports):
    result = run("parity", "--engine", "abacus", "--engine", CORE, *reports.options)
    assert result.code == 2
    assert reports.cases["abacus", "run"] == "error"
    assert reports.cases[CORE, "whole"] == "passed"


def test_an_error_that_nobody_thought_of_is_one_of_the_report(run, reports, monkeypatch):
    right = parity.measure_with_weights

    def fails(engine, bundle):
        if engine.name == "torch":
            raise RuntimeError("a\x1b[2Jb\udcff")
        return right(engine, bundle)

    monkeypatch.setattr(parity, "measure_with_weights", fails)
    result = run("parity", "--engine", "torch", "--engine", CORE, *reports.options)
    assert result.code == 2
    assert "got RuntimeError" in reports.json["engines"]["torch"]["error"]
    assert reports.cases["torch", "run"] == "error"
    assert reports.cases[CORE, "whole"] == "passed"


def test_a_stage_that_does_not_hold_is_a_failure(run, reports, monkeypatch):
    from sgn_rt.model.contract import Precision
    from sgn_rt.model.stages import LIMITS, Limit, Stage

    limit = Limit(value=300.0, unit="dB", at_least=True)
    monkeypatch.setitem(LIMITS[Stage.WHOLE], Precision.FP32, limit)
    result = run("parity", *reports.options)
    assert result.code == 1
    assert not reports.json["passed"]
    failed = [name for name, state in reports.cases.items() if state == "failure"]
    assert failed == [(CORE, "whole")]


def test_a_graph_that_nothing_here_runs_is_left_out_and_said_so(run, listed, reports):
    result = run("parity", listed({"plugin.fp32": None, "synthesis.fp32": None}), *reports.options)
    assert result.code == 0
    assert "not compared: plugin.fp32 runs in TensorRT alone" in result.err
    assert list(reports.json["engines"]) == [CORE]
    assert "TensorRT alone" in reports.json["skipped"]["plugin.fp32"]
    assert reports.cases["plugin.fp32", "run"] == "skipped"


def test_a_graph_from_before_the_cut_is_left_out_and_said_so(run, listed, edit_manifest, reports):
    folder = listed({"plugin.fp32": None}, only=True)
    edit_manifest(folder, lambda manifest: manifest.update(schema=2))
    result = run("parity", folder, "--engine", "torch")
    assert result.code == 0
    result = run("parity", folder, *reports.options)
    assert result.code == 2
    assert "not compared: plugin.fp32 was exported before it was cut in two" in result.err
    assert "export it again" in reports.json["skipped"]["plugin.fp32"]


@pytest.mark.parametrize("graphs", [{"plugin.fp32": None, "synthesis.fp32": None}, {}])
def test_a_comparison_of_nothing_is_no_success(run, listed, reports, graphs):
    result = run("parity", listed(graphs, only=True), *reports.options)
    assert result.code == 2
    assert "got a bundle without a graph that the CPU runs" in result.err
    assert not reports.json["passed"]
    assert reports.cases["run", "run"] == "error"


@pytest.mark.parametrize("layers", [(), ("--layers",)])
def test_a_bundle_that_does_not_open_is_an_error_of_the_report(run, reports, tmp_path, layers):
    result = run("parity", tmp_path / "nowhere", *layers, *reports.options)
    assert result.code == 2
    assert result.err.count("\n") == 1
    written = reports.json
    assert not written["passed"]
    assert "got no readable bundle.json" in written["error"]
    assert written["engines"] == {}
    assert reports.cases == {("run", "run"): "error"}


def test_an_interrupted_run_leaves_what_it_had_and_says_so(run, reports, monkeypatch):
    right = parity.measure_with_weights

    def interrupted(engine, bundle):
        if engine.name == "torch":
            raise KeyboardInterrupt
        return right(engine, bundle)

    monkeypatch.setattr(parity, "measure_with_weights", interrupted)
    result = run("parity", "--engine", CORE, "--engine", "torch", *reports.options)
    assert result.code == 130
    assert "got an interruption" in reports.json["error"]
    assert reports.cases["run", "run"] == "error"
    assert reports.cases[CORE, "whole"] == "passed"


def test_a_run_that_is_killed_leaves_no_report_of_an_earlier_one(run, reports, monkeypatch):
    seen = []

    def looks(engine, bundle):
        seen.append((reports.json["passed"], reports.cases))
        return []

    monkeypatch.setattr(parity, "measure_with_weights", looks)
    result = run("parity", *reports.options)
    assert seen == [(False, {("run", "run"): "error"})]
    assert result.code == 1  # nothing was measured, so nothing holds
    assert not reports.json["passed"]


def test_a_report_that_cannot_be_written_is_told_before_the_work(run, reports, monkeypatch):
    monkeypatch.setattr(parity, "measure_with_weights", None)
    where = reports.json_path / "below" / "a.json"
    result = run("parity", "--json", where, "--junit", reports.junit)
    assert result.code == 2
    assert "expected to write a file there" in result.err
    assert reports.cases["run", "run"] == "error"


def test_the_reference_itself_is_an_engine(run):
    result = run("parity", "--engine", "torch", "--json", "-")
    stages = json.loads(result.out)["engines"]["torch"]["stages"]
    assert result.code == 0
    # The same operations, but for masks that are made one at a time: a few roundings of float32.
    assert stages["network"]["figure"] < 5e-6


def test_layers_hold_for_what_ships(run, reports):
    result = run("parity", "--layers", *reports.options)
    assert result.code == 0
    engine = reports.json["engines"][CORE]
    assert (engine["passed"], engine["first_departure"]) == (True, None)
    assert f"all {len(engine['layers'])} layers hold" in result.out
    assert list(reports.cases) == [(CORE, layer["layer"]) for layer in engine["layers"]]


def test_the_first_layer_that_departs_is_named(run, monkeypatch):
    pytest.importorskip("onnx")
    from sgn_rt.export import layerwise

    monkeypatch.setattr(layerwise, "LIMITS", dict.fromkeys(layerwise.LIMITS, 160.0))
    shown, written = run("parity", "--layers"), run("parity", "--layers", "--json", "-")
    assert shown.code == written.code == 1
    first = json.loads(written.out)["engines"][CORE]["first_departure"]
    assert f"{first} is the first of" in shown.out
    assert "DEPARTS" in shown.out


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("torch", "--layers: got engine 'torch'"),
        (
            "onnxruntime:plugin.fp16",
            "core.fp32, masks.fp32, expected plugin.fp16",
        ),
    ],
)
def test_layers_that_cannot_be_compared(run, reports, engine, message):
    result = run("parity", "--layers", "--engine", engine, *reports.options)
    assert result.code == 2
    assert message in result.err
    assert reports.cases[engine, "run"] == "error"


def test_no_graph_has_no_layers(run, listed, reports):
    result = run("parity", "--layers", listed({}, only=True), *reports.options)
    assert result.code == 2
    assert "got a bundle without a graph" in result.err
    assert reports.cases["run", "run"] == "error"
