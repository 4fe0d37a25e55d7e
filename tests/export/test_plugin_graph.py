"""``plugin`` and ``synthesis``: what stands in them and what they compute, without TensorRT."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from sgn_rt.audio.labelled_music import load_music
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import EngineError, ParityError
from sgn_rt.export.graphs import build_graph, export_module
from sgn_rt.export.pair import joined, load_graph
from sgn_rt.export.plugin import PluginNetwork, Synthesis
from sgn_rt.export.standard import standard_copy
from sgn_rt.export.weights import GraphWeights
from sgn_rt.export.writer import export_bundle
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import (
    FLOATS,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    PLUGIN_ATTRIBUTES,
    Kind,
    PluginOp,
    Precision,
)
from sgn_rt.model.stages import LIMITS, Stage
from sgn_rt.reference import random_model, save_checkpoint

PAIR = (Kind.PLUGIN, Kind.SYNTHESIS)
STANDARD = {
    Kind.PLUGIN: {
        "Add", "Cast", "Concat", "Conv", "ConvTranspose", "Div", "Gelu", "LayerNormalization",
        "LeakyRelu", "MatMul", "Mul", "Pad", "ReduceSum", "Relu", "Reshape", "Sigmoid", "Softmax",
        "Split", "Squeeze", "Transpose",
    },
    Kind.SYNTHESIS: {
        "Add", "Cast", "Gather", "MatMul", "Reshape", "Sigmoid", "Split", "Transpose",
    },
}  # fmt: skip
"""All that stands in the graphs beside the plugins; all of it native to TensorRT's parser."""


@pytest.fixture(scope="module")
def bundle(checkpoint_path, tmp_path_factory) -> Bundle:
    """Of the published checkpoint; only one that holds parity is ever written."""
    folder = tmp_path_factory.mktemp("plugin") / "instruments"
    export_bundle(checkpoint_path, folder, kinds=[Kind.PLUGIN])
    return Bundle.open(folder)


@pytest.fixture(scope="module")
def small(small_config):
    """A small model of random weights, and its graphs as they are made."""
    model = random_model(small_config(), seed=3)
    return model, {(k, p): build_graph(model, k, p) for k in PAIR for p in FLOATS}


def _whole(graphs, precision: Precision) -> onnx.ModelProto:
    """Both graphs of a pair as one."""
    copies = [onnx.ModelProto.FromString(graphs[k, precision].SerializeToString()) for k in PAIR]
    return joined(*copies)


def _graph(bundle: Bundle, precision: Precision, kind: Kind | None = None) -> onnx.ModelProto:
    """One of a pair's graphs, or both as one."""
    artifact = bundle.find(kind or Kind.PLUGIN, precision)
    assert artifact is not None
    if kind is None:
        return load_graph(bundle, artifact)
    return onnx.load_from_string(bundle.read(artifact.path))


