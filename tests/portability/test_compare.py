"""Every graph in every consumer: what holds, what departs, what refuses, what is missing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from sgn_rt.errors import DependencyError
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.model.graph_file import operators_of
from sgn_rt.model.stages import Stage
from sgn_rt.portability import compare as comparing
from sgn_rt.portability.compare import CONSUMERS, Answer, chosen, compare, named_operator
from sgn_rt.portability.packages import OnnxRuntime

NATIVE = [consumer.name for consumer in CONSUMERS if consumer.name != "onnxruntime-web"]
PAGE = Path(__file__).parents[2] / "docs" / "elsewhere.md"


def by_graph(answers):
    return {answer.graph: answer for answer in answers}


def expect_right(answers, *, quick=False):
    """The graphs of standard operators are right; that with plugins is refused by name."""
    found = by_graph(answers)
    assert set(found) == {"core.fp32", "waveform.fp32", "plugin.fp32"}
    for graph in ("core.fp32", "waveform.fp32"):
        answer = found[graph]
        assert answer.refused is None
        assert answer.departed is None, answer.departed
        assert answer.figure(Stage.WHOLE) > 90.0
        assert (answer.figure(Stage.SHARES) is None) == quick
        assert answer.version
    assert found["plugin.fp32"].operator == "sgn::Stft"
    assert found["plugin.fp32"].refused


@pytest.mark.parametrize("name", NATIVE)
def test_a_package_of_python_computes_the_graphs_as_the_reference(bundle, name):
    (consumer,) = chosen([name])
    try:
        consumer.version()
    except DependencyError as error:
        pytest.skip(str(error))
    expect_right(compare(bundle, [consumer]), quick=consumer.quick)


def test_onnxruntime_web_does_too(bundle, web):
    expect_right(compare(bundle, chosen(["onnxruntime-web"])))


class Half(OnnxRuntime):
    """As a runtime that computes something else."""

    name = "half"

    def open(self, graph):
        runs = super().open(graph)
        right = runs.run

        def run(outputs, inputs):
            found = dict(zip(outputs, right(outputs, inputs), strict=True))
            if "sources" in found:
                found["sources"] = found["sources"] * np.float32(0.999)
            return list(found.values())

        runs.run = run
        return runs


def test_what_departs_is_told_by_its_stage(bundle, monkeypatch, run, tmp_path):
    monkeypatch.setattr(comparing, "CONSUMERS", (Half,))
    shown = run("portability", bundle.root, "--json", tmp_path / "found.json")
    assert shown.code == 1
    assert "FAILED: level" in shown.out
    answers = {a["graph"]: a for a in json.loads((tmp_path / "found.json").read_text())["answers"]}
    stages = answers["waveform.fp32"]["stages"]
    assert [stage for stage in stages if not stages[stage]["passed"]] == ["level", "shares"]
    assert all(stage["passed"] for stage in answers["core.fp32"]["stages"].values())


def test_one_that_is_missing_is_named_with_its_command(bundle, monkeypatch, run, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # no node
    shown = run("portability", bundle.root, "--consumer", "onnxruntime-web", "--markdown", "-")
    assert shown.code == 0
    assert "| onnxruntime-web | missing: `apt-get install nodejs npm` |" in shown.out


def test_node_without_the_package_names_its_command(monkeypatch, tmp_path, fails):
    (tmp_path / "node").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NODE_PATH", raising=False)
    with fails(DependencyError, "npm install onnxruntime-web@"):
        chosen(["onnxruntime-web"])[0].version()


def test_a_refusal_of_a_standard_graph_is_a_failure(bundle, monkeypatch, run):
    class Refuses(OnnxRuntime):
        name = "refuses"

        def open(self, graph):
            raise RuntimeError(f"{graph.path}: node 'a/Pad': no kernel of LayerNormalization")

    monkeypatch.setattr(comparing, "CONSUMERS", (Refuses,))
    shown = run("portability", bundle.root)
    assert shown.code == 1
    assert "refuses LayerNormalization" in shown.out


def test_an_unknown_consumer(run):
    shown = run("portability", "--consumer", "nothing")
    assert shown.code == 2
    assert "got 'nothing', expected one of onnxruntime" in shown.err


def test_operators_are_found_in_messages(bundle):
    plugin = bundle.find(Kind.PLUGIN, Precision.FP32)
    known = operators_of(bundle.read(plugin.path))
    assert "sgn::Stft" in known
    assert "Conv" in known
    assert len(set(known)) == len(known)
    assert named_operator("Fatal error: sgn:Stft(-1) is not registered", known) == "sgn::Stft"
    assert named_operator('node #125 "stft/Pad" Pad', ["Stft", "Pad", "Add"]) == "Pad"
    assert named_operator("Padding is wrong", ["Pad"]) is None
    assert named_operator("it broke", known) is None


def test_the_page_shows_every_consumer():
    text = PAGE.read_text(encoding="utf-8")
    table = text.split("<!-- portability -->\n")[1].split("<!-- end of portability -->")[0]
    heads = [line.split("|")[1].split()[0] for line in table.strip().splitlines()[2:]]
    assert heads == [consumer.name for consumer in CONSUMERS]
    assert "FAILED" not in table


def test_an_answer_is_json():
    fields = {field.name for field in dataclasses.fields(Answer)}
    said = Answer(consumer="a", graph="core.fp32", missing="pip install a").to_dict()
    assert set(said) == fields - {"results", "seconds"} | {"stages", "seconds_a_window"}
    assert json.loads(json.dumps(said)) == said
