"""What a graph consists of: operators, names, types, axes; and that it is the same every time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import warnings
from collections import Counter
from copy import deepcopy

import onnx
import pytest
import torch
from onnx import TensorProto

from sgn_rt.export.graphs import build_graph, masks_module
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import (
    BUNDLE_SCHEMA,
    FLOATS,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    SECOND_HALVES,
    Axis,
    Kind,
    Precision,
    Tensor,
    axes_of,
    type_of,
)
from sgn_rt.model.graph_file import tensors_of
from sgn_rt.reference import random_model

NETWORK = {
    "Add", "Concat", "Conv", "ConvTranspose", "Div", "Gather", "Gelu", "LayerNormalization",
    "LeakyRelu", "MatMul", "Mul", "Pad", "ReduceSum", "Relu", "Reshape", "Sigmoid", "Softmax",
    "Split", "Squeeze", "Transpose",
}  # fmt: skip
OPERATORS = {
    # No look-up: nothing of it is of chosen categories.
    (Kind.CORE, Precision.FP32): (NETWORK - {"ConvTranspose", "Gather"}) | {"Gemm", "Slice"},
    (Kind.CORE, Precision.FP16): (NETWORK - {"Gather"}) | {"Cast"},
    (Kind.WAVEFORM, Precision.FP32): NETWORK | {"Log", "Slice", "Sqrt", "Unsqueeze"},
    (Kind.WAVEFORM, Precision.FP16): NETWORK | {"Cast", "Log", "Slice", "Sqrt", "Unsqueeze"},
}
every_graph = pytest.mark.parametrize(("kind", "precision"), list(OPERATORS))
every_whole = pytest.mark.parametrize(
    ("kind", "precision"), [names for names in OPERATORS if names[0] == Kind.WAVEFORM]
)
every_masks = pytest.mark.parametrize(
    ("kind", "precision"), [(Kind.MASKS, precision) for precision in FLOATS]
)
MASKS = {"Add", "MatMul", "Reshape", "Sigmoid", "Split"}
MASK_OPERATORS = {
    Precision.FP32: MASKS | {"Slice", "Transpose", "Unsqueeze"},
    Precision.FP16: MASKS | {"Cast"},
}


def nodes_of(graph, operator):
    return [node for node in graph.graph.node if node.op_type == operator]


def types_of(graph) -> dict[str, int]:
    """Element type of every value."""
    values = (*graph.graph.value_info, *graph.graph.input, *graph.graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.graph.initializer}


@every_graph
def test_operators(published, kind, precision):
    counts = Counter(node.op_type for node in published(kind, precision).graph.node)
    assert set(counts) == OPERATORS[kind, precision]
    whole = kind == Kind.WAVEFORM
    # The one look-up is that of the chosen categories, before anything whose cost is per source.
    assert counts["Gather"] == whole
    assert counts["LeakyRelu"] == 6
    assert counts["Sigmoid"] == 1 + whole
    standard = {entry.domain: entry.version for entry in published(kind, precision).opset_import}
    assert standard == {"": 20}


@every_masks
def test_masks_are_one_product_and_hold_no_weights(published, kind, precision):
    graph = published(kind, precision)
    counts = Counter(node.op_type for node in graph.graph.node)
    assert set(counts) == MASK_OPERATORS[precision]
    assert counts["MatMul"] == counts["Sigmoid"] == 1
    assert {tensor.data_type for tensor in graph.graph.initializer} == {TensorProto.INT64}
    assert graph.ByteSize() < 4096


@pytest.mark.parametrize("precision", FLOATS)
def test_what_the_plugins_network_gives_goes_into_the_synthesis_as_it_is(published, precision):
    network, synthesis = (published(k, precision).graph for k in (Kind.PLUGIN, Kind.SYNTHESIS))
    given = {value.name: deepcopy(value.type.tensor_type) for value in network.output}
    *shared, categories = synthesis.input
    assert [value.name for value in shared] == [Tensor.SPECTRUM, Tensor.BASIS, Tensor.GUIDE]
    batch, channels, *plane = given[Tensor.BASIS].shape.dim  # the same bytes, once laid out
    given[Tensor.BASIS].shape.CopyFrom(onnx.TensorShapeProto(dim=[batch, *plane, channels]))
    assert [value.type.tensor_type for value in shared] == [given[v.name] for v in shared]
    # Those chosen are picked before anything whose cost is per source.
    first = synthesis.node[0]
    assert (first.op_type, list(first.input)) == ("Gather", [Tensor.GUIDE, categories.name])
    # Nothing of the model is in it twice: what it holds are shapes.
    assert {tensor.data_type for tensor in synthesis.initializer} == {TensorProto.INT64}


@pytest.mark.parametrize("precision", FLOATS)
def test_what_the_core_gives_goes_into_the_masks_as_it_is(published, precision):
    core, masks = (published(kind, precision).graph for kind in (Kind.CORE, Kind.MASKS))
    given = {value.name: value.type.tensor_type for value in core.output}
    basis, guide = (value.type.tensor_type for value in masks.input)
    assert basis == given[Tensor.BASIS]
    assert guide.elem_type == given[Tensor.GUIDE].elem_type
    # Categories are rows of the guide: who chooses copies rows.
    assert [dim.dim_param or dim.dim_value for dim in guide.shape.dim] == ["batch", "sources", 17]
    assert given[Tensor.GUIDE].shape.dim[1].dim_value == 11


@every_whole
def test_only_chosen_categories_are_guided(published, kind, precision):
    graph = published(kind, precision)
    (gather,) = nodes_of(graph, "Gather")
    assert list(gather.input) == [Tensor.EMBEDDING, Tensor.CATEGORIES]
    (reader,) = (node for node in graph.graph.node if gather.output[0] in node.input)
    assert reader.input[1] == "mask_guide.up.weight"


@every_graph
def test_activations_stand_behind_convolutions(published, kind, precision):
    graph = published(kind, precision)
    makers = {name: node.op_type for node in graph.graph.node for name in node.output}
    convolutions = {"Conv", "ConvTranspose"}
    for node in nodes_of(graph, "LeakyRelu"):
        assert makers[node.input[0]] in convolutions, node.name
    for node in nodes_of(graph, "Relu"):
        assert makers[node.input[0]] in convolutions | {"LeakyRelu"}, node.name
    assert all(len(node.input) == 3 for op in convolutions for node in nodes_of(graph, op))


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("kind", Kind)
def test_inputs_and_outputs(instruments, published, kind, precision):
    graph = published(kind, precision).graph
    config = instruments.config
    sizes = {
        Axis.SAMPLES: config.window_samples, Axis.FREQUENCY: config.frequency_bins,
        Axis.FRAMES: config.frames, Axis.BINS: config.bins, Axis.CATEGORY: len(config.categories),
        Axis.DIM: config.embedding_dim, Axis.WEIGHTS: config.mask_basis + 1,
        Axis.CHANNELS: config.mask_basis,  # sixteen: nothing to pad
    }  # fmt: skip
    if kind in (Kind.CORE, Kind.MASKS):
        basis = masks_module(precision).basis_shape(config)
        sizes |= zip((Axis.CHANNELS, Axis.ROWS, Axis.COLUMNS), basis, strict=True)
    for values, names in ((graph.input, GRAPH_INPUTS[kind]), (graph.output, GRAPH_OUTPUTS[kind])):
        assert [value.name for value in values] == list(names)
        for value, name in zip(values, names, strict=True):
            tensor = value.type.tensor_type
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            assert dtype.name == type_of(kind, name, precision)
            shape = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
            assert shape == [sizes.get(axis, axis) for axis in axes_of(kind, name)]


@pytest.mark.parametrize("kind", [k for k in Kind if k not in SECOND_HALVES])
def test_half_precision_is_in_the_types(published, kind):
    graph = published(kind, Precision.FP16)
    types = types_of(graph)
    half, single = TensorProto.FLOAT16, TensorProto.FLOAT
    for operator in ("Conv", "ConvTranspose", "LeakyRelu"):
        for node in nodes_of(graph, operator):
            assert {types[name] for name in node.input} == {half}, node.name
    for operator in ("LayerNormalization", "Log", "Sqrt", "ReduceSum", "Div"):
        for node in nodes_of(graph, operator):
            assert types[node.input[0]] == single, node.name
    for node in nodes_of(graph, "MatMul"):
        island = ("grouping", "presence_head", "mask_guide", "stft", "istft")
        expected = single if node.name.startswith(island) else half
        assert {types[name] for name in (*node.input, *node.output)} == {expected}, node.name


@every_graph
def test_weights_are_folded_and_named(published, kind, precision):
    names = [tensor.name for tensor in published(kind, precision).graph.initializer]
    assert len(set(names)) == len(names)
    assert not [name for name in names if "running" in name or name.startswith("val_")]
    assert not [name for name in names if ".norm." in name and "grouping" not in name]
    for name in ("encoder.1.conv.weight", "encoder.1.conv.bias", "transformer.2.mlp.up.weight"):
        assert name in names


@every_graph
def test_nodes_are_named_after_modules(published, kind, precision):
    graph = published(kind, precision).graph
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    parts = {"encoder", "decoder", "transformer", "grouping", "mask", "mask_guide", "network",
             "token_projection", "feature_norm", "token_norm", "presence_head", "stft",
             "istft"}  # fmt: skip
    for node in graph.node:
        scope, _, operator = node.name.partition("/")
        assert scope.split(".")[0] in parts, node.name
        assert operator.startswith(node.op_type), node.name


@pytest.mark.parametrize(("kind", "precision"), [*OPERATORS, (Kind.MASKS, Precision.FP16)])
def test_nothing_of_the_exporting_machine_remains(instruments, published, kind, precision):
    graph = published(kind, precision)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    config = ModelConfig.from_dict(json.loads(metadata.pop("sgn_config")))
    assert config == instruments.config
    assert metadata.pop("sgn_kind") == kind
    assert metadata.pop("sgn_precision") == precision
    assert metadata.pop("sgn_schema") == str(BUNDLE_SCHEMA)
    assert metadata.keys() == {"sgn_rt_version"}
    for node in graph.graph.node:
        assert not node.metadata_props
        assert not node.doc_string
    data = graph.SerializeToString()
    for trace in (b".py", b"torch", b"aten", b"site-packages", os.getcwd().encode()):
        assert trace not in data, trace
    assert graph.producer_name == "sgn-rt"


PROGRAM = """
import hashlib, sys
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.export.graphs import build_graph, masks_module
from sgn_rt.reference import random_model
from sgn_rt.reference import load
graph = build_graph(load(sys.argv[1]), Kind.CORE, Precision.FP32)
print(hashlib.sha256(graph.SerializeToString()).hexdigest())
"""


def test_exports_are_identical_across_processes(published, checkpoint_path, tmp_path):
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(checkpoint_path)],
        capture_output=True, text=True, check=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    here = published(Kind.CORE, Precision.FP32).SerializeToString()
    assert result.stdout.split() == [hashlib.sha256(here).hexdigest()]
    assert result.stderr == ""


def test_export_is_silent_and_leaves_no_trace(small_config, capfd):
    model = random_model(small_config(), seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state, filters = torch.get_rng_state(), list(warnings.filters)
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    capfd.readouterr()
    build_graph(model, Kind.CORE, Precision.FP16)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert warnings.filters == filters
    assert all(logging.getLogger(name).level == level for name, level in levels.items())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.is_grad_enabled()


def test_shapes_are_inferred_with_the_contracts_axes(published):
    graph = published(Kind.WAVEFORM, Precision.FP32)
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True)
    known = {value.name for value in inferred.graph.value_info}
    for node in graph.graph.node:
        assert known.issuperset(set(node.output) - set(map(str, Tensor))), node.name


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("precision", FLOATS)
def test_inputs_and_outputs_are_read_without_onnx_as_onnx_reads_them(small_bundle, kind, precision):
    def declared(value):
        tensor = value.type.tensor_type
        shape = tuple(-1 if dim.dim_param else dim.dim_value for dim in tensor.shape.dim)
        return value.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape

    content = (small_bundle / f"{kind}.{precision}.onnx").read_bytes()
    graph = onnx.load_from_string(content).graph
    for found, values in zip(tensors_of(content), (graph.input, graph.output), strict=True):
        assert [tuple(each) for each in found] == [declared(value) for value in values]
