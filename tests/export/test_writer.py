"""From a checkpoint to a bundle: what is written, what is proved, and what is refused."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from itertools import product

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sgn_rt._atomic import whole_folder
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import BundleError, CheckpointError, ConfigError, ParityError
from sgn_rt.export import writer
from sgn_rt.export.writer import export_bundle
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import FLOATS, SECOND_HALVES, Kind, Precision, partner
from sgn_rt.model.stages import Stage, limit_for
from sgn_rt.parity.measure import measure
from sgn_rt.reference import random_model, save_checkpoint

# Of an export, which cuts graphs open: each stage of each is seen.
ALL_STAGES = set(Stage) - {Stage.QUALITY, Stage.ASSIGNMENT}
"""Of a model whose categories are none of the music's, and of graphs that give no assignments."""


@pytest.fixture(scope="module")
def core_bundle(small_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("core") / "core"
    export_bundle(small_checkpoint, folder, kinds=[Kind.CORE], precisions=[Precision.FP32])
    return folder


@pytest.fixture
def exported(small_bundle, monkeypatch):
    """Has the writer take graphs from the bundle instead of exporting them once more."""

    def build_graph(model, kind, precision):
        return onnx.load(small_bundle / f"{kind}.{precision}.onnx")

    monkeypatch.setattr(writer, "build_graph", build_graph)


def test_bundle_holds_every_graph_with_its_measured_parity(small_bundle):
    opened = Bundle.open(small_bundle)
    assert {a.name for a in opened.artifacts} == {f"{k}.{p}" for k in Kind for p in FLOATS}
    assert (opened.name, opened.licence) == ("small", "CC0-1.0")
    for artifact in opened.artifacts:
        assert {Stage(stage) for stage in artifact.parity} == ALL_STAGES
        for stage, entry in artifact.parity.items():
            assert entry["passed"]
            assert (
                entry["limit"]
                == limit_for(Stage(stage), artifact.precision, opened.config.log_epsilon).value
            )
    listed = set(opened.files) | {"bundle.json"}
    assert {path.name for path in small_bundle.iterdir()} == listed


def test_second_halves_are_proved_with_the_first(small_bundle):
    opened = Bundle.open(small_bundle)
    for kind, precision in product((Kind.CORE, Kind.PLUGIN), FLOATS):
        first, second = (opened.find(*of) for of in ((kind, precision), partner(kind, precision)))
        assert first is not None
        assert second is not None
        assert second.parity == first.parity


@pytest.mark.parametrize(
    "pair", [(Kind.CORE, Kind.MASKS), (Kind.PLUGIN, Kind.SYNTHESIS)], ids=lambda pair: pair[0]
)
@pytest.mark.parametrize("named", [0, 1], ids=["first", "second"])
def test_half_of_a_pair_brings_the_other(small_checkpoint, exported, tmp_path, pair, named):
    measured = export_bundle(
        small_checkpoint, tmp_path / "pair", kinds=[pair[named]], precisions=[Precision.FP32]
    )
    assert list(measured) == [f"{pair[0]}.fp32"]
    names = [artifact.name for artifact in Bundle.open(tmp_path / "pair").artifacts]
    assert names == [f"{kind}.fp32" for kind in pair]


def test_float16_figures_are_those_of_real_rounding(small_bundle):
    opened = Bundle.open(small_bundle)
    for kind in Kind:
        artifact = opened.find(kind, Precision.FP16)
        assert artifact is not None
        # Half has 11 bits: masks near one half cannot be exact to much less than 2^-12.
        assert artifact.parity[Stage.NETWORK]["figure"] > 2.0**-13


def test_two_exports_are_identical(small_checkpoint, core_bundle, tmp_path):
    export_bundle(
        small_checkpoint, tmp_path / "again", kinds=[Kind.CORE], precisions=[Precision.FP32]
    )
    for path in core_bundle.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    "changes",
    [
        {"n_fft": 1024, "hop_length": 256, "token_level": 3},
        {"n_fft": 512, "hop_length": 160, "sample_rate": 16000, "transformer_depth": 3},
        {"n_fft": 400, "hop_length": 100, "frequency_bins": 256, "frames": 384,
         "encoder_channels": (3, 5, 7, 9, 11, 13, 15)},
        {"n_fft": 510, "hop_length": 127, "transformer_depth": 0, "embedding_dim": 24,
         "attention_heads": 3, "mask_basis": 1, "categories": ("one",)},
    ],
    ids=["1024-256", "512-160", "400-100", "510-127"],
)  # fmt: skip
def test_other_models_export_and_hold_parity(changes, small_config, tmp_path):
    config = small_config(**changes)
    save_checkpoint(random_model(config, seed=2), config, tmp_path / "other.safetensors")
    # Two graphs that between them have every part: the core in float32, all else in float16.
    for kind, precision in ((Kind.CORE, Precision.FP32), (Kind.WAVEFORM, Precision.FP16)):
        folder = tmp_path / kind
        export_bundle(tmp_path / "other.safetensors", folder, kinds=[kind], precisions=[precision])
        opened = Bundle.open(folder)
        assert opened.config == config
        results = measure(open_engine(f"onnxruntime:{kind}.{precision}", opened), opened.probe)
        assert all(result.passed for result in results)


