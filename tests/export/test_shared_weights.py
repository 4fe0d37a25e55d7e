"""Graphs that point into the checkpoint beside them: the same numbers, to the bit."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from sgn_rt.errors import CheckpointError
from sgn_rt.export.shared import INLINE_BYTES, share_weights
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Kind, Precision
from sgn_rt.reference import load, save_checkpoint


@pytest.fixture(scope="module")
def folder(checkpoint_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    shutil.copy(checkpoint_path, folder / BUNDLE_CHECKPOINT)
    return folder


@pytest.fixture(scope="module")
def shared(published, folder):
    """Path of the shared form of a published float32 graph."""

    def make(kind):
        path = folder / f"{kind}.onnx"
        if not path.exists():
            graph = share_weights(published(kind, Precision.FP32), folder / BUNDLE_CHECKPOINT)
            path.write_bytes(graph.SerializeToString(deterministic=True))
        return path

    return make


@pytest.mark.parametrize("kind", [Kind.CORE, Kind.WAVEFORM])
def test_same_outputs_to_the_bit(published, shared, run, golden, kind):
    signal = golden["logmag" if kind == Kind.CORE else "mixture"]
    graphs = published(kind, Precision.FP32), str(shared(kind))
    if kind == Kind.CORE:
        masks = published(Kind.MASKS, Precision.FP32)
        graphs = tuple((core, masks) for core in graphs)
    plain, other = (run(graph, signal, [10, 4, 0]) for graph in graphs)
    assert np.ptp(plain[0]) > 0.01  # of a window that is quiet
    for expected, got in zip(plain, other, strict=True):
        assert np.array_equal(expected, got)


def test_checkpoint_from_memory(published, shared, golden):
    # As a bundle opens it: from bytes whose hashes were checked.
    data = shared(Kind.CORE).with_name(BUNDLE_CHECKPOINT).read_bytes()
    options = onnxruntime.SessionOptions()
    options.add_external_initializers_from_files_in_memory([BUNDLE_CHECKPOINT], [data], [len(data)])
    session = onnxruntime.InferenceSession(shared(Kind.CORE).read_bytes(), options)
    feed = {"log_magnitude": golden["logmag"]}
    plain = onnxruntime.InferenceSession(published(Kind.CORE, Precision.FP32).SerializeToString())
    for one, other in zip(session.run(None, feed), plain.run(None, feed), strict=True):
        assert np.array_equal(one, other)


def test_the_core_graph_holds_no_weights(shared):
    graph = onnx.load(shared(Kind.CORE), load_external_data=False)
    held = [t for t in graph.graph.initializer if t.data_location != TensorProto.EXTERNAL]
    assert all(len(t.raw_data) <= INLINE_BYTES for t in held)
    assert shared(Kind.CORE).stat().st_size < 200_000
    outside = [t for t in graph.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    assert {entry.value for t in outside for entry in t.external_data if entry.key == "location"} \
        == {BUNDLE_CHECKPOINT}  # fmt: skip
    assert len({t.name for t in outside}) == len(outside)


def test_it_is_a_valid_model(shared):
    for kind in (Kind.CORE, Kind.WAVEFORM, Kind.PLUGIN):
        onnx.checker.check_model(shared(kind), full_check=True)


def test_every_weight_to_the_bit(small, tmp_path, monkeypatch):
    # The nodes in front of the network, in ONNX's own evaluator; stored in float32 this time.
    monkeypatch.setattr("sgn_rt.export.shared.INLINE_BYTES", 0)
    model, plain = small(Kind.CORE, encoder_channels=(16, 16, 32, 8, 16, 16, 8))
    save_checkpoint(model, model.config, tmp_path / BUNDLE_CHECKPOINT)
    result = share_weights(plain, tmp_path / BUNDLE_CHECKPOINT)
    (tmp_path / "shared.onnx").write_bytes(result.SerializeToString())
    graph = onnx.load(tmp_path / "shared.onnx").graph
    weights = {tensor.name: tensor for tensor in plain.graph.initializer}
    replaced = sorted(weights.keys() - {tensor.name for tensor in graph.initializer})
    for name in ("decoder.2.conv.grid", "decoder.4.conv.phase10.weight", "encoder.2.conv.weight",
                 "token_offset", "token_projection.weight", "mask_guide.down.bias"):  # fmt: skip
        assert name in replaced
    front = len(graph.node) - len(plain.graph.node)
    outputs = [onnx.ValueInfoProto(name=name) for name in replaced]
    recipes = onnx.helper.make_graph(
        graph.node[:front], "recipes", [], outputs, initializer=graph.initializer
    )
    evaluator = ReferenceEvaluator(
        onnx.helper.make_model(recipes, opset_imports=plain.opset_import)
    )
    for name, value in zip(replaced, evaluator.run(None, {}), strict=True):
        assert value.dtype == np.float32
        assert np.array_equal(value, numpy_helper.to_array(weights[name])), name


def test_refuses_another_checkpoint(published, small_config, folder, tmp_path):
    other = load(folder / BUNDLE_CHECKPOINT)
    other.presence_head.bias[:] += 1.0  # one number, in a tensor that stays inline
    save_checkpoint(other, other.config, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"whose presence_head\.bias differs from other"):
        share_weights(published(Kind.CORE, Precision.FP32), tmp_path / "other.safetensors")


def test_refuses_half_precision(published, folder):
    with pytest.raises(CheckpointError, match="got a graph in 'fp16', expected 'fp32'"):
        share_weights(published(Kind.CORE, Precision.FP16), folder / BUNDLE_CHECKPOINT)
