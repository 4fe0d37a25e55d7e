"""Graphs in int8: what is in int8, by which kernels it runs, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from sgn_rt.export.float32 import without_int8
from sgn_rt.export.layerwise import layers_of as layer_values
from sgn_rt.export.quantize import SCHEMES, layers_of, quantized, values_of
from sgn_rt.model.contract import Kind, Precision

PARTS = {
    *(f"{part}.{i}.conv" for part in ("encoder", "decoder") for i in range(7)),
    *(f"transformer.0.attention.{part}" for part in ("qkv", "output")),
    *(f"transformer.0.mlp.{part}" for part in ("up", "down")),
}
"""Layers of a small network that can be in int8."""


def session(graph: onnx.ModelProto, written=None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if written is not None:
        options.optimized_model_filepath = str(written)
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def ranges_of(graph: onnx.ModelProto, feed: dict) -> dict[str, tuple[float, float]]:
    """What `values_of` shows for one input."""
    names = values_of(graph)
    marked = onnx.ModelProto()
    marked.CopyFrom(graph)
    given = {value.name for value in graph.graph.output}
    marked.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in given)
    values = session(marked).run(names, feed)
    return {n: (float(v.min()), float(v.max())) for n, v in zip(names, values, strict=True)}


def made(graph: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in graph.graph.node for name in node.output}


def held(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}


@pytest.fixture(scope="module")
def core(small):
    return small(Kind.CORE, Precision.FP32, encoder_channels=(16, 6, 32, 16, 8, 8, 8))[1]


@pytest.fixture(scope="module")
def plugin(small):
    return small(Kind.PLUGIN, Precision.FP16)[1]


@pytest.fixture(scope="module")
def feed(core):
    shape = [d.dim_value or 1 for d in core.graph.input[0].type.tensor_type.shape.dim]
    noise = np.random.default_rng(3).normal(-3.0, 2.0, shape).astype(np.float32)
    return {core.graph.input[0].name: noise}


@pytest.fixture(scope="module")
def ranges(core, feed):
    return ranges_of(core, feed)


@pytest.fixture(scope="module")
def in_int8(core, ranges):
    return quantized(core, PARTS, ranges, SCHEMES[Kind.CORE])


def test_the_body_can_be_in_int8_but_for_what_tensorrt_has_no_kernel(core, plugin):
    decoder = {part for part in PARTS if part.startswith("decoder")}
    for graph, parts in ((core, PARTS), (plugin, PARTS - decoder)):
        assert set(layers_of(graph)) == parts
        nodes = [name for names in layers_of(graph).values() for name in names]
        assert set(nodes) <= {node.name for node in graph.graph.node}


def test_inputs_outputs_and_metadata_are_as_before(core, in_int8):
    assert in_int8.graph.input == core.graph.input
    assert [v.name for v in in_int8.graph.output] == [v.name for v in core.graph.output]
    assert in_int8.metadata_props == core.metadata_props
    assert in_int8.opset_import == core.opset_import


def test_weights_are_integers_with_a_scale_for_each_channel(core, in_int8):
    before, now, makers = held(core), held(in_int8), made(in_int8)
    for nodes in layers_of(core).values():
        for node in (n for n in core.graph.node if n.name in nodes):
            name, axis = node.input[1], 0 if node.op_type == "Conv" else 1
            assert makers[name].op_type == "DequantizeLinear"
            integers, scale = now[f"{name}.int"], now[f"{name}.scale"]
            assert integers.dtype == np.int8
            assert scale.shape == (before[name].shape[axis],)
            shape = [-1 if i == axis else 1 for i in range(integers.ndim)]
            off = np.abs(integers * scale.reshape(shape) - before[name])
            assert np.all(off <= 0.501 * scale.reshape(shape))
            assert np.abs(integers).max() == 127


def test_onnx_runtime_computes_them_in_int8(core, in_int8, tmp_path):
    written = tmp_path / "as_it_runs.onnx"
    session(in_int8, written)
    runs = [node.op_type for node in onnx.load(written).graph.node]
    convolutions = sum(node.op_type == "Conv" for node in core.graph.node)
    assert runs.count("QLinearConv") == convolutions
    assert runs.count("QGemm") == 4
    assert not {"Conv", "FusedConv", "Gemm"} & set(runs)


def test_what_only_moves_between_layers_moves_bytes(in_int8):
    types = {v.name: v.type.tensor_type.elem_type for v in in_int8.graph.value_info}
    moved = [n for n in in_int8.graph.node if n.name.startswith("decoder") and ".q" in n.output[0]]
    operators = {node.op_type for node in moved}
    assert {"Concat", "Transpose", "Reshape", "Slice", "QuantizeLinear"} <= operators
    assert all(types[node.output[0]] == TensorProto.UINT8 for node in moved)
    # Behind the ReLU, so that all 256 steps are above zero.
    makers = made(in_int8)
    steps = [n for n in moved if n.op_type == "QuantizeLinear" and "phase" in n.input[0]]
    assert steps
    assert all(makers[node.input[0]].op_type == "Relu" for node in steps)
    assert all(held(in_int8)[node.input[2]] == 0 for node in steps)


def test_it_computes_about_the_same(core, in_int8, feed):
    for right, given in zip(
        session(core).run(None, feed), session(in_int8).run(None, feed), strict=True
    ):
        error = np.sqrt(np.mean(np.square(given - right)) / np.mean(np.square(right)))
        assert 0 < error < 0.1


def test_layers_that_are_not_named_stay(core, ranges):
    kept = {"encoder.2.conv", "decoder.3.conv", "transformer.0.mlp.up"}
    before, now = held(core), held(quantized(core, PARTS - kept, ranges, SCHEMES[Kind.CORE]))
    for layer, nodes in layers_of(core).items():
        for weight in {node.input[1] for node in core.graph.node if node.name in nodes}:
            assert (weight in now, f"{weight}.int" in now) == (layer in kept, layer not in kept)
            assert layer not in kept or np.array_equal(now[weight], before[weight])


def test_none_is_the_graph_itself(core, ranges):
    graph = quantized(core, (), ranges, SCHEMES[Kind.CORE])
    assert [n.name for n in graph.graph.node] == [n.name for n in core.graph.node]
    assert held(graph).keys() == held(core).keys()


def test_tensorrts_graph_is_around_zero_and_half_elsewhere(plugin):
    ranges = dict.fromkeys(values_of(plugin), (-0.5, 2.0))
    in_int8 = quantized(plugin, PARTS, ranges, SCHEMES[Kind.PLUGIN])
    now = held(in_int8)
    for node in in_int8.graph.node:
        if node.op_type == "QuantizeLinear":
            assert now[node.input[2]].dtype == np.int8
            assert now[node.input[2]] == 0
            assert now[node.input[1]].dtype == np.float16
            assert now[node.input[1]] == np.float16(2.0 / 127)
    # Biases are floats: TensorRT adds them to what the product gives.
    assert not any(value.dtype == np.int32 for value in now.values())
    assert now["encoder.0.conv.bias"].dtype == np.float16


def test_a_channel_of_zeros_and_a_large_bias_fit(core, ranges):
    changed = onnx.ModelProto()
    changed.CopyFrom(core)
    tensors = {tensor.name: tensor for tensor in changed.graph.initializer}
    weight = numpy_helper.to_array(tensors["encoder.1.conv.weight"]).copy()
    bias = numpy_helper.to_array(tensors["encoder.1.conv.bias"]).copy()
    weight[2], bias[2] = 0.0, 1e5
    for array, name in ((weight, "encoder.1.conv.weight"), (bias, "encoder.1.conv.bias")):
        tensors[name].CopyFrom(numpy_helper.from_array(array, name))
    now = held(quantized(changed, {"encoder.1.conv"}, ranges, SCHEMES[Kind.CORE]))
    integers, scale = now["encoder.1.conv.bias.int"], now["encoder.1.conv.bias.scale"]
    off = np.abs(integers * scale.astype(np.float64) - bias)
    assert np.all(off <= 0.501 * scale)
    assert not now["encoder.1.conv.weight.int"][2].any()


def test_a_range_without_zero_is_made_to_hold_it_and_none_is_one_step_wide():
    unsigned, signed = SCHEMES[Kind.CORE], SCHEMES[Kind.PLUGIN]
    assert unsigned.steps(1.0, 5.1) == (pytest.approx(0.02), 0)
    assert unsigned.steps(-2.55, -1.0) == (pytest.approx(0.01), 255)
    assert unsigned.steps(0.0, 0.0)[0] > 0
    assert signed.steps(-1.27, 0.5) == (pytest.approx(0.01), 0)
    assert signed.steps(0.0, 0.0)[0] > 0


def test_without_int8_it_is_the_graph_that_it_was_made_from(core, in_int8, feed):
    plain = without_int8(in_int8)
    assert layer_values(plain) == layer_values(core)
    now, before = held(plain), held(core)
    assert now.keys() == before.keys()
    rounded = onnx.ModelProto()
    rounded.CopyFrom(core)
    for tensor in rounded.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(now[tensor.name], tensor.name))
    for one, other in zip(
        session(plain).run(None, feed), session(rounded).run(None, feed), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert without_int8(core) is core
