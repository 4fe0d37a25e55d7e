"""Configurations: exactly what the graphs say, and what the real server takes and refuses."""

from __future__ import annotations

import hashlib
import json
import re
import shutil

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import InferenceServerClient, InferInput, model_config_pb2

from sgn_rt.errors import ConfigError, EngineError, PluginError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import (
    BUNDLE_SCHEMA,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    Axis,
    GraphKey,
    Kind,
    Precision,
    Tensor,
    axes_of,
    type_of,
)
from sgn_rt.model.graph_file import tensors_of
from sgn_rt.model.shapes import axis_sizes
from sgn_rt.serving.triton import configs
from sgn_rt.serving.triton.configs import Serving
from sgn_rt.serving.triton.repository import Part, write_repository
from sgn_rt.tensorrt.bindings import Flavor
from sgn_rt.tensorrt.build.engine_summary import Figure
from sgn_rt.tensorrt.engine_files import graph_digest, write_engine
from sgn_rt.tensorrt.profiles import profiles_for
from sgn_rt.tensorrt.sidecar import Sidecar, engine_name

TYPES = {"TYPE_FP32": "float32", "TYPE_FP16": "float16", "TYPE_INT64": "int64"}


def a_graph(bundle_config, kind: Kind) -> bytes:
    """A graph that only says what it takes and gives; those of the exporter are tests/export's."""
    sizes = axis_sizes(bundle_config) | {Axis.ROWS: 9, Axis.COLUMNS: 5}

    def value(name):
        dtype = np.dtype(type_of(kind, name, Precision.FP16))
        shape = [axis if isinstance(axis, int) else sizes.get(axis, str(axis))
                 for axis in axes_of(kind, name)]  # fmt: skip
        element = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        return onnx.helper.make_tensor_value_info(str(name), element, shape)

    values = ([value(name) for name in names[kind]] for names in (GRAPH_INPUTS, GRAPH_OUTPUTS))
    model = onnx.helper.make_model(onnx.helper.make_graph([], str(kind), *values))
    facts = {
        GraphKey.CONFIG: json.dumps(bundle_config.to_dict()),
        GraphKey.SCHEMA: str(BUNDLE_SCHEMA),
        GraphKey.KIND: str(kind),
        GraphKey.PRECISION: str(Precision.FP16),
    }
    onnx.helper.set_model_props(model, {str(key): text for key, text in facts.items()})
    return model.SerializeToString()


@pytest.fixture
def every_graph(bundle_folder, config, edit_manifest) -> Bundle:
    """A bundle of every kind of graph in float16."""

    def change(manifest):
        manifest["artifacts"] = []
        for kind in Kind:
            path, content = f"{kind}.fp16.onnx", a_graph(config, kind)
            (bundle_folder / path).write_bytes(content)
            manifest["files"][path] = {
                "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
            }  # fmt: skip
            manifest["artifacts"].append(
                {"path": path, "kind": kind, "precision": "fp16", "opset": 20, "external": [],
                 "parity": {}}
            )  # fmt: skip

    edit_manifest(bundle_folder, change)
    return Bundle.open(bundle_folder)


@pytest.fixture
def engines(every_graph):
    """That bundle, to which engines are added: contents are no engines, descriptions are whole."""
    bundle = every_graph

    def add(kind: Kind, gpu: str, *, batch: int = 8, **changes) -> Sidecar:
        artifact = bundle.find(kind, Precision.FP16)
        flavor = changes.pop("flavor", Flavor.TENSORRT)
        content = f"{kind} for {gpu}".encode()
        values = {
            "name": engine_name(artifact.name, flavor, (gpu,)), "flavor": flavor,
            "version": (10, 13, 3, 9), "gpus": (gpu,), "gpu_name": "Fake GPU", "kind": kind,
            "precision": Precision.FP16, "graph_sha256": graph_digest(bundle, artifact),
            "profiles": profiles_for(kind, bundle.config, batch, 3),
            "hardware_compatible": False, "version_compatible": False, "workspace_bytes": None,
            "figure": Figure(kernels=3, kinds={"gemm": 3}, casts=0, movers=0, attention=1,
                             plugins=(), norms=0, activation_bytes=(10,), weights_bytes=20),
            "plugin": None, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content),
            "generator": "sgn-rt test", "proof": None,
        } | changes  # fmt: skip
        sidecar = Sidecar(**values)
        write_engine(bundle, sidecar, content)
        return sidecar

    return bundle, add


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "libsgn_rt_plugins_register.so"
    path.write_bytes(b"a library")
    return path


