"""Which layer departs first: found where it was put, with nothing departing where nothing was."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from sgn_rt.errors import EngineError
from sgn_rt.export.layerwise import (
    LIMITS,
    LayerResult,
    OperatorByOperator,
    compare_layers,
    first_departure,
    full_weights,
    layers_of,
    load_graph,
    widened,
    with_outputs,
)
from sgn_rt.export.standard import standard_copy
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_MANIFEST, Kind, Precision


@pytest.fixture
def bundle(small_bundle) -> Bundle:
    return Bundle.open(small_bundle)


@pytest.fixture
def changed(small_bundle, tmp_path):
    """The bundle with one of its graphs changed by a function."""

    def make(name: str, change) -> Bundle:
        folder = Path(shutil.copytree(small_bundle, tmp_path / "bundle"))
        graph = onnx.load(folder / f"{name}.onnx")
        change(graph.graph)
        content = graph.SerializeToString()
        (folder / f"{name}.onnx").write_bytes(content)
        manifest = json.loads((folder / BUNDLE_MANIFEST).read_text())
        manifest["files"][f"{name}.onnx"] = {
            "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
        }  # fmt: skip
        (folder / BUNDLE_MANIFEST).write_text(json.dumps(manifest))
        return Bundle.open(folder)

    return make


def artifact_of(bundle: Bundle, kind: Kind, precision: Precision = Precision.FP16):
    artifact = bundle.find(kind, precision)
    assert artifact is not None
    return artifact


def scale(name: str, factor: float):
    """Change a weight of a graph by a factor."""

    def change(graph: onnx.GraphProto) -> None:
        (tensor,) = [t for t in graph.initializer if t.name == name]
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            scaled = (values.astype(np.float32) * factor).astype(values.dtype)
        tensor.CopyFrom(numpy_helper.from_array(scaled, name))

    return change


@pytest.mark.parametrize("kind", list(Kind))
def test_every_layer_of_a_right_graph_holds(bundle, kind):
    results = compare_layers(bundle, artifact_of(bundle, kind))
    assert first_departure(results) is None
    assert [result.layer for result in results if np.isnan(result.snr)] == []
    operators = {result.operator for result in results}
    assert {"Conv", "ConvTranspose", "MatMul", "Softmax", "LayerNormalization"} <= operators
    # Half has 11 bits: a body that were computed in float32 would be above 100 dB.
    body = [result.snr for result in results if result.operator in ("Conv", "MatMul", "Softmax")]
    assert np.median(body) < 85.0
    if kind == Kind.PLUGIN:
        assert {"Stft", "Istft"} <= operators


@pytest.mark.parametrize("kind", [Kind.WAVEFORM, Kind.PLUGIN])
@pytest.mark.parametrize("weight", ["encoder.3.conv.weight", "transformer.0.mlp.up.weight"])
def test_a_weight_that_is_wrong_is_found_where_it_is(changed, kind, weight):
    bundle = changed(f"{kind}.fp16", scale(weight, 1.1))
    first = first_departure(compare_layers(bundle, artifact_of(bundle, kind)))
    assert first is not None
    assert first.layer.startswith(weight.removesuffix(".weight"))
    assert 15.0 < first.snr < LIMITS[Precision.FP16]


def test_numbers_that_overflow_are_found_where_they_do(changed):
    bundle = changed("plugin.fp16", scale("encoder.2.conv.weight", 1e9))
    results = compare_layers(bundle, artifact_of(bundle, Kind.PLUGIN))
    first = first_departure(results)
    assert first is not None
    assert first.layer.startswith("encoder.2.conv/")
    assert not np.isfinite(first.snr)
    assert first.to_dict()["snr_db"] is None
    assert not first.to_dict()["passed"]


def test_a_float32_graph_is_its_own_reference(bundle):
    results = compare_layers(bundle, artifact_of(bundle, Kind.WAVEFORM, Precision.FP32))
    assert first_departure(results) is None
    assert results[0].limit == LIMITS[Precision.FP32]


@pytest.mark.parametrize("kind", [Kind.WAVEFORM, Kind.PLUGIN])
def test_the_reference_is_the_float32_graph(bundle, kind):
    """Widened, and with the weights before rounding, a float16 graph computes as the other does."""
    import onnxruntime

    half, full = (load_graph(bundle, artifact_of(bundle, kind, p)) for p in reversed(Precision))
    layers = [layer for layer in layers_of(half) if layer.operator != "Cast"]
    assert layers == layers_of(full)
    weights = full_weights(bundle, half)
    assert all(tensor.data_type == TensorProto.FLOAT for tensor in weights.values())
    graphs = [half, full]
    if kind == Kind.PLUGIN:
        graphs = [standard_copy(graph, bundle.config) for graph in graphs]
    graphs = [widened(graphs[0], weights), graphs[1]]
    probe = bundle.probe
    feed = {"mixture": probe.mixture[:1], "categories": probe.categories[0]}
    one, other = (
        onnxruntime.InferenceSession(
            with_outputs(graph, layers), providers=["CPUExecutionProvider"]
        ).run(None, feed)
        for graph in graphs
    )
    for layer, mine, theirs in zip(layers, one, other, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4, err_msg=layer.name)


def test_without_a_float32_graph_rounded_weights_do(small_bundle, tmp_path):
    folder = Path(shutil.copytree(small_bundle, tmp_path / "bundle"))
    manifest = json.loads((folder / BUNDLE_MANIFEST).read_text())
    manifest["artifacts"] = [a for a in manifest["artifacts"] if a["path"] == "core.fp16.onnx"]
    (folder / BUNDLE_MANIFEST).write_text(json.dumps(manifest))
    bundle = Bundle.open(folder)
    artifact = artifact_of(bundle, Kind.CORE)
    assert full_weights(bundle, load_graph(bundle, artifact)) == {}
    assert first_departure(compare_layers(bundle, artifact)) is None


def test_an_engine_is_compared_by_what_it_gives(bundle):
    """As an engine stands a graph on the CPU, right, wrong from one layer on, and lacking one."""
    artifact = artifact_of(bundle, Kind.WAVEFORM)
    graph = load_graph(bundle, artifact)
    layers = layers_of(graph)
    run = OperatorByOperator(graph, layers)
    assert first_departure(compare_layers(bundle, artifact, run)) is None
    broken = layers[len(layers) // 2].name

    def wrong(feed):
        values = run(feed)
        values[broken] = values[broken] * np.float16(0.5)
        return values

    first = first_departure(compare_layers(bundle, artifact, wrong))
    assert first is not None
    assert first.layer == broken
    assert first.snr == pytest.approx(6.02, abs=0.1)

    def lacking(feed):
        return {name: value for name, value in run(feed).items() if name != broken}

    with pytest.raises(EngineError, match=f"got no {broken}"):
        compare_layers(bundle, artifact, lacking)

    def of_another_shape(feed):
        values = run(feed)
        return values | {broken: values[broken].reshape(-1)}

    with pytest.raises(EngineError, match=f"got no {broken}"):
        compare_layers(bundle, artifact, of_another_shape)


def test_an_engine_that_does_not_run_says_why(bundle):

    def fails(feed):
        raise EngineError("engine run once: got no execution, expected it to run. Build it.")

    with pytest.raises(EngineError, match="got no execution"):
        compare_layers(bundle, artifact_of(bundle, Kind.WAVEFORM), fails)


def test_what_is_not_finite_never_passes():
    result = LayerResult(layer="a", operator="Conv", shape=(1,), snr=float("nan"), limit=40.0)
    assert not result.passed
    assert first_departure([result]) is result