def _spoil(model: onnx.ModelProto, name: str, by: float = 0.5) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    value = numpy_helper.to_array(tensor).copy()
    value.flat[0] += np.asarray(by, value.dtype)
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


@pytest.mark.parametrize(("kind", "precision"), [("core", "fp32"), ("waveform", "fp16")])
def test_a_spoiled_weight_stops_the_export(
    small_checkpoint, exported, tmp_path, monkeypatch, kind, precision
):
    good = writer.build_graph

    def spoiled(model, kind, precision):
        graph = good(model, kind, precision)
        if kind not in SECOND_HALVES:  # those have no weights
            _spoil(graph, "encoder.0.conv.bias")
        return graph

    monkeypatch.setattr(writer, "build_graph", spoiled)
    with pytest.raises(ParityError, match=f"{kind}.{precision}: parity stage network: got"):
        export_bundle(
            small_checkpoint,
            tmp_path / "out",
            kinds=[Kind(kind)],
            precisions=[Precision(precision)],
        )
    assert list(tmp_path.iterdir()) == []


def test_what_overflows_stops_the_export_with_its_layer(
    small_checkpoint, exported, tmp_path, monkeypatch
):
    good = writer.build_graph

    def spoiled(model, kind, precision):
        graph = good(model, kind, precision)
        _spoil(graph, "encoder.1.conv.bias", np.inf)
        return graph

    monkeypatch.setattr(writer, "build_graph", spoiled)
    expected = r"non-finite.*to depart from the checkpoint: encoder\.1\.conv\.bias \(Weight\)"
    with pytest.raises(ParityError, match=expected):
        export_bundle(
            small_checkpoint, tmp_path / "out",
            kinds=[Kind.WAVEFORM], precisions=[Precision.FP16],
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_failing_export_does_without_the_layer(small_checkpoint, exported, tmp_path, monkeypatch):
    good = writer.build_graph

    def spoiled(model, kind, precision):
        graph = good(model, kind, precision)
        _spoil(graph, "encoder.1.conv.bias", np.inf)
        return graph

    monkeypatch.setattr(writer, "build_graph", spoiled)
    monkeypatch.setitem(sys.modules, "polygraphy.comparator", None)
    monkeypatch.delitem(sys.modules, "sgn_rt.export.layerwise", raising=False)
    with pytest.raises(ParityError, match=r"non-finite.*No bundle was written"):
        export_bundle(
            small_checkpoint, tmp_path / "out",
            kinds=[Kind.WAVEFORM], precisions=[Precision.FP16],
        )  # fmt: skip


def test_masks_of_another_kind_stop_the_export(small_checkpoint, exported, tmp_path, monkeypatch):
    """The pair is proved as it is cut: with masks that are wrong, though the core is right."""
    good = writer.build_graph

    def spoiled(model, kind, precision):
        graph = good(model, kind, precision)
        for node in graph.graph.node if kind == Kind.MASKS else ():
            if node.op_type == "Sigmoid":
                node.op_type = "Tanh"
        return graph

    monkeypatch.setattr(writer, "build_graph", spoiled)
    with pytest.raises(ParityError, match=r"core\.fp32: parity stage network: got"):
        export_bundle(
            small_checkpoint, tmp_path / "out", kinds=[Kind.CORE], precisions=[Precision.FP32]
        )
    assert list(tmp_path.iterdir()) == []


def test_a_spoiled_weight_fails_parity_where_the_bundle_runs(small_bundle, edit_manifest, tmp_path):
    path = "core.fp32.onnx"
    for file in small_bundle.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = onnx.load(tmp_path / path)
    _spoil(model, "encoder.0.conv.bias")
    content = model.SerializeToString()
    (tmp_path / path).write_bytes(content)
    record = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_manifest(tmp_path, lambda m: m["files"].update({path: record}))
    opened = Bundle.open(tmp_path)
    results = measure(open_engine("onnxruntime:core.fp32", opened), opened.probe)
    failed = {result.stage for result in results if not result.passed}
    assert Stage.NETWORK in failed
    assert Stage.SYNTHESIS not in failed  # the weight has no part in it


def test_shared_weights_hold_the_same_parity(small_checkpoint, exported, core_bundle, tmp_path):
    export_bundle(
        small_checkpoint, tmp_path / "shared", shared_weights=True,
        kinds=[Kind.CORE], precisions=[Precision.FP32],
    )  # fmt: skip
    one, other = (
        Bundle.open(folder).find(Kind.CORE, Precision.FP32)
        for folder in (tmp_path / "shared", core_bundle)
    )
    assert one is not None
    assert other is not None
    assert one.external == ("checkpoint.safetensors",)
    assert one.parity == other.parity


def test_what_is_there_is_not_touched(small_checkpoint, small_bundle, tmp_path):
    with pytest.raises(BundleError, match="overwrite"):
        export_bundle(small_checkpoint, small_bundle)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="no bundle"):
        export_bundle(small_checkpoint, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_overwrite_replaces_a_bundle_only_by_one_that_is_proved(
    small_checkpoint, exported, core_bundle, tmp_path, monkeypatch
):
    shutil.copytree(core_bundle, tmp_path / "b")
    before = (tmp_path / "b" / "bundle.json").read_text()
    one_graph = {"kinds": [Kind.CORE], "precisions": [Precision.FP32], "overwrite": True}

    def failing(*arguments):
        raise ParityError("no")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "prove", failing)
        with pytest.raises(ParityError):
            export_bundle(small_checkpoint, tmp_path / "b", licence="second", **one_graph)
    assert (tmp_path / "b" / "bundle.json").read_text() == before
    export_bundle(small_checkpoint, tmp_path / "b", licence="third", **one_graph)
    assert Bundle.open(tmp_path / "b").licence == "third"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said_so(small_checkpoint, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BundleError, match="expected to write the bundle"):
        export_bundle(small_checkpoint, tmp_path / "out", kinds=[Kind.CORE])