def read(models, name):
    text = (models / name / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def declared(value):
    kind = value.type.tensor_type
    shape = tuple(-1 if dim.dim_param else dim.dim_value for dim in kind.shape.dim)
    return value.name, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name, shape


def test_what_is_no_graph_is_none():
    for content in (b"", b"\x0a", b"\x3a\x00\x3a\x00", b"\x3a\x02\x5a\x00"):
        with pytest.raises((ValueError, KeyError)):
            tensors_of(content)


@pytest.mark.parametrize("kind", [Kind.CORE, Kind.MASKS, Kind.WAVEFORM])
def test_a_graph_is_configured_as_it_is(every_graph, tmp_path, kind):
    write_repository(every_graph, tmp_path / "out", parts=[Part.ONNX], serving=Serving(batch=5))
    name = configs.model_name(kind, Precision.FP16, "onnx")
    config = read(tmp_path / "out" / "models", name)
    content = every_graph.read(every_graph.find(kind, Precision.FP16).path)
    assert (tmp_path / "out" / "models" / name / "1" / "model.onnx").read_bytes() == content
    graph = onnx.load_from_string(content).graph
    batched = kind != Kind.WAVEFORM
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (5 * batched, batched)
    for given, values in ((config.input, graph.input), (config.output, graph.output)):
        found = [
            (each.name, TYPES[model_config_pb2.DataType.Name(each.data_type)],
             (*((-1,) if batched else ()), *each.dims))
            for each in given
        ]  # fmt: skip
        assert found == [declared(value) for value in values]


def test_engines_of_a_graph_are_one_model_with_a_plan_for_each_gpu(engines, library, tmp_path):
    bundle, add = engines
    for gpu in ("sm89", "sm120"):
        for kind in (Kind.PLUGIN, Kind.SYNTHESIS):
            add(kind, gpu)
    add(Kind.PLUGIN, "sm86", flavor=Flavor.RTX)
    add(Kind.SYNTHESIS, "sm86", flavor=Flavor.RTX)
    names = write_repository(
        bundle, tmp_path / "out", parts=[Part.TENSORRT], plugins=library,
        serving=Serving(instances=2, delay_us=300),
    )  # fmt: skip
    assert names == ["plugin_fp16_plan", "synthesis_fp16_plan", "waveform_fp16_pair"]
    config = read(tmp_path / "out" / "models", "plugin_fp16_plan")
    assert dict(config.cc_model_filenames) == {
        "8.9": "model_sm89.plan", "12.0": "model_sm120.plan",
    }  # fmt: skip
    for gpu in ("sm89", "sm120"):
        plan = tmp_path / "out/models/plugin_fp16_plan/1" / f"model_{gpu}.plan"
        assert plan.read_bytes() == f"plugin for {gpu}".encode()
    assert config.max_batch_size == 8
    assert list(config.instance_group[0].profile) == ["0", "1"]
    assert config.instance_group[0].count == 2
    assert list(config.dynamic_batching.preferred_batch_size) == [1, 8]
    assert config.dynamic_batching.max_queue_delay_microseconds == 300
    assert [spec.batch_size for spec in config.optimization.cuda.graph_spec] == [1, 8]
    (basis,) = (each for each in config.output if each.name == Tensor.BASIS)
    synthesis = read(tmp_path / "out" / "models", "synthesis_fp16_plan")
    (taken,) = (each for each in synthesis.input if each.name == Tensor.BASIS)
    assert basis.is_non_linear_format_io
    assert list(taken.dims) == [-1, *basis.dims]
    assert taken.reshape.shape[1:] == [*basis.dims[1:], basis.dims[0]]
    readme = (tmp_path / "out" / "README.md").read_text()
    assert 'plugins="$PWD/plugins/libsgn_rt_plugins_register.so"' in readme
    assert (tmp_path / "out/plugins/libsgn_rt_plugins_register.so").read_bytes() == b"a library"


def test_engines_that_do_not_go_together_are_refused(engines, library, tmp_path, fails):
    bundle, add = engines
    add(Kind.WAVEFORM, "sm89")
    add(Kind.WAVEFORM, "sm120", batch=4)
    with fails(EngineError, "waveform.fp16", "other profiles", "sgn-rt build"):
        write_repository(bundle, tmp_path / "out", parts=[Part.TENSORRT], plugins=library)
    assert not (tmp_path / "out").exists()


def test_plugins_need_their_library(engines, tmp_path, fails):
    bundle, add = engines
    add(Kind.PLUGIN, "sm89")
    add(Kind.SYNTHESIS, "sm89")
    with fails(PluginError, "got none", "--plugin-library"):
        write_repository(bundle, tmp_path / "out", parts=[Part.TENSORRT])
    with fails(PluginError, "got no file"):
        write_repository(bundle, tmp_path / "out", plugins=tmp_path / "nothing.so")
    assert not (tmp_path / "out").exists()


def test_a_damaged_engine_is_not_written(engines, library, tmp_path, fails):
    bundle, add = engines
    sidecar = add(Kind.WAVEFORM, "sm89")
    (bundle.root / "engines" / f"{sidecar.name}.engine").write_bytes(b"waveform for smXX")
    with fails(EngineError, "SHA-256"):
        write_repository(bundle, tmp_path / "out", parts=[Part.TENSORRT], plugins=library)


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"slots": 0}, {"idle_s": 0.0}, {"delay_us": -1}, {"instances": 1 << 40}]
)
def test_numbers_that_make_no_sense(wrong, fails):
    with fails(ConfigError, str(*wrong.values())):
        Serving(**wrong)