def _plugins(graph: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {node.op_type: node for node in graph.graph.node if node.domain}


def _attributes(node: onnx.NodeProto) -> dict:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _types(graph: onnx.ModelProto) -> dict[str, int]:
    values = [*graph.graph.value_info, *graph.graph.input, *graph.graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.graph.initializer}


@pytest.mark.parametrize("precision", FLOATS)
def test_each_half_has_one_transform(bundle, precision):
    for kind, op in zip(PAIR, (PluginOp.STFT, PluginOp.ISTFT), strict=True):
        graph = _graph(bundle, precision, kind)
        assert [node.op_type for node in graph.graph.node if node.domain] == [op]
        assert {(o.domain, o.version) for o in graph.opset_import} == {("", 20), ("sgn", 1)}


@pytest.mark.parametrize("precision", FLOATS)
def test_the_transforms_are_two_nodes_that_say_all(bundle, precision):
    graph, config = _graph(bundle, precision), bundle.config
    plugins = _plugins(graph)
    common = {
        "n_fft": config.n_fft, "hop_length": config.hop_length, "window_length": config.n_fft,
        "frequency_bins": config.frequency_bins,
        "plugin_version": b"1", "plugin_namespace": b"sgn",
    }  # fmt: skip
    assert _attributes(plugins["Stft"]) == common | {
        "log_epsilon": float(np.float32(config.log_epsilon)),
        "dtype": TensorProto.FLOAT,
    }
    assert _attributes(plugins["Istft"]) == common | {"samples": config.window_samples}
    for op, node in plugins.items():
        types = {a.name: a.type for a in node.attribute}
        for name, kind in PLUGIN_ATTRIBUTES[PluginOp(op)].items():
            assert types[name] == (onnx.AttributeProto.INT if kind is int
                                   else onnx.AttributeProto.FLOAT)  # fmt: skip


@pytest.mark.parametrize("kind", PAIR)
@pytest.mark.parametrize("precision", FLOATS)
def test_nothing_else_stands_in_the_graphs_than_tensorrt_takes(bundle, kind, precision):
    graph = _graph(bundle, precision, kind)
    assert {node.op_type for node in graph.graph.node if not node.domain} == STANDARD[kind] - (
        {"Cast"} if precision == Precision.FP32 else set()
    )
    names = {str(name) for name in (*GRAPH_INPUTS[kind], *GRAPH_OUTPUTS[kind])}
    assert {value.name for value in (*graph.graph.input, *graph.graph.output)} == names


@pytest.mark.parametrize("precision", FLOATS)
def test_basis_maps_are_cut_where_nothing_rearranges_them(bundle, precision):
    """Out of the last convolution, channels last in an engine: as the product is fed."""
    network, synthesis = (_graph(bundle, precision, kind).graph for kind in PAIR)
    (last,) = (node for node in network.node if "basis" in node.output)
    assert last.op_type == "ConvTranspose"
    (taker,) = (node for node in synthesis.node if "basis" in node.input)
    (product,) = (node for node in synthesis.node if node.op_type == "MatMul")
    assert (taker.op_type, product.input[0]) == ("Reshape", taker.output[0])


def test_basis_maps_are_padded_to_what_tensorrt_takes_channels_last(small):
    model, graphs = small
    known = model.config.mask_basis
    for precision in FLOATS:
        network = graphs[Kind.PLUGIN, precision].graph
        shape = next(v for v in network.output if v.name == "basis").type.tensor_type.shape
        assert known < shape.dim[1].dim_value == 8
        (weight,) = (t for t in network.initializer if t.name == "decoder.6.conv.weight")
        values = numpy_helper.to_array(weight)
        assert values[:, :known].any()
        assert not values[:, known:].any()


def test_float16_has_no_cast_but_at_islands_of_float32(bundle):
    graph, depth = _graph(bundle, Precision.FP16), bundle.config.transformer_depth
    casts = Counter(
        next(a.i for a in node.attribute if a.name == "to")
        for node in graph.graph.node
        if node.op_type == "Cast"
    )
    # Into two norms of every block, and into those of tokens and features; out of the blocks'
    # norms, behind the input's norm, and to the mask's guide.
    assert casts == {TensorProto.FLOAT: 2 * depth + 2, TensorProto.FLOAT16: 2 * depth + 2}
    types = _types(graph)
    for node in graph.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert {types[name] for name in node.input} == {TensorProto.FLOAT16}
        if node.op_type == "LayerNormalization":
            assert {types[name] for name in node.input} == {TensorProto.FLOAT}
    plugins = _plugins(graph)
    assert types[plugins["Istft"].input[1]] == TensorProto.FLOAT16


@pytest.mark.parametrize("precision", FLOATS)
def test_every_value_has_its_type_and_shape(bundle, precision):
    graph, config = _graph(bundle, precision), bundle.config
    known = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.graph.value_info, *graph.graph.output)
    }
    assert known.keys() >= {name for node in graph.graph.node for name in node.output}
    stft, istft = (_plugins(graph)[op] for op in PluginOp)
    plane = [config.frequency_bins, config.frames]
    assert [known[name] for name in stft.output] == [
        ["batch", config.frames, config.n_fft // 2 + 1, 2],
        ["batch", 1, *plane],
    ]
    assert known[istft.input[1]] == ["batch", "sources", *plane]
    assert known["sources"] == ["batch", "sources", config.window_samples]


@pytest.mark.parametrize("precision", FLOATS)
def test_parity_of_the_published_network(bundle, precision):
    artifact = bundle.find(Kind.PLUGIN, precision)
    assert artifact is not None
    assert {Stage(stage) for stage in artifact.parity} == set(Stage) - {Stage.ASSIGNMENT}
    for stage, entry in artifact.parity.items():
        assert LIMITS[Stage(stage)][precision].holds(entry["figure"]), stage


def test_float16_loses_no_quality_on_music(instruments, si_sdr):
    """Whole pieces, every result rounded: 0.05 dB of SI-SDR is the most that may be lost."""
    module = export_module(instruments, Kind.PLUGIN, Precision.FP16)
    config = instruments.config
    losses = []
    for piece in load_music(None, config.sample_rate):
        names = sorted(piece.stems)
        categories = torch.tensor([config.categories.index(name) for name in names])
        count = len(piece.mixture) // config.window_samples
        assert count >= 1
        mixture = piece.mixture[: count * config.window_samples]
        windows = torch.from_numpy(mixture.reshape(count, -1))
        with torch.inference_mode():
            parts = [
                network(windows, categories)[0].numpy().transpose(1, 0, 2).reshape(len(names), -1)
                for network in (instruments, module)
            ]
        stems = np.stack([piece.stems[name][: mixture.size] for name in names])
        whole, rounded = (si_sdr(stems, part) for part in parts)
        losses += (whole - rounded).tolist()
        assert si_sdr(*parts).min() > 40.0  # not the same by being the same code
    assert len(losses) == 4
    assert max(losses) < 0.05


@pytest.mark.parametrize(
    "changes",
    [
        {"n_fft": 1024, "hop_length": 256, "token_level": 3},
        {"n_fft": 400, "hop_length": 100, "frequency_bins": 256, "frames": 384,
         "encoder_channels": (3, 5, 7, 9, 11, 13, 15)},
        {"n_fft": 510, "hop_length": 127, "transformer_depth": 0, "mask_basis": 1,
         "categories": ("one",)},
    ],
    ids=["1024-256", "400-100", "510-127"],
)  # fmt: skip
def test_other_models_hold_parity(changes, small_config, tmp_path):
    config = small_config(**changes)
    save_checkpoint(random_model(config, seed=2), config, tmp_path / "other.safetensors")
    folder = tmp_path / "bundle"
    export_bundle(tmp_path / "other.safetensors", folder, kinds=[Kind.PLUGIN])
    opened = Bundle.open(folder)
    assert [a.name for a in opened.artifacts] == [
        *("plugin.fp32", "plugin.fp16", "synthesis.fp32", "synthesis.fp16"),
    ]
    attributes = _attributes(_plugins(_graph(opened, Precision.FP16))["Istft"])
    assert (attributes["n_fft"], attributes["samples"]) == (config.n_fft, config.window_samples)


def _run(model: onnx.ModelProto, mixture, categories) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"mixture": mixture, "categories": categories})


