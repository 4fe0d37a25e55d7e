"""Graphs of a hostile or broken bundle: refused in a clear line, and never replaced in silence."""

from __future__ import annotations

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt import Separator
from sgn_rt.engines.confined import expect_version, without_files
from sgn_rt.errors import BundleError, DependencyError, ParityWarning
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import CHECKPOINT_CONFIG_KEY
from sgn_rt.model.graph_file import external_files

CORE, MASKS, WAVEFORM = "core.fp32.onnx", "masks.fp32.onnx", "waveform.fp32.onnx"


def damaged(content: bytes) -> bytes:
    return content[: len(content) // 2]


def separate(separator, noise):
    return separator.separate(noise(1, 3000), ["bell"], sample_rate=8000)


@pytest.mark.parametrize("name", [CORE, MASKS])
@pytest.mark.parametrize("content", [b"", b"no graph", damaged, bytes(range(256)) * 9])
def test_another_graph_serves_the_same_engine(bundle, replace_file, noise, name, content):
    if callable(content):
        content = content((bundle / name).read_bytes())
    replace_file(bundle, name, content)
    with pytest.warns(ParityWarning, match=rf"now onnxruntime:waveform.fp32, as .*{name}: got"):
        separator = Separator.open(bundle, threads=1)
    with separator:
        result = separate(separator, noise)
        assert result.engine == "onnxruntime:waveform.fp32"
        assert len(result.replacements) == 1
        assert "onnxruntime" in [rejection.engine for rejection in separator.rejected]


def test_with_none_left_pytorch_serves_and_both_are_named(bundle, replace_file, noise):
    for name in (CORE, WAVEFORM):
        replace_file(bundle, name, b"no graph")
    with pytest.warns(ParityWarning, match=rf"now torch, as .*{CORE}: got .*{WAVEFORM}: got"):
        separator = Separator.open(bundle, threads=1)
    with separator:
        assert separate(separator, noise).engine == "torch"


@pytest.mark.parametrize("engine", ["onnxruntime:core.fp32", "onnxruntime"])
def test_the_engine_asked_for_is_an_error_when_all_its_graphs_are_broken(
    bundle, replace_file, engine
):
    for name in (CORE, WAVEFORM):
        replace_file(bundle, name, b"no graph")
    with pytest.raises(BundleError, match=r"fp32.onnx: got .* expected an ONNX model"):
        Separator.open(bundle, engine, threads=1)


def test_the_command_line_says_it(bundle, replace_file, tmp_path, noise, capsys, monkeypatch):
    import soundfile

    from sgn_rt.cli import main

    replace_file(bundle, CORE, b"no graph")
    recording = tmp_path / "clip.wav"
    soundfile.write(recording, noise(1, 3000)[0], 8000)
    monkeypatch.setattr(
        sys,
        "argv",
        ["sgn-rt", "separate", str(recording), "-o", str(tmp_path / "out"), "--bundle", str(bundle),
         "--categories", "bell"],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main sets its own
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0
    assert f"warning: now onnxruntime:waveform.fp32, as onnxruntime: {CORE}: got" in (
        capsys.readouterr().err
    )


def test_a_graph_that_computes_something_else_is_replaced(bundle, replace_file, noise):
    """Whole, of the right hash and metadata, with other numbers: the start-up probe finds it."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string((bundle / MASKS).read_bytes())
    for node in model.graph.node:
        if node.op_type == "Sigmoid":
            node.op_type = "Tanh"
    replace_file(bundle, MASKS, model.SerializeToString())
    with (
        pytest.warns(ParityWarning, match=r"now onnxruntime:waveform.fp32, as .*parity stage"),
        Separator.open(bundle, threads=1) as separator,
    ):
        assert np.isfinite(separate(separator, noise).sources["bell"]).all()


SECRET = b"the bytes of another file, which are none of the graph's business...."


def external(onnx, location, name="stolen"):
    """A tensor that lies in another file."""
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.UINT8, dims=[len(SECRET)])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def in_initializer(onnx, model, tensor):
    model.graph.initializer.append(tensor)


def in_constant(onnx, model, tensor):
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["stolen"], value=tensor))


def in_branch(onnx, model, tensor):
    """Two branches deep."""
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["stolen"], ["out"])], "inner", [], [], [tensor]
    )
    branch = onnx.helper.make_node("If", ["yes"], ["out"], then_branch=inner, else_branch=inner)
    outer = onnx.helper.make_graph([branch], "outer", [], [])
    model.graph.node.append(
        onnx.helper.make_node("If", ["yes"], ["out"], then_branch=outer, else_branch=outer)
    )


def in_function(onnx, model, tensor):
    node = onnx.helper.make_node("Constant", [], ["stolen"], value=tensor)
    model.functions.append(onnx.helper.make_function("local", "Steal", [], ["stolen"], [node], []))


def in_sparse(onnx, model, tensor):
    indices = onnx.helper.make_tensor("at", onnx.TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(
        onnx.helper.make_sparse_tensor(tensor, indices, [len(SECRET)])
    )


def in_training(onnx, model, tensor):
    model.training_info.add().initialization.initializer.append(tensor)


PLACES = [in_initializer, in_constant, in_branch, in_function, in_sparse, in_training]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["secret", "../secret", "/etc/passwd", "*/_ORT_MEM_ADDR_/*"])
def test_no_graph_names_a_file_that_its_manifest_does_not(bundle, replace_file, place, location):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string((bundle / CORE).read_bytes())
    place(onnx, model, external(onnx, location))
    replace_file(bundle, CORE, model.SerializeToString())
    with pytest.raises(BundleError, match=r"core.fp32.onnx: got a graph with tensors in") as error:
        Separator.open(bundle, "onnxruntime:core.fp32", threads=1)
    assert repr(location) in str(error.value)


def test_the_walk_finds_what_the_graph_that_ships_names():
    shipped = Bundle.open()
    for artifact in shipped.artifacts:
        assert external_files(shipped.read(artifact.path)) == set(artifact.external)


def test_mutants_of_a_graph_end_in_an_error_or_a_list(exported):
    """Cut, or with a byte changed: the walk ends, and raises nothing but ValueError."""
    content = (exported / CORE).read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for at in rng.integers(len(content), size=60):
        for mutant in (
            content[:at],
            content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :],
        ):
            try:
                external_files(mutant)
            except ValueError:
                refused += 1
    assert refused > 30


def stealing(onnx, location):
    """A graph whose output is another file."""
    output = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.UINT8, [len(SECRET)])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["stolen"], ["out"])], "steal", [], [output],
        [external(onnx, location)],
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid("", 20)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


@pytest.mark.parametrize("absolute", [False, True])
def test_onnx_runtime_itself_finds_no_file(tmp_path, monkeypatch, absolute):
    """Behind the walk a second wall: were a path overlooked, it would lead nowhere."""
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    (tmp_path / "secret").write_bytes(SECRET)
    monkeypatch.chdir(tmp_path)
    graph = stealing(onnx, str(tmp_path / "secret") if absolute else "secret")
    if not absolute:  # so it is without
        (out,) = ort.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {})
        assert out.tobytes() == SECRET
    options = ort.SessionOptions()
    options.log_severity_level = 4
    with without_files(options), pytest.raises(Exception, match=r"External|external"):
        ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("version", "right"), [("1.23.2", False), ("1.24.0", True), ("2.0", True)])
def test_versions_that_follow_paths_are_refused(version, right):
    ort = SimpleNamespace(__version__=version)
    if right:
        expect_version(ort, "cpu")
        return
    with pytest.raises(DependencyError, match=r"got version 1.23.2, expected at least 1.24. Inst"):
        expect_version(ort, "cpu")


def test_a_graph_that_never_ends_is_ended(bundle, replace_file, monkeypatch):
    """At its start-up probe, where every engine runs first; another graph takes over."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string((bundle / CORE).read_bytes())
    for node in model.graph.node:
        for at, name in enumerate(node.output):
            if name == "presence":
                node.output[at] = "presence.before"
    make, types = onnx.helper, onnx.TensorProto
    body = make.make_graph(
        [make.make_node("Identity", ["go"], ["going"]), make.make_node("Identity", ["x"], ["y"])],
        "body",
        [make.make_tensor_value_info("i", types.INT64, []),
         make.make_tensor_value_info("go", types.BOOL, []),
         make.make_tensor_value_info("x", types.FLOAT, None)],
        [make.make_tensor_value_info("going", types.BOOL, []),
         make.make_tensor_value_info("y", types.FLOAT, None)],
    )  # fmt: skip
    model.graph.initializer.append(make.make_tensor("ever", types.BOOL, [], [True]))
    model.graph.node.append(
        make.make_node("Loop", ["", "ever", "presence.before"], ["presence"], body=body)
    )
    replace_file(bundle, CORE, model.SerializeToString())
    monkeypatch.setattr("sgn_rt.engines.onnxruntime_session.SECONDS_A_WINDOW", 2.0)
    with (
        pytest.warns(ParityWarning, match="now onnxruntime:waveform.fp32, as .*got no end, for mi"),
        Separator.open(bundle, threads=1) as separator,
    ):
        assert separator.engine.name == "onnxruntime:waveform.fp32"


@pytest.mark.parametrize("metadata", ["{", "[" * 100_000, "null", "3", '{"format": 1}'])
def test_metadata_that_is_no_configuration(bundle, replace_file, metadata):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string((bundle / CORE).read_bytes())
    for entry in model.metadata_props:
        if entry.key == CHECKPOINT_CONFIG_KEY:
            entry.value = metadata
    replace_file(bundle, CORE, model.SerializeToString())
    with pytest.raises(BundleError, match=r"core.fp32.onnx: got a graph of another model"):
        Separator.open(bundle, "onnxruntime:core.fp32", threads=1)