def test_a_file_in_the_way_is_said_so(small_checkpoint, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="expected to write the bundle"):
        export_bundle(small_checkpoint, tmp_path / "file" / "out", kinds=[Kind.CORE])


def test_a_checkpoint_that_is_none_is_said_so(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        export_bundle(tmp_path / "bad.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"kinds": ()}, "kinds: got none, expected one or more of core, masks, waveform"),
        ({"precisions": ()}, "precisions: got none, expected one or more of fp32, fp16"),
        ({"kinds": (Kind.CORE, Kind.CORE)}, "kinds: got core, core, expected"),
        ({"precisions": ("fp8",)}, "precisions: got fp8, expected"),
    ],
)
def test_a_bundle_without_graphs_is_not_what_was_meant(small_checkpoint, tmp_path, choice, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        export_bundle(small_checkpoint, tmp_path / "bundle", **choice)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from pathlib import Path
from sgn_rt._atomic import whole_folder
with whole_folder(Path(sys.argv[1])) as work:
    (work / "core.fp32.onnx").write_bytes(bytes(1000))
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_export_left_goes_with_the_next_one(tmp_path, tree):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "bundle"], check=False)
    assert done.returncode == -9
    assert any(name.endswith("core.fp32.onnx") for name in tree(tmp_path))
    with whole_folder(tmp_path / "bundle"):
        assert not any(name.endswith("core.fp32.onnx") for name in tree(tmp_path))
    assert tree(tmp_path) == ["bundle"]