@pytest.mark.parametrize(("batch", "sources"), [(1, 1), (1, 3), (3, 5)])
def test_any_batch_and_any_sources(small, batch, sources):
    model, graphs = small
    rng = np.random.default_rng(4)
    mixture = 0.1 * rng.standard_normal((batch, model.config.window_samples)).astype(np.float32)
    categories = rng.integers(0, len(model.config.categories), sources)
    copy = standard_copy(_whole(graphs, Precision.FP32), model.config)
    result = dict(
        zip([o.name for o in copy.graph.output], _run(copy, mixture, categories), strict=True)
    )
    with torch.inference_mode():
        expected = model(torch.from_numpy(mixture), torch.from_numpy(categories))
    assert result.keys() == set(GRAPH_OUTPUTS[Kind.WAVEFORM])
    for name, ours in result.items():
        np.testing.assert_allclose(ours, getattr(expected, name).numpy(), atol=2e-5)


@torch.inference_mode()
def test_both_modules_one_behind_the_other_are_the_reference(small):
    model, _ = small
    weights = GraphWeights(model)
    network, synthesis = PluginNetwork(weights).eval(), Synthesis(model.config).eval()
    generator = torch.Generator().manual_seed(5)
    mixture = 0.1 * torch.randn(2, model.config.window_samples, generator=generator)
    categories = torch.tensor([2, 0, 2])
    presence, embedding, guide, basis, spectrum = network(mixture)
    sources = synthesis(spectrum, basis.permute(0, 2, 3, 1), guide, categories)
    both = export_module(model, Kind.PLUGIN, Precision.FP32)(mixture, categories)
    expected = model(mixture, categories)
    named = (expected.sources, expected.presence, expected.embedding)
    for mine, whole, theirs in zip((sources, presence, embedding), both, named, strict=True):
        assert torch.equal(mine, whole)
        torch.testing.assert_close(mine, theirs, atol=2e-5, rtol=0)


def test_two_exports_are_identical(small):
    model, graphs = small
    for (kind, precision), graph in graphs.items():
        again = build_graph(model, kind, precision)
        assert again.SerializeToString(deterministic=True) == graph.SerializeToString(
            deterministic=True
        )


@pytest.mark.parametrize(
    ("op", "name", "value"),
    [("Stft", "window_length", 200), ("Istft", "plugin_version", "2"), ("Stft", "dtype", 10)],
)
def test_attributes_that_do_not_fit_are_no_parity(small, op, name, value):
    model, graphs = small
    graph = _whole(graphs, Precision.FP16)
    node = _plugins(graph)[op]
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
    with pytest.raises(ParityError, match="got attributes"):
        standard_copy(graph, model.config)


def test_a_copy_is_made_of_what_the_nodes_say(small):
    """Not of the configuration: a graph that was exported wrong must be seen to be wrong."""
    model, graphs = small
    graph = _whole(graphs, Precision.FP32)
    epsilon = next(a for a in _plugins(graph)["Stft"].attribute if a.name == "log_epsilon")
    epsilon.f = 0.5
    copy = standard_copy(graph, model.config)
    values = {t.name: numpy_helper.to_array(t) for t in copy.graph.initializer if not t.dims}
    assert 0.5 in [float(value) for value in values.values()]


@pytest.mark.parametrize("kind", PAIR)
def test_onnx_runtime_refuses_it_by_name(bundle, kind):
    with pytest.raises(EngineError, match=rf"got {kind}.fp16, .* expected core or waveform"):
        open_engine(f"onnxruntime:{kind}.fp16", bundle)
