"""Graphs that give assignments: against the reference, in parity, and explained by."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import ConfigError, EngineError, ParityError
from sgn_rt.explain.network import open_network
from sgn_rt.export import writer
from sgn_rt.export.writer import export_bundle
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.model.contract import GRAPH_OUTPUTS, OPTIONAL_OUTPUTS, Kind, Precision, Tensor
from sgn_rt.model.stages import Stage
from sgn_rt.parity.measure import measure
from sgn_rt.reference import random_model, save_checkpoint


@pytest.fixture(scope="module")
def network(small_config):
    return random_model(small_config(), seed=7)


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("assignment") / "small.safetensors"
    save_checkpoint(network, network.config, path)
    return path


@pytest.fixture(scope="module")
def bundle(checkpoint):
    folder = checkpoint.with_name("bundle")
    measured = export_bundle(checkpoint, folder, kinds=[Kind.CORE], assignment=True)
    assert {Stage.ASSIGNMENT in [r.stage for r in results] for results in measured.values()} == {
        True
    }
    return Bundle.open(folder)


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-6), ("fp16", 5e-3)])
def test_a_graph_gives_what_the_reference_does(bundle, network, precision, limit):
    names = [str(name) for name in (*GRAPH_OUTPUTS[Kind.CORE], *OPTIONAL_OUTPUTS[Kind.CORE])]
    session = onnxruntime.InferenceSession(
        bundle.root / f"core.{precision}.onnx", providers=["CPUExecutionProvider"]
    )
    assert [value.name for value in session.get_outputs()] == names
    log_magnitude = torch.randn(2, 1, 128, 128, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        level = network.encode(log_magnitude)[network.config.token_level]
        _, expected, _, _ = network.group(level)
    inputs = {str(Tensor.LOG_MAGNITUDE): log_magnitude.numpy()}
    (found,) = session.run([str(Tensor.ASSIGNMENT)], inputs)
    assert found.shape == (2, 3, network.config.tokens)
    assert float(found.sum()) > 1
    np.testing.assert_allclose(found, expected.numpy(), atol=limit)


def test_the_bundle_holds_what_it_is_compared_with(bundle, network):
    assert bundle.probe.assignment.shape == (2, 3, network.config.tokens)
    for artifact in bundle.artifacts:
        assert artifact.parity[Stage.ASSIGNMENT]["passed"] is True


def test_the_stage_sees_an_assignment_that_is_wrong(bundle):
    engine = open_engine("onnxruntime:core.fp32", bundle)
    good = engine._signals
    wrong = 2e-5

    def off(log_magnitude):
        found = good(log_magnitude)
        found.assignment[1, 2] += wrong
        return found

    engine._signals = off
    failed = [result.stage for result in measure(engine, bundle.probe) if not result.passed]
    assert failed == [Stage.ASSIGNMENT]


def test_an_export_whose_assignment_is_wrong_is_refused(checkpoint, tmp_path, monkeypatch):
    good = writer.build_graph

    def spoiled(model, kind, precision, **more):
        graph = good(model, kind, precision, **more)
        if more:  # squared on its way out
            output = next(v for v in graph.graph.output if v.name == Tensor.ASSIGNMENT)
            node = next(n for n in graph.graph.node if output.name in n.output)
            node.output[list(node.output).index(output.name)] = "before"
            for other in graph.graph.node:
                for place, name in enumerate(other.input):
                    if name == output.name:
                        other.input[place] = "before"
            graph.graph.node.append(
                onnx.helper.make_node("Mul", ["before", "before"], [output.name])
            )
        return graph

    monkeypatch.setattr(writer, "build_graph", spoiled)
    with pytest.raises(ParityError, match=r"core.fp32: parity stage assignment: got"):
        export_bundle(checkpoint, tmp_path / "out", kinds=[Kind.CORE], assignment=True,
                      precisions=[Precision.FP32])  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_only_core_gives_it(checkpoint, tmp_path, fails):
    with fails(ConfigError, "assignment", "waveform.fp32", "core"):
        export_bundle(checkpoint, tmp_path / "out", kinds=[Kind.WAVEFORM], assignment=True)


def test_an_engine_without_says_so(fails):
    engine = open_engine("onnxruntime:core.fp32", Bundle.open())
    assert not engine.shows_assignment
    plane = (engine.config.frequency_bins, engine.config.frames)
    with fails(EngineError, "--assignment"):
        engine.signals(np.zeros(plane, np.float32))


def test_a_bundle_is_looked_into_by_its_graph_and_as_by_pytorch(bundle):
    by_graph = open_network(bundle)
    assert by_graph.detail.startswith("core.fp32 on CPUExecutionProvider")
    by_torch = open_engine("torch", bundle)
    log_magnitude = bundle.probe.log_magnitude[0]
    for one, other in zip(
        by_graph.signals(log_magnitude), by_torch.signals(log_magnitude), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-4)
    masks = by_graph.masks(log_magnitude, [2, 0])
    np.testing.assert_allclose(masks[1], by_graph.masks(log_magnitude, [0])[0])


WITHOUT_TORCH = """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "torch":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Blocker())
    from pathlib import Path
    from sgn_rt.explain.run import Request, explain
    from sgn_rt.errors import UnavailableError
    from sgn_rt.model.bundle import Bundle, embedded
    from sgn_rt.explain.network import open_network
    found = explain(Request(path=Path(sys.argv[2]), duration_s=2.0), Bundle.open(sys.argv[1]))
    print(found.network, found.hearing.assignment.shape[1:])
    try:
        open_network(Bundle.open())
    except UnavailableError as error:
        print(error)
"""


def test_without_pytorch(bundle):
    program = textwrap.dedent(WITHOUT_TORCH)
    music = embedded().parent / "music" / "003.mix.flac"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(bundle.root), str(music)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown, refused = done.stdout.splitlines()
    assert shown.startswith("core.fp32 on CPU")
    assert refused.startswith("explain: got nothing here that shows assignments (core.fp32, masks")
    assert "Export the bundle with --assignment, or install PyTorch." in refused
