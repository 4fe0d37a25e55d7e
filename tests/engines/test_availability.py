"""What is not here, told apart from what is here and broken: that is never silent."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sgn_rt.engines import factory, onnxruntime_session
from sgn_rt.engines.factory import ENGINES, candidates, open_engine
from sgn_rt.engines.onnxruntime_session import CPU, CUDA, TENSORRT, Session
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.tensorrt.device import factory as devices


def with_graphs(*names):
    """What candidates are made of: a bundle with these graphs."""
    artifacts = []
    for name in names:
        kind, precision = name.split(".")
        artifacts.append(
            SimpleNamespace(name=name, kind=Kind(kind), precision=Precision(precision))
        )

    def find(kind, precision):
        return next((a for a in artifacts if (a.kind, a.precision) == (kind, precision)), None)

    return SimpleNamespace(artifacts=tuple(artifacts), find=find)


def test_each_engine_is_tried_on_every_graph_that_serves_it():
    bundle = with_graphs("core.fp32", "waveform.fp32", "plugin.fp16", "waveform.fp16")
    assert list(candidates(ENGINES, bundle)) == [
        "tensorrt", "tensorrt:waveform.fp16", "tensorrt:waveform.fp32",
        "tensorrt-rtx", "tensorrt-rtx:waveform.fp16", "tensorrt-rtx:waveform.fp32",
        "onnxruntime-tensorrt", "onnxruntime-tensorrt:waveform.fp32",
        "onnxruntime-cuda", "onnxruntime-cuda:waveform.fp32", "onnxruntime-cuda:core.fp32",
        "onnxruntime", "onnxruntime:waveform.fp32",
        "torch",
    ]  # fmt: skip
    assert list(candidates(ENGINES, with_graphs("core.fp32"))) == list(ENGINES)


@pytest.mark.parametrize(
    ("asked_for", "first"),
    [
        ("onnxruntime", ["onnxruntime", "onnxruntime:waveform.fp32", "tensorrt"]),
        ("onnxruntime:core.fp32", ["onnxruntime:core.fp32", "tensorrt"]),
        ("torch", ["torch", "tensorrt"]),
    ],
)
def test_the_engine_asked_for_comes_first(asked_for, first):
    found = list(candidates(ENGINES, with_graphs("core.fp32", "waveform.fp32"), asked_for))
    assert [name for name in found if not name.startswith("tensorrt:")][: len(first)] == first
    assert found.count(asked_for) == 1


@pytest.mark.parametrize("error", [RuntimeError("out of luck\nmore"), MemoryError(), KeyError(3)])
def test_whatever_goes_wrong_at_the_start_another_engine_can_take_over(
    bundle_folder, monkeypatch, fails, error
):
    def explode(*arguments, **options):
        raise error

    monkeypatch.setattr(factory, "open_onnxruntime", explode)
    with fails(EngineError, f"onnxruntime: got {type(error).__name__}: ", "expected it to start"):
        open_engine("onnxruntime", Bundle.open(bundle_folder))


class Runtime:
    """An ONNX Runtime that has every provider, and loads none but the CPU's."""

    __version__ = "1.24.0"
    RunOptions = SimpleNamespace

    def get_available_providers(self):
        return [TENSORRT, CUDA, CPU]

    def SessionOptions(self):  # noqa: N802 - its name
        return SimpleNamespace(
            add_session_config_entry=lambda key, value: None,
            add_external_initializers_from_files_in_memory=lambda *files: None,
        )

    def InferenceSession(self, content, options, providers, enable_fallback):  # noqa: N802 - its name
        return SimpleNamespace(get_providers=lambda: [CPU])


@pytest.mark.parametrize(
    ("provider", "driver", "tensorrt", "silent"),
    [
        (CUDA, False, False, True),  # no GPU
        (CUDA, True, False, False),  # a GPU, and CUDA's libraries do not load
        (TENSORRT, True, False, True),  # TensorRT is not installed
        (TENSORRT, True, True, False),
        (TENSORRT, False, True, True),
    ],
)
def test_a_provider_whose_libraries_do_not_load(
    bundle_folder, monkeypatch, provider, driver, tensorrt, silent
):
    monkeypatch.setattr(onnxruntime_session, "expect_inside", lambda *graph: None)
    monkeypatch.setattr(onnxruntime_session, "expect_described", lambda *graph: None)
    monkeypatch.setattr(onnxruntime_session, "has_driver", lambda: driver)
    monkeypatch.setattr(onnxruntime_session, "is_installed", lambda flavor: tensorrt)
    bundle = Bundle.open(bundle_folder)
    artifact, _ = bundle.artifacts
    with pytest.raises(EngineError, match="libraries failed to load") as caught:
        Session(Runtime(), bundle, artifact, [(provider, {})])
    assert isinstance(caught.value, UnavailableError) is silent


@pytest.mark.parametrize("driver", [False, True])
def test_a_gpu_that_cannot_be_used(monkeypatch, driver):
    """CUDA says of no driver what it says of one that is too old."""

    def refuse(ordinal):
        raise EngineError("cudaGetDeviceCount: got cudaErrorInsufficientDriver, expected success.")

    monkeypatch.setattr(devices, "application_uses_pycuda", lambda: False)
    monkeypatch.setattr(devices, "CudaPython", refuse)
    monkeypatch.setattr(devices, "has_driver", lambda: driver)
    with pytest.raises(EngineError, match="InsufficientDriver") as caught:
        devices.open_device()
    assert isinstance(caught.value, UnavailableError) is not driver
    assert devices.find_device() is None
