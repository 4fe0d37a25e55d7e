"""The layers of an engine on the GPU: built, run and compared on a fake of GPU and TensorRT."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from sgn_rt.checks.tensorrt.world import World
from sgn_rt.errors import EngineError, ParityError
from sgn_rt.export import engine_layers as subject
from sgn_rt.export.engine_layers import check_layers
from sgn_rt.export.operators import Layer, OperatorByOperator
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import FLOATS, Kind
from sgn_rt.tensorrt.bindings import Flavor, TensorRT

from ..tensorrt.fakes import FakeDevice

NAMES = {"float16": "HALF", "float32": "FLOAT", "int64": "INT64"}


class Engine:
    """Module, runtime, engine and context in one: runs the graph it was built from on the CPU."""

    def __init__(self, device: FakeDevice) -> None:
        self.device, self.spoil = device, None
        self.ILogger = type("ILogger", (), {"Severity": SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)})

    def build(self, trt, bundle, artifact, options, plugins, progress, *, graph):
        assert (options.gpus, options.max_batch, plugins) == (("sm89",), 1, None)
        return SimpleNamespace(content=graph)

    def Runtime(self, logger):
        return self

    def deserialize_cuda_engine(self, content):
        model = onnx.load_from_string(content)
        self.outputs = [value.name for value in model.graph.output]
        self.run = OperatorByOperator(model, [Layer(name, "") for name in self.outputs])
        self.inputs, self.addresses = {}, {}
        return self

    def create_execution_context(self):
        return self

    def set_input_shape(self, name, shape):
        self.inputs[name] = np.zeros(shape, np.int64 if name == "categories" else np.float32)
        return True

    def infer_shapes(self):
        self.values = self.inputs | {
            name: np.zeros_like(value) for name, value in self.run(self.inputs).items()
        }
        return []

    @property
    def num_io_tensors(self):
        return len(self.values)

    def get_tensor_name(self, index):
        return list(self.values)[index]

    def get_tensor_shape(self, name):
        return self.values[name].shape

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=NAMES[str(self.values[name].dtype)])

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, handle):
        self.device.streams[handle].give(self.compute)
        return True

    def compute(self):
        def at(name):
            value = self.values[name]
            view = self.device.view(self.addresses[name], value.nbytes)
            return view.view(value.dtype).reshape(value.shape)

        for name, value in self.run({name: at(name).copy() for name in self.inputs}).items():
            at(name)[...] = value * np.asarray(0.9 if name == self.spoil else 1.0, value.dtype)


@pytest.fixture
def engine(monkeypatch):
    made = Engine(FakeDevice())
    monkeypatch.setattr(subject, "build_engine", made.build)
    # Graphs of standard operators, which the CPU runs.
    monkeypatch.setattr(
        subject, "choose_artifacts",
        lambda bundle, request: [bundle.find(Kind.WAVEFORM, p) for p in request.precisions],
    )  # fmt: skip
    return made


@pytest.fixture
def world(engine, small_bundle):
    trt = TensorRT(flavor=Flavor.TENSORRT, module=engine, version=(10, 13))
    return World(Bundle.open(small_bundle), trt, engine.device)


def test_a_right_engine_holds_and_nothing_is_left(world, engine):
    figures = check_layers(world.bundle, world.trt, world.device)
    assert list(figures) == [f"waveform.{precision}" for precision in FLOATS]
    assert all(" layers, " in figure for figure in figures.values())
    assert not +engine.device.live


def test_a_wrong_kernel_is_named(world, engine):
    engine.spoil = "decoder.2.conv/ConvTranspose"
    with pytest.raises(ParityError, match=r"got decoder\.2\.conv/ConvTranspose .*: 20\.0 dB"):
        check_layers(world.bundle, world.trt, world.device)


def test_a_device_that_fails_is_told(world, engine):
    engine.device.fail = {"synchronize": 1}
    with pytest.raises(EngineError, match="synchronize: got a failure"):
        check_layers(world.bundle, world.trt, world.device)
    assert not +engine.device.live
