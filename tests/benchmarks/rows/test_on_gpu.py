"""Competitors of a GPU, on stand-ins: none has run on a GPU.

PyTorch's compute in half precision on the CPU; providers and TensorRT are ONNX Runtime's CPU under
other names.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.benchmarks.rows import onnxruntime_gpu, tensorrt_stft
from sgn_rt.benchmarks.rows.competitors import COMPETITORS
from sgn_rt.benchmarks.rows.cuda import (
    TORCH_TENSORRT_COMMAND,
    CompiledOnCuda,
    HalfOnCuda,
    InTorchTensorRt,
)
from sgn_rt.benchmarks.rows.opening import TORCH_COMMAND, Opening
from sgn_rt.benchmarks.rows.standard_transforms import CATEGORIES
from sgn_rt.benchmarks.rows.subjects import gather, prove
from sgn_rt.benchmarks.rows.whole_graph import whole_graph
from sgn_rt.engines.onnxruntime_session import CUDA, TENSORRT
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.tensorrt.bindings import Flavor, is_installed

torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")
TORCH_ROWS = ("torch-cuda-half", "torch-cuda-compile", "torch-tensorrt")


def opening(name: str, bundle, folder: Path, device: str = "cpu") -> Opening:
    return Opening(name=name, bundle=bundle, threads=1, folder=folder, device=device)


def proved(engine, bundle):
    subject = prove(engine.name, engine, bundle)
    assert subject.failure is None
    return subject


@pytest.mark.parametrize("name", TORCH_ROWS)
def test_pytorch_without_cuda_names_the_command(name, small, graphs, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    (subject,) = gather([name], small, 1, graphs)
    assert subject.absent
    assert subject.command == TORCH_COMMAND
    assert "built without it, expected one for CUDA" in subject.failure


@pytest.mark.parametrize("name", TORCH_ROWS)
def test_where_there_is_no_gpu_nothing_is_to_be_installed(name, small, graphs, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (subject,) = gather([name], small, 1, graphs)
    assert subject.absent
    assert subject.command is None
    assert "expected a GPU that it can use" in subject.failure


@pytest.mark.parametrize(
    "name", ["onnxruntime-cuda-plain", "onnxruntime-tensorrt-plain", "tensorrt-onnx-stft"]
)
def test_what_is_not_installed_is_named_with_the_command(name, small, graphs):
    needs = {CUDA, TENSORRT} & set(ort.get_available_providers())
    if needs or is_installed(Flavor.TENSORRT):
        pytest.skip("it is installed")
    (subject,) = gather([name], small, 1, graphs)
    assert subject.absent
    assert "pip install" in subject.command
    assert subject.row.precision == COMPETITORS[name].precision


@pytest.mark.parametrize("kind", [HalfOnCuda, CompiledOnCuda])
def test_half_precision_holds_its_limits(kind, small, graphs, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    subject = proved(kind(opening("torch-cuda-half", small, graphs)), small)
    assert subject.row.precision == "fp16"
    assert "float16" in subject.row.detail
    # Rounded it is: else nothing was computed in half precision.
    assert subject.row.accuracy["whole"]["figure"] < 90


def test_torch_tensorrt_is_given_one_window_in_half_precision(small, graphs, monkeypatch):
    asked = {}

    def compiled(module, **options):
        asked.update(options)
        (example,) = options["arg_inputs"]

        def run(x):
            assert x.shape == example.shape
            assert x.dtype == example.dtype
            return module(x)

        return run

    fake = SimpleNamespace(compile=compiled, __version__="2.9")
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake)
    engine = InTorchTensorRt(opening("torch-tensorrt", small, graphs))
    proved(engine, small)
    assert asked["enabled_precisions"] == {torch.half}
    both = np.resize(small.probe.mixture, (2, small.config.window_samples))
    assert engine.separate(both, np.array([1])).sources.shape[:2] == (2, 1)


def test_torch_tensorrt_that_is_not_installed_is_named(small, graphs, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(UnavailableError, match="torch_tensorrt") as caught:
        InTorchTensorRt(opening("torch-tensorrt", small, graphs))
    assert caught.value.command == TORCH_TENSORRT_COMMAND


class _Session:
    """ONNX Runtime on the CPU, which says that it is what was asked for."""

    asked: object = None
    running: object = None

    def __init__(self, path, options, providers):
        type(self).asked = providers
        self._session = _RIGHT(path, options, providers=["CPUExecutionProvider"])

    def get_providers(self):
        return self.running or [name for name, _ in self.asked]

    def run(self, *arguments):
        return self._session.run(*arguments)


_RIGHT = ort.InferenceSession


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_a_provider_is_asked_for_by_its_gpu(provider, small, graphs, monkeypatch):
    monkeypatch.setattr(onnxruntime_gpu, "load_onnxruntime", lambda provider: ort)
    monkeypatch.setattr(ort, "InferenceSession", _Session)
    monkeypatch.setattr(_Session, "running", None)
    engine = onnxruntime_gpu.OnGpu(opening("plain", small, graphs, "cpu"), provider)
    proved(engine, small)
    (name, options), *rest = _Session.asked
    assert name == provider
    assert options["device_id"] == "0"
    assert ("trt_fp16_enable" in options) == (provider == TENSORRT)
    assert [name for name, _ in rest] == ([CUDA] if provider == TENSORRT else [])


def test_a_provider_that_does_not_load_is_not_timed_as_another(small, graphs, monkeypatch):
    monkeypatch.setattr(onnxruntime_gpu, "load_onnxruntime", lambda provider: ort)
    monkeypatch.setattr(ort, "InferenceSession", _Session)
    monkeypatch.setattr(_Session, "running", ["CPUExecutionProvider"])
    with pytest.raises(UnavailableError, match="got only CPUExecutionProvider"):
        onnxruntime_gpu.OnGpu(opening("plain", small, graphs), CUDA)


class _Runner:
    """Polygraphy's runner, by ONNX Runtime on the CPU."""

    fails = False

    def __init__(self, graph):
        self._graph = graph
        self.active = False

    def activate(self):
        if self.fails:
            raise RuntimeError("no engine")
        self._session = _RIGHT(self._graph, providers=["CPUExecutionProvider"])
        self.active = True

    def infer(self, feed):
        outputs = [each.name for each in self._session.get_outputs()]
        return dict(zip(outputs, self._session.run(outputs, feed), strict=True))

    def deactivate(self):
        self.active = False


