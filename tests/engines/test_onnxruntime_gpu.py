"""ONNX Runtime's providers of a GPU, on a module that records what it is told."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt._atomic import CACHE_VARIABLE
from sgn_rt.engines import onnxruntime, onnxruntime_session
from sgn_rt.engines.factory import open_engine
from sgn_rt.engines.onnxruntime_gpu import BATCH, TF32_VARIABLE
from sgn_rt.engines.onnxruntime_session import CPU, CUDA, TENSORRT
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.bundle import Bundle

SHARES = np.array([0.5, 0.3, 0.2], np.float32)
PRESENCE = np.array([0.9, 0.6, 0.1], np.float32)


class Value:
    """An ``OrtValue``; says when it comes to the host."""

    def __init__(self, runtime, name, place, array):
        self.runtime, self.name, self.place, self.array = runtime, name, place, array

    def numpy(self):
        if self.place != ("cpu",):
            self.runtime.fetched.append((self.name, self.array.shape))
        return self.array


class Binding:
    def __init__(self, runtime):
        self.runtime, self.inputs, self.outputs = runtime, {}, {}

    def bind_cpu_input(self, name, array):
        assert array.flags.c_contiguous
        self.inputs[str(name)] = array

    def bind_output(self, name, *place):
        self.outputs[str(name)] = place

    def get_outputs(self):
        return [
            Value(self.runtime, name, place, self.results[name])
            for name, place in self.outputs.items()
        ]


class Session:
    def __init__(self, runtime, content, providers):
        self.runtime, self.content = runtime, content
        loaded = [name for name, _ in providers if name not in runtime.broken]
        self.get_providers = lambda: [*loaded, *([CPU] if CPU not in loaded else [])]

    def io_binding(self):
        return Binding(self.runtime)

    def run_with_iobinding(self, binding, options):
        assert options.only_execute_path_to_fetches
        self.runtime.calls.append((binding.inputs, binding.outputs))
        binding.results = self._compute(binding.inputs)

    def run(self, outputs, inputs, options):
        self.runtime.calls.append((inputs, dict.fromkeys(outputs)))
        results = self._compute(inputs)
        return [results[name] for name in outputs]

    def _compute(self, inputs):
        if self.runtime.error is not None:
            raise self.runtime.error
        if self.content == b"masks":
            basis, guide = inputs["basis"], inputs["guide"]
            return {"masks": np.ones((len(basis), guide.shape[1], 128, 128), np.float32)}
        batch = len(inputs["mixture" if "mixture" in inputs else "log_magnitude"])
        presence = np.tile(PRESENCE, (batch, 1))
        if "mixture" not in inputs:
            basis = np.arange(batch, dtype=np.float32).reshape(batch, 1, 1, 1)
            return {"presence": presence, "basis": basis, "guide": np.zeros((batch, 3, 5), "f4")}
        shares = SHARES[inputs["categories"]]
        sources = inputs["mixture"][:, None] * shares[:, None]
        return {"presence": presence, "sources": sources}


class Runtime:
    """`onnxruntime` as onnxruntime-gpu has it; ``broken`` providers do not load."""

    __version__ = "1.31.1"
    RunOptions = staticmethod(lambda: SimpleNamespace(terminate=False))

    def __init__(self):
        self.order, self.providers, self.calls, self.fetched = [], [], [], []
        self.broken, self.error, self.fallback = set(), None, []

    def get_available_providers(self):
        return [TENSORRT, CUDA, CPU]

    def preload_dlls(self):
        print("Failed to load libcudnn.so.9")
        self.order.append("preload")

    def SessionOptions(self):  # noqa: N802 - its name
        return SimpleNamespace(
            add_session_config_entry=lambda key, value: None,
            add_external_initializers_from_files_in_memory=lambda *files: None,
        )

    def InferenceSession(self, content, options, providers, enable_fallback=1):  # noqa: N802
        self.order.append("session")
        self.fallback.append(enable_fallback)
        self.providers.append(providers)
        return Session(self, content, providers)


@pytest.fixture
def runtime(monkeypatch, tmp_path):
    made = Runtime()
    monkeypatch.setattr(onnxruntime_session, "require", lambda *name, **more: made)
    monkeypatch.setattr(onnxruntime_session, "expect_inside", lambda *graph: None)
    monkeypatch.setattr(onnxruntime_session, "expect_described", lambda *graph: None)
    monkeypatch.setattr(onnxruntime, "current_ordinal", lambda: 3)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(TF32_VARIABLE, "0")
    return made


@pytest.fixture
def bundle(bundle_folder, edit_manifest):
    """With both waveform graphs beside core and masks."""

    def add(manifest):
        for precision in ("fp16", "fp32"):
            name, content = f"waveform.{precision}.onnx", b"waveform " + precision.encode()
            (bundle_folder / name).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            manifest["files"][name] = {"sha256": digest, "bytes": len(content)}
            manifest["artifacts"].append(
                {"path": name, "kind": "waveform", "precision": precision, "opset": 20,
                 "external": ["checkpoint.safetensors"], "parity": {}}
            )  # fmt: skip

    edit_manifest(bundle_folder, add)
    return Bundle.open(bundle_folder)


def test_cuda_computes_in_float32_on_the_device_in_use(runtime, bundle):
    engine = open_engine("onnxruntime-cuda:waveform.fp32", bundle)
    open_engine("onnxruntime-cuda", bundle, device=5)
    assert runtime.providers[1][0][1]["device_id"] == "5"
    ((name, options),) = runtime.providers[0]
    assert name == CUDA
    assert options["use_tf32"] == "0"
    assert options["device_id"] == "3"
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert "GPU 3" in engine.detail
    assert engine.batch > 1
    assert engine.concurrency > 1


def test_tensorrt_knows_all_shapes_before_it_builds_and_leaves_the_rest_to_cuda(runtime, bundle):
    engine = open_engine("onnxruntime-tensorrt", bundle)
    assert engine.detail.startswith("waveform.fp16 on TensorrtExecutionProvider of GPU 3")
    (first, options), (second, behind) = runtime.providers[0]
    assert (first, second) == (TENSORRT, CUDA)
    assert options["device_id"] == behind["device_id"] == "3"
    assert behind["use_tf32"] == "0"
    assert options["trt_profile_min_shapes"] == "mixture:1x1016,categories:1"
    assert options["trt_profile_max_shapes"] == f"mixture:{BATCH}x1016,categories:3"
    assert options["trt_profile_opt_shapes"] == options["trt_profile_max_shapes"]
    assert "trt_fp16_enable" not in options  # or the graph's float32 islands are not


def test_engines_are_kept_where_nobody_else_writes_and_apart(runtime, bundle, tmp_path):
    open_engine("onnxruntime-tensorrt", bundle)
    options = dict(runtime.providers[0])[TENSORRT]
    folder = options["trt_engine_cache_path"]
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_timing_cache_path"] == folder
    assert os.path.commonpath([folder, tmp_path / "cache"]) == str(tmp_path / "cache")
    assert os.stat(folder).st_mode & 0o022 == 0
    # Names alone tell the provider's engines apart: other weights have another folder.
    content = bundle.files["checkpoint.safetensors"]
    bundle.files["checkpoint.safetensors"] = type(content)(
        path=content.path, sha256="0" * 64, size=content.size
    )
    other = onnxruntime.providers_on(TENSORRT, bundle, bundle.artifacts[-2], 3)
    assert dict(other)[TENSORRT]["trt_engine_cache_path"] != folder


def test_two_processes_do_not_write_the_same_engines_at_once(runtime, bundle, monkeypatch):
    """The provider writes where others may be reading."""
    fcntl = pytest.importorskip("fcntl")
    make, held = runtime.InferenceSession, []

    def is_held(folder):
        with open(os.path.join(folder, "lock")) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def session(content, options, providers, enable_fallback):
        folder = providers[0][1]["trt_engine_cache_path"]
        held.append((is_held(folder), folder))
        return make(content, options, providers, enable_fallback)

    monkeypatch.setattr(runtime, "InferenceSession", session)
    open_engine("onnxruntime-tensorrt", bundle)
    ((during, folder),) = held
    assert during
    assert not is_held(folder)


def test_without_a_folder_of_the_users_own_no_engine_is_read(runtime, bundle, tmp_path):
    shared = tmp_path / "cache"
    shared.mkdir()
    shared.chmod(0o777)
    open_engine("onnxruntime-tensorrt", bundle)
    options = dict(runtime.providers[0])[TENSORRT]
    assert not [name for name in options if "cache" in name]


def test_tensorrt_only_where_tf32_is_off(runtime, bundle, monkeypatch, fails):
    """The provider has no option against it; the environment has, for the whole process."""
    for value in (None, "1"):
        monkeypatch.delenv(TF32_VARIABLE, raising=False)
        if value is not None:
            monkeypatch.setenv(TF32_VARIABLE, value)
        for graph in ("", ":waveform.fp32"):
            with fails(UnavailableError, "in TF32", f"expected {TF32_VARIABLE}=0"):
                open_engine(f"onnxruntime-tensorrt{graph}", bundle)
    assert runtime.providers == []
    open_engine("onnxruntime-cuda", bundle)


def test_tensorrt_takes_no_graph_whose_shapes_it_is_not_told(runtime, bundle, fails):
    with fails(EngineError, "got core.fp32", "Choose waveform.fp32"):
        open_engine("onnxruntime-tensorrt:core.fp32", bundle)


@pytest.mark.parametrize("name", ["onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_libraries_are_loaded_before_the_session_and_in_silence(runtime, bundle, name, capfd):
    """What fails to load is printed by ONNX Runtime, where samples may be going."""
    open_engine(name, bundle)
    assert runtime.order == ["preload", "session"]
    assert capfd.readouterr().out == ""


def test_the_cpu_loads_no_libraries_of_cuda(runtime, bundle):
    open_engine("onnxruntime:waveform.fp32", bundle)
    assert runtime.order == ["session"]
    assert runtime.providers == [[(CPU, {})]]


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_no_provider_takes_anothers_place(runtime, bundle, name, monkeypatch, fails):
    open_engine(name, bundle)
    assert set(runtime.fallback) == {0}  # or ONNX Runtime replaces it, in any later call
    monkeypatch.setattr(onnxruntime_session, "has_driver", lambda: False)
    for broken in (CUDA, TENSORRT):
        runtime.broken = {broken}
        if broken in [each for each, _ in runtime.providers[0]]:
            with fails(UnavailableError, "provider: got ", "libraries failed to load"):
                open_engine(name, bundle)


@pytest.mark.parametrize(
    ("windows", "sizes"), [(1, [1]), (3, [8]), (8, [8]), (9, [8, 1]), (12, [8, 8])]
)
def test_batches_are_of_two_sizes(runtime, bundle, noise, windows, sizes):
    engine = open_engine("onnxruntime-cuda", bundle)
    mixture, chosen = noise(windows, 1016), np.array([2, 0])
    answer = engine.separate(mixture, chosen)
    np.testing.assert_array_equal(
        answer.sources, mixture[:, None] * SHARES[chosen][:, None], strict=True
    )
    np.testing.assert_array_equal(answer.presence, np.tile(PRESENCE, (windows, 1)))
    assert [len(inputs["mixture"]) for inputs, _ in runtime.calls] == sizes


def test_sources_stay_on_the_device_until_one_is_wanted(runtime, bundle, noise):
    engine = open_engine("onnxruntime-cuda", bundle)
    mixture = noise(2, 1016)
    first, second = engine.analyze(mixture)
    ((_, outputs),) = runtime.calls
    assert outputs == {"presence": ("cpu",), "sources": ("cuda", 3)}
    assert runtime.fetched == []
    got = engine.synthesize(first, np.array([1, 0]))
    np.testing.assert_array_equal(got, mixture[0] * SHARES[[1, 0], None])
    engine.synthesize(second, np.array([0]))
    assert runtime.fetched == [("sources", (BATCH, 3, 1016))]  # once
    assert len(runtime.calls) == 1


def test_presence_alone_leaves_nothing_and_what_is_late_is_made(runtime, bundle, noise):
    engine = open_engine("onnxruntime-tensorrt", bundle)
    mixture = noise(1, 1016)
    (analysis,) = engine.analyze(mixture, np.array([], np.int64))
    ((inputs, outputs),) = runtime.calls
    assert outputs == {"presence": ("cpu",)}
    assert len(inputs["categories"]) == 1  # TensorRT's engine takes no empty ones
    assert engine.synthesize(analysis, np.array([], np.int64)).shape == (0, 1016)
    got = engine.synthesize(analysis, np.array([2, 2, 1]))
    np.testing.assert_array_equal(got, mixture[0] * SHARES[[2, 2, 1], None])
    assert len(runtime.calls) == 2


def test_more_categories_than_a_call_takes_come_in_parts(runtime, bundle, noise, monkeypatch):
    monkeypatch.setattr("sgn_rt.engines.onnxruntime_gpu.MOST_SOURCES", 2)
    engine = open_engine("onnxruntime-cuda", bundle)
    mixture = noise(1, 1016)
    answer = engine.separate(mixture, np.array([0, 1, 2]))
    np.testing.assert_array_equal(answer.sources[0], mixture * SHARES[:, None])
    asked = [list(inputs["categories"]) for inputs, _ in runtime.calls]
    assert asked == [[0], [0, 1], [2]]  # presence first


def test_the_core_graph_runs_in_batches_too(runtime, bundle, noise):
    engine = open_engine("onnxruntime-cuda:core.fp32", bundle)
    assert "masks on the CPU" in engine.detail
    assert [providers[0][0] for providers in runtime.providers] == [CUDA, CPU]
    analyses = engine.analyze(noise(3, 1016))
    ((inputs, _),) = runtime.calls
    assert len(inputs["log_magnitude"]) == BATCH
    assert [float(each.state[1].basis.squeeze()) for each in analyses] == [0.0, 1.0, 2.0]


def test_what_fails_on_the_device_is_an_engine_error(runtime, bundle, noise, fails):
    engine = open_engine("onnxruntime-cuda", bundle)
    runtime.error = RuntimeError("CUDA failure 700: an illegal memory access\nmore")
    with fails(EngineError, "onnxruntime: got CUDA failure 700"):
        engine.analyze(noise(1, 1016))
    engine.close()
    with fails(EngineError, "got a call after close"):
        engine.analyze(noise(1, 1016))