BROKEN = {
    "unknown_field": (r"\Z", "\nno_such_field: 3\n"),
    "preferred_beyond_largest": (
        r"dynamic_batching \{\n",
        "dynamic_batching {\n  preferred_batch_size: 999\n",
    ),
    "no_size": (r"dims: \d+", "dims: 0"),
}  # fmt: skip


def test_the_real_server_parses_every_config_and_refuses_broken_ones(
    engines, library, serve, tmp_path
):
    bundle, add = engines
    for kind in (Kind.PLUGIN, Kind.SYNTHESIS, Kind.WAVEFORM):
        add(kind, "sm89")
    written = write_repository(
        bundle, tmp_path / "out", parts=[Part.ONNX, Part.TENSORRT], plugins=library
    )
    models = tmp_path / "out" / "models"
    for name, change in BROKEN.items():
        shutil.copytree(models / "core_fp16_onnx", models / name)
        text = (models / name / "config.pbtxt").read_text().replace("core_fp16_onnx", name)
        changed = re.sub(change[0], change[1], text, count=1)
        assert changed != text
        (models / name / "config.pbtxt").write_text(changed)
    server = serve(models, mode="none")
    try:
        with InferenceServerClient(server.url) as client:
            index = client.get_model_repository_index(as_json=True)["models"]
    finally:
        assert server.stop() == 0
    reasons = {each["name"]: each.get("reason", "") for each in index}
    for name in written:
        backend = "tensorrt" if name.endswith("_plan") else "onnxruntime"
        if not name.endswith("_pair"):
            assert f"unable to find backend library for backend '{backend}'" in reasons[name], name
    for name in BROKEN:
        assert "unable to find backend library" not in reasons.get(name, ""), name
        assert re.search(rf"Poll failed for model directory '{name}'", server.log), server.log


def on_python(models, name):
    """Has a model run on the Python backend, all else as it was written."""
    config = read(models, name)
    for field in ("platform", "default_model_filename", "cc_model_filenames", "optimization"):
        config.ClearField(field)
    config.backend = "python"
    for each in config.output:
        each.ClearField("is_non_linear_format_io")
    config.instance_group[0].kind = model_config_pb2.ModelInstanceGroup.KIND_CPU
    config.instance_group[0].ClearField("profile")
    (models / name / "config.pbtxt").write_text(text_format.MessageToString(config))


STAND_IN = '''
import json
from pathlib import Path
import onnxruntime
import triton_python_backend_utils as utils

class TritonPythonModel:
    """Runs a model's graph, in the place of the backend that is not here."""

    def initialize(self, arguments):
        self.outputs = [each["name"] for each in json.loads(arguments["model_config"])["output"]]
        folder = Path(arguments["model_repository"]) / arguments["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        answers = []
        for request in requests:
            given = {each.name(): each.as_numpy() for each in request.inputs()}
            made = self.session.run(self.outputs, given)
            answers.append(utils.InferenceResponse(
                [utils.Tensor(*each) for each in zip(self.outputs, made)]))
        return answers
'''


