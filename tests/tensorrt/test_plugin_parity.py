"""The comparison of the plugins with SciPy and PyTorch, on a fake of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.checks.tensorrt import plugin_parity as plugin_probe
from sgn_rt.checks.tensorrt.plugin_parity import compare_probe
from sgn_rt.errors import EngineError
from sgn_rt.model.contract import FLOATS, Precision
from sgn_rt.model.transform import Transform
from sgn_rt.tensorrt.bindings import Flavor, TensorRT

from .fakes import Tensors


class Plugins(Tensors):
    """Runtime, engine and context in one; ``noise`` is for outputs, ``fail`` names a call."""

    def __init__(self, device, config, dtype, noise=None, fail=None):
        self.device, self.transform, self.dtype = device, Transform(config), dtype
        self.noise, self.fail, self.addresses = noise or {}, fail, {}
        self.ILogger = type("ILogger", (), {"Severity": SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)})

    def Runtime(self, logger):
        return self

    def get_plugin_registry(self):
        return SimpleNamespace(get_creator=lambda *names: "creator")

    def deserialize_cuda_engine(self, content):
        return None if self.fail == "deserialize" else self

    def create_execution_context(self):
        return None if self.fail == "context" else self

    def infer_shapes(self):
        return ["masks"] if self.fail == "infer" else []

    @property
    def tensors(self):
        c = self.transform.config
        plane = (1, 1, c.frequency_bins, c.frames)
        half = "HALF" if self.dtype == np.float16 else "FLOAT"
        return {
            "mixture": ("FLOAT", (1, c.window_samples)),
            "masks": (half, plane),
            "spectrum": ("FLOAT", (1, c.frames, c.bins, 2)),
            "log_magnitude": (half, plane),
            "sources": ("FLOAT", (1, 1, c.window_samples)),
        }

    def get_tensor_shape(self, name):
        return self.tensors[name][1]

    def set_input_shape(self, name, shape):
        assert shape == self.tensors[name][1]
        return self.fail != "shape"

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return self.fail != "address"

    def execute_async_v3(self, handle):
        self.device.streams[handle].give(self.compute)
        return self.fail != "execute"

    def array(self, name, dtype, shape):
        size = np.dtype(dtype).itemsize * int(np.prod(shape))
        return self.device.view(self.addresses[name], size).view(dtype).reshape(shape)

    def compute(self):
        t, c = self.transform, self.transform.config
        plane = (c.frequency_bins, c.frames)
        spectrum = t.stft(self.array("mixture", np.float32, (c.window_samples,)).copy())
        masks = self.array("masks", self.dtype, plane).astype(np.float32)
        answers = {
            "spectrum": (np.float32, spectrum.T.copy().view(np.float32).reshape(c.frames, -1, 2)),
            "log_magnitude": (self.dtype, t.log_magnitude(spectrum)[0]),
            "sources": (np.float32, t.synthesize(spectrum, masks)),
        }
        for name, (dtype, answer) in answers.items():
            noise = self.noise.get(name, 0.0) * np.random.default_rng(0).standard_normal(
                answer.shape
            )
            self.array(name, dtype, answer.shape)[...] = answer + noise * np.abs(answer).max()


@pytest.fixture
def compare(device, config, monkeypatch):
    def run(precision, **changes):
        dtype = np.float16 if precision == Precision.FP16 else np.float32
        module = Plugins(device, config, dtype, **changes)
        trt = TensorRT(flavor=Flavor.TENSORRT, module=module, version=(10, 13))
        monkeypatch.setattr(plugin_probe, "build_probe", lambda *arguments: b"engine")
        mixture = np.random.default_rng(2).standard_normal((1, config.window_samples))
        return compare_probe(
            trt, device, config, precision, Path("library"), mixture.astype(np.float32)
        )

    return run


@pytest.mark.parametrize("precision", FLOATS)
def test_right_plugins_hold_and_nothing_is_left(compare, precision, nothing_left):
    ratios = compare(precision)
    assert ratios["spectrum_db"] > 150.0
    assert ratios["sources_db"] > 150.0
    assert ratios["log_magnitude_db"] > (60.0 if precision == Precision.FP16 else 100.0)
    pytest.importorskip("torch")
    assert ratios["spectrum_against_torch_db"] > 115.0
    assert nothing_left() == {}


@pytest.mark.parametrize("output", ["spectrum", "log_magnitude", "sources"])
@pytest.mark.parametrize("precision", FLOATS)
def test_each_wrong_output_is_seen(compare, precision, output):
    with pytest.raises(EngineError, match=f"plugins in {precision}: got .*'{output}"):
        compare(precision, noise={output: 1e-2})


@pytest.mark.parametrize("call", ["deserialize", "context", "shape", "infer", "address", "execute"])
def test_every_none_and_false_is_an_error(compare, call, nothing_left):
    with pytest.raises(EngineError, match="engine run once: got "):
        compare(Precision.FP32, fail=call)
    assert nothing_left() == {}
