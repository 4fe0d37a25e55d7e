"""Which layer departs first: found where it was put, with nothing departing where nothing was."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from sgn_rt.errors import EngineError
from sgn_rt.export.checkpoint_values import CheckpointValues
from sgn_rt.export.layer_result import LIMITS, WEIGHT, WEIGHT_LIMITS, LayerResult, first_departure
from sgn_rt.export.layerwise import compare_layers, layers_of, widened, with_outputs
from sgn_rt.export.operators import OperatorByOperator
from sgn_rt.export.pair import load_graph
from sgn_rt.export.standard import standard_copy
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, FLOATS, SECOND_HALVES, Kind, Precision


@pytest.fixture
def bundle(small_bundle) -> Bundle:
    return Bundle.open(small_bundle)


@pytest.fixture
def changed(small_bundle, tmp_path, edit_manifest):
    """A bundle with one of its graphs changed by a function."""

    def make(name: str, change, source: Path = small_bundle) -> Bundle:
        folder = tmp_path / f"bundle{len(list(tmp_path.iterdir()))}"
        shutil.copytree(source, folder)
        graph = onnx.load(folder / f"{name}.onnx", load_external_data=False)
        change(graph.graph)
        content = graph.SerializeToString()
        (folder / f"{name}.onnx").write_bytes(content)
        record = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        edit_manifest(folder, lambda m: m["files"].update({f"{name}.onnx": record}))
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


COMPARED = [kind for kind in Kind if kind not in SECOND_HALVES]


@pytest.mark.parametrize("kind", COMPARED)
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
    masks = (bundle.config.frequency_bins, bundle.config.frames)
    assert any(r.operator == "Sigmoid" and np.prod(r.shape) >= np.prod(masks) for r in results)


@pytest.mark.parametrize("kind", [Kind.WAVEFORM, Kind.PLUGIN])
@pytest.mark.parametrize("weight", ["encoder.3.conv.weight", "transformer.0.mlp.up.weight"])
def test_a_weight_that_is_wrong_is_found_where_it_is(changed, kind, weight):
    bundle = changed(f"{kind}.fp16", scale(weight, 1.1))
    first = first_departure(compare_layers(bundle, artifact_of(bundle, kind)))
    assert first is not None
    assert first.layer.startswith(weight.removesuffix(".weight"))
    assert first.layer == weight
    assert first.snr == pytest.approx(20.0, abs=0.1)


def scale_all(factor: float):
    """Change every weight of a graph by a factor."""

    def change(graph: onnx.GraphProto) -> None:
        for tensor in graph.initializer:
            if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16):
                values = numpy_helper.to_array(tensor)
                scaled = (values.astype(np.float32) * factor).astype(values.dtype)
                tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))

    return change


# The network's first weight, and those of a waveform's STFT before it.
FIRST = {Kind.CORE: "input_scale", Kind.WAVEFORM: "stft.matrix", Kind.PLUGIN: "input_scale"}


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("kind", list(FIRST))
def test_every_graph_is_compared_with_the_checkpoint(changed, kind, precision):
    """One percent, in one layer and in all of them; against itself a graph would be right."""
    weight = "transformer.0.mlp.up.weight"
    bundle = changed(f"{kind}.{precision}", scale(weight, 1.01))
    departed = [
        r for r in compare_layers(bundle, artifact_of(bundle, kind, precision)) if not r.passed
    ]
    assert departed[0].layer == weight
    assert departed[0].snr == pytest.approx(40.0, abs=0.1)
    assert not any(r.layer.startswith(("encoder", "stft")) for r in departed)
    bundle = changed(f"{kind}.{precision}", scale_all(1.01))
    first = first_departure(compare_layers(bundle, artifact_of(bundle, kind, precision)))
    assert first is not None
    assert first.layer == FIRST[kind]


@pytest.mark.parametrize("kind", list(FIRST))
def test_a_graph_of_other_operations_departs_where_they_are(changed, kind):
    """Its weights are the checkpoint's: what departs is the operator, against PyTorch's."""

    def change(graph: onnx.GraphProto) -> None:
        (node,) = [n for n in graph.node if n.name == "transformer.0.mlp_norm/LayerNormalization"]
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = 1.0

    bundle = changed(f"{kind}.fp32", change)
    results = compare_layers(bundle, artifact_of(bundle, kind, Precision.FP32))
    first = first_departure(results)
    assert first is not None
    assert first.layer == "transformer.0.mlp_norm/LayerNormalization"
    assert all(result.passed for result in results if result.operator == WEIGHT)


def test_weights_made_of_the_checkpoint_are_compared_as_they_come_out(changed):
    """A graph that points at the right tensors, and makes something else of one."""
    change = scale("transformer.1.attention.qkv.weight/1.input1", 1.01)
    bundle = changed("core.fp32", change, embedded())
    results = compare_layers(bundle, artifact_of(bundle, Kind.CORE, Precision.FP32))
    first = first_departure(results)
    assert first is not None
    assert (first.layer, first.operator) == ("transformer.1.attention.qkv.weight", WEIGHT)
    assert first.snr == pytest.approx(40.0, abs=0.1)


def test_a_graph_without_the_checkpoints_weights_is_not_compared(changed):
    def rename(graph: onnx.GraphProto) -> None:
        for values in (graph.initializer, graph.node):
            for each in values:
                if isinstance(each, onnx.NodeProto):
                    each.input[:] = ["w" if n == "mask_guide.up.weight" else n for n in each.input]
                elif each.name == "mask_guide.up.weight":
                    each.name = "w"

    bundle = changed("waveform.fp16", rename)
    with pytest.raises(EngineError, match=r"got a graph without mask_guide\.up\.weight, expected"):
        compare_layers(bundle, artifact_of(bundle, Kind.WAVEFORM))


def test_numbers_that_overflow_are_found_where_they_do(changed):
    bundle = changed("plugin.fp16", scale("encoder.2.conv.weight", 1e9))
    results = compare_layers(bundle, artifact_of(bundle, Kind.PLUGIN))
    weight, first = [result for result in results if not result.passed][:2]
    assert weight.layer == "encoder.2.conv.weight"
    assert first.layer.startswith("encoder.2.conv/")
    assert not np.isfinite(first.snr)
    assert first.to_dict()["snr_db"] is None
    assert not first.to_dict()["passed"]


@pytest.mark.parametrize("kind", sorted(SECOND_HALVES))
def test_second_halves_are_looked_at_behind_the_first(bundle, fails, kind):
    with fails(EngineError, f"{kind}.fp16", "expected the network that it goes with"):
        compare_layers(bundle, artifact_of(bundle, kind))


def test_masks_are_looked_at_behind_their_core(bundle):
    for precision in FLOATS:
        graph = load_graph(bundle, artifact_of(bundle, Kind.CORE, precision))
        assert [value.name for value in graph.graph.input] == ["log_magnitude"]
        assert {"mask/MatMul", "encoder.0.conv/Conv"} <= {layer.name for layer in layers_of(graph)}


def test_the_core_of_schema_1_is_compared_too():
    bundle = Bundle.open(Path(__file__).parents[1] / "data" / "bundle_schema1")
    results = compare_layers(bundle, artifact_of(bundle, Kind.CORE, Precision.FP32))
    assert first_departure(results) is None
    assert "masks" in load_graph(bundle, bundle.artifacts[0]).graph.output[0].name
    assert len(results) > 50


@pytest.mark.parametrize("kind", COMPARED)
def test_every_layer_of_a_right_float32_graph_holds(bundle, kind):
    results = compare_layers(bundle, artifact_of(bundle, kind, Precision.FP32))
    assert first_departure(results) is None
    limits = {result.operator == WEIGHT: result.limit for result in results}
    assert limits == {False: LIMITS[Precision.FP32], True: WEIGHT_LIMITS[Precision.FP32]}


@pytest.mark.parametrize("kind", [Kind.WAVEFORM, Kind.PLUGIN])
def test_between_weights_the_reference_is_the_float32_graph(bundle, kind):
    """Widened, and with the checkpoint's weights, a float16 graph computes as the other does."""
    import onnxruntime

    half, full = (load_graph(bundle, artifact_of(bundle, kind, p)) for p in reversed(FLOATS))
    layers = [layer for layer in layers_of(half) if layer.operator != "Cast"]
    assert layers == layers_of(full)
    weights = CheckpointValues(bundle, artifact_of(bundle, kind), half).weights
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


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("kind", list(FIRST))
def test_pytorch_says_what_every_operator_with_weights_gives(bundle, kind, precision):
    artifact = artifact_of(bundle, kind, precision)
    graph = load_graph(bundle, artifact)
    truth = CheckpointValues(bundle, artifact, graph)
    probe = bundle.probe
    feed = {"signal": probe.mixture[:1], "categories": probe.categories[0]}
    if kind == Kind.CORE:
        feed = {"signal": probe.log_magnitude[:1, None]}
    told = truth.layers(feed)
    with_weights = {
        node.output[0] for node in graph.graph.node if set(node.input) & truth.weights.keys()
    }
    assert with_weights <= told.keys()
    assert len(with_weights) > 40
    assert all(value.dtype == np.float32 for value in told.values())
    if kind == Kind.PLUGIN:
        assert {"spectrum", "stft/Stft:1", "sources"} <= told.keys()


def test_a_bundle_without_its_checkpoint_has_nothing_to_compare_with(
    small_bundle, tmp_path, edit_manifest
):
    folder = Path(shutil.copytree(small_bundle, tmp_path / "bundle"))
    edit_manifest(folder, lambda manifest: manifest["files"].pop(BUNDLE_CHECKPOINT))
    bundle = Bundle.open(folder)
    with pytest.raises(EngineError, match=f"without {BUNDLE_CHECKPOINT}, expected one with it"):
        compare_layers(bundle, artifact_of(bundle, Kind.CORE))


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