@pytest.fixture
def polygraphy(monkeypatch):
    """A GPU, TensorRT and Polygraphy as far as the row asks of them; gives what it asks."""
    asked = {}

    class Profile:
        def add(self, name, **shapes):
            asked[name] = shapes
            return self

    fake = SimpleNamespace(
        Profile=Profile,
        CreateConfig=lambda **options: asked.update(options),
        NetworkFromOnnxBytes=lambda content: content,
        EngineFromNetwork=lambda graph, config: graph,
        TrtRunner=_Runner,
    )
    device = SimpleNamespace(current=nullcontext)
    monkeypatch.setattr(
        tensorrt_stft, "load", lambda flavor: SimpleNamespace(version=(10, 13), flavor=flavor)
    )
    monkeypatch.setattr(tensorrt_stft, "open_device", lambda ordinal: device)
    monkeypatch.setattr(Opening, "require", _require(Opening.require, fake))
    return asked


def _require(right, fake):
    def require(self, module, extra):
        return fake if module == "polygraphy.backend.trt" else right(self, module, extra)

    return require


def test_tensorrt_is_given_standard_operators_in_float32(small, graphs, polygraphy):
    engine = tensorrt_stft.InTensorRt(opening("tensorrt-onnx-stft", small, graphs, "cuda:0"))
    proved(engine, small)
    assert polygraphy[CATEGORIES] == {"min": (1,), "opt": (3,), "max": (3,)}
    assert polygraphy["tf32"] is False
    assert "tensorrt 10.13" in engine.detail
    engine.close()
    assert not engine._runner.active


def test_an_engine_that_is_not_built_is_a_failure(small, graphs, polygraphy, monkeypatch):
    monkeypatch.setattr(_Runner, "fails", True)
    with pytest.raises(EngineError, match="got no engine, expected TensorRT to build"):
        tensorrt_stft.InTensorRt(opening("tensorrt-onnx-stft", small, graphs, "cuda:0"))


def test_tensorrts_own_parser_reads_the_graph(small, graphs):
    """TensorRT for RTX has the same parser, and needs no GPU to parse."""
    trt = pytest.importorskip("tensorrt_rtx")
    content = whole_graph(opening("tensorrt-onnx-stft", small, graphs), "STFT", "ConvTranspose")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    read = parser.parse(content)
    assert read, [parser.get_error(i).desc() for i in range(parser.num_errors)]
    assert network.get_output(0).name == "sources"