def test_a_graph_answers_through_its_configuration(small_bundle, serve, local, signal, tmp_path):
    """The server checks shapes and types of question and answer; ONNX Runtime runs the graph."""
    write_repository(small_bundle, tmp_path / "out", parts=[Part.ONNX])
    models = tmp_path / "out" / "models"
    on_python(models, "core_fp32_onnx")
    (models / "core_fp32_onnx" / "1" / "model.py").write_text(STAND_IN)
    server = serve(models, load=["core_fp32_onnx"])
    try:
        engine = local.engine
        spectrum = engine.transform.stft(signal(1016)[0])
        log_magnitude = engine.transform.log_magnitude(spectrum)[None]
        chosen = np.array([1, 0, 1])
        tensors = []
        for name, array, kind in (("log_magnitude", log_magnitude, "FP32"),
                                  ("categories", chosen, "INT64")):  # fmt: skip
            tensors.append(InferInput(name, list(array.shape), kind))
            tensors[-1].set_data_from_numpy(array)
        with InferenceServerClient(server.url) as client:
            answer = client.infer("core_fp32_onnx", tensors)
        expected = engine.masks(log_magnitude, chosen)
        np.testing.assert_array_equal(answer.as_numpy("masks"), expected.masks)
        np.testing.assert_array_equal(answer.as_numpy("presence"), expected.presence)
    finally:
        server.stop()


PAIR_STAND_IN = '''
import json
import numpy as np
import triton_python_backend_utils as utils

class TritonPythonModel:
    """Gives numbers that show what it was given."""

    def initialize(self, arguments):
        self.outputs = json.loads(arguments["model_config"])["output"]

    def execute(self, requests):
        return [self.answer({each.name(): each.as_numpy() for each in request.inputs()})
                for request in requests]

    def answer(self, given):
        batch = len(given["basis" if "basis" in given else "mixture"])
        made = []
        for output in self.outputs:
            dtype = utils.triton_string_to_numpy(output["data_type"])
            dims = [size for size in output["dims"] if size > 0]
            if output["name"] == "sources":
                shape, basis = [batch, len(given["categories"]), *dims], given["basis"]
                array = np.zeros(shape, dtype)
                array[:, :, :4] = basis.shape
                array[:, :, 4] = basis.reshape(batch, -1)[:, -1:]
            else:
                shape = [batch, *dims]
                array = np.arange(np.prod(shape)).reshape(shape) % 1000
            made.append(utils.Tensor(output["name"], array.astype(dtype)))
        return utils.InferenceResponse(made)
'''


def test_a_pair_goes_from_mixture_to_sources(engines, library, serve, signal, tmp_path):
    """Network and synthesis are stand-ins: the ensemble is seen, and what it hands on."""
    bundle, add = engines
    for kind in (Kind.PLUGIN, Kind.SYNTHESIS):
        add(kind, "sm89")
    names = write_repository(bundle, tmp_path / "out", parts=[Part.TENSORRT], plugins=library)
    models = tmp_path / "out" / "models"
    for name in names[:2]:
        on_python(models, name)
        (models / name / "1" / "model.py").write_text(PAIR_STAND_IN)
    server = serve(models, load=[names[2]])  # and with it the two
    try:
        with InferenceServerClient(server.url) as client:
            tensors = []
            for name, array, kind in (
                ("mixture", np.concatenate([signal(1016), signal(1016)]), "FP32"),
                ("categories", np.array([2, 0, 1]), "INT64"),
            ):
                tensors.append(InferInput(name, list(array.shape), kind))
                tensors[-1].set_data_from_numpy(array)
            answer = client.infer(names[2], tensors)
    finally:
        assert server.stop() == 0, server.log
    sources = answer.as_numpy("sources")
    config = bundle.config
    assert sources.shape == (2, 3, config.window_samples)
    assert answer.as_numpy("presence").shape == (2, len(config.categories))
    maps = axis_sizes(config)[Axis.CHANNELS]
    assert sources[0, 0, :4].tolist() == [2, config.frequency_bins, config.frames, maps]
    last = 2 * maps * config.frequency_bins * config.frames - 1
    assert sources[1, 0, 4] == last % 1000
