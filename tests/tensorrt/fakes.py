"""A GPU and a TensorRT in host memory, which work when a stream is waited for, and no sooner.

Every call can be made to fail, every address is looked up when it is used, and what was never
freed can be counted.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter, deque
from contextlib import contextmanager
from enum import IntEnum
from types import SimpleNamespace

import numpy as np

from sgn_rt.errors import EngineError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import GRAPH_INPUTS, GRAPH_OUTPUTS, Kind, Precision, Tensor, type_of
from sgn_rt.model.shapes import shape_of
from sgn_rt.tensorrt.plugins.kernels import SPAN, WINDOW
from sgn_rt.tensorrt.plugins.polyphase import without_kernel

from .finish import finished

SHARES = np.array([0.5, 0.3, 0.2], np.float32)
"""What the fake engine makes of a mixture: this share of it for each category."""
PRESENCE = np.array([0.9, 0.6, 0.1], np.float32)


def aligned(size: int) -> np.ndarray:
    """Bytes at an address as a device gives it out, full of what nobody has written."""
    room = np.full(size + 512, 0x7F, np.uint8)
    start = -room.ctypes.data % 256
    return room[start : start + max(size, 1)]


class _Owned:
    def __init__(self, device: FakeDevice, kind: str) -> None:
        self.device, self.kind, self.open = device, kind, True
        device.live[kind] += 1

    def close(self) -> None:
        if self.open:
            self.device.tick(f"free {self.kind}")
            self.open = False
            self.device.live[self.kind] -= 1


class _Memory(_Owned):
    def __init__(self, device: FakeDevice, size: int) -> None:
        device.tick("allocate")
        super().__init__(device, "memory")
        self._bytes = aligned(size)
        self.size, self.address = size, self._bytes.ctypes.data
        device.spans[self.address] = size

    def close(self) -> None:
        super().close()
        self.device.spans.pop(self.address, None)


class _Pinned(_Owned):
    def __init__(self, device: FakeDevice, size: int) -> None:
        device.tick("allocate pinned")
        super().__init__(device, "pinned")
        self.array = np.full(max(size, 1), 0x7F, np.uint8)


class _Event(_Owned):
    def __init__(self, device: FakeDevice, spin: bool) -> None:
        device.tick("event")
        super().__init__(device, "event")
        self.stream, self.reached, self.spins = None, True, spin

    def record(self, stream: _Stream) -> None:
        self.device.tick("record")
        self.stream, self.reached = stream, False
        stream.give(lambda: setattr(self, "reached", True))

    def synchronize(self) -> None:
        self.device.tick("wait" if not self.spins else "spin")
        while not self.reached:
            self.stream.step()


class _Stream(_Owned):
    def __init__(self, device: FakeDevice, handle: int | None = None) -> None:
        device.tick("stream")
        super().__init__(device, "stream")
        self.queue: deque = deque()
        self.capturing: list | None = None
        self.handle = 1000 + len(device.streams) if handle is None else handle
        device.streams[self.handle] = self

    def give(self, work) -> None:
        assert self.open, "a stream that is closed"
        (self.queue if self.capturing is None else self.capturing).append(work)

    def step(self) -> None:
        self.device.worked += 1
        if 0 < self.device.late <= self.device.worked:
            raise EngineError("wait: got an illegal memory access, expected success. Check it.")
        self.queue.popleft()()

    def wait(self, event: _Event) -> None:
        self.give(event.synchronize)

    def close(self) -> None:
        self.queue.clear()  # after a failure; a stream of CUDA holds on to nothing of the host's
        super().close()

    def synchronize(self) -> None:
        self.device.tick("synchronize")
        while self.queue:
            self.step()


class _Graph(_Owned):
    def __init__(self, device: FakeDevice, work: list) -> None:
        super().__init__(device, "graph")
        self.work = work

    def launch(self, stream: _Stream) -> None:
        self.device.tick("launch")
        assert self.open, "a graph that is closed"
        for each in self.work:
            stream.give(each)

    def close(self) -> None:
        self.work = []
        super().close()


class FakeDevice:
    """`sgn_rt.tensorrt.device.protocol.Device` in host memory.

    ``fail`` maps a call's name to the number of its call that fails, from 1; ``log`` has every
    call. ``late`` is the piece of work, from 1, that fails when something waits for it; whatever is
    waited for after that fails, too, as CUDA has it.
    """

    layer, name, capability = "fake 1.0", "Fake GPU", "sm89"
    can_capture = True

    def __init__(self, ordinal: int = 0) -> None:
        self.dlpack_device = (1, ordinal)
        self.late = self.worked = 0
        self.live: Counter[str] = Counter()
        self.spans: dict[int, int] = {}
        self.streams: dict[int, _Stream] = {}
        self.log: list[str] = []
        self.moved: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.engines = 0
        self.counts: Counter[str] = Counter()
        self.fail: dict[str, int] = {}
        self._here = threading.local()

    def expect_current(self, name: str) -> None:
        if not getattr(self._here, "depth", 0):
            self.wrong.append(name)
        assert not self.wrong, f"{name}: the device is not current"

    def tick(self, name: str) -> None:
        self.expect_current(name)
        self.log.append(name)
        self.counts[name] += 1
        if self.fail.get(name) == self.counts[name]:
            raise EngineError(f"{name}: got a failure, expected success. Check the test.")

    @contextmanager
    def current(self):
        self._here.depth = getattr(self._here, "depth", 0) + 1
        try:
            yield
        finally:
            self._here.depth -= 1

    def allocate(self, size):
        return _Memory(self, size)

    def allocate_pinned(self, size):
        return _Pinned(self, size)

    def stream(self):
        return _Stream(self)

    def borrow(self, stream):
        if stream == 0 and 0 not in self.streams:
            _Stream(self, 0)  # the legacy default stream
        return stream if isinstance(stream, _Stream) else self.streams[stream]

    def event(self, *, spin=False):
        return _Event(self, spin)

    def view(self, address: int, size: int) -> np.ndarray:
        """Bytes at an address, which has to be allocated; anything else is the caller's own."""
        spans = list(self.spans.items())  # other threads go on
        within = [start for start, room in spans if start <= address < start + room]
        if within:
            assert address + size <= within[0] + self.spans[within[0]], "beyond an allocation's end"
        else:
            assert address in self.foreign, "memory that is not allocated"
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    foreign: frozenset[int] = frozenset()

    def upload(self, target, source, size, stream):
        self.tick("upload")
        self.moved["up"] += size

        def copy():
            assert source.open, "staging that is freed"
            self.view(target, size)[:] = source.array[:size]

        stream.give(copy)

    def download(self, target, source, size, stream):
        self.tick("download")
        self.moved["down"] += size

        def copy():
            assert target.open, "staging that is freed"
            target.array[:size] = self.view(source, size)

        stream.give(copy)

    def copy(self, target, source, size, stream):
        self.tick("copy")
        stream.give(lambda: self.view(target, size).__setitem__(..., self.view(source, size)))

    def capture(self, stream, work):
        self.tick("capture")
        stream.capturing = []
        try:
            work()
            return _Graph(self, stream.capturing)
        finally:
            stream.capturing = None

    def free_bytes(self):
        return 1 << 30


class _Context:
    def __init__(self, trt: FakeTensorRT, engine: _Engine) -> None:
        self._trt, self._device, self._engine = trt, trt.device, engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.profile = 0
        self._thread = threading.Lock()
        # Shapes and addresses change by and by: what was made for others no longer holds.
        self._generation, self._ready = 0, -1
        self._device.live["context"] += 1

    def __del__(self) -> None:
        self._device.expect_current("a context is destroyed")
        self._device.live["context"] -= 1

    def _answer(self, call: str, good, bad):
        self._trt.counts[call] += 1
        return bad if self._trt.fail.get(call) == self._trt.counts[call] else good

    def set_optimization_profile_async(self, index, handle):
        assert handle in self._device.streams
        self._generation += 1
        self.profile = index
        self.shapes.clear()  # as TensorRT has it
        self._trt.profiles.append(index)
        return self._answer("set_optimization_profile_async", True, False)

    def set_input_shape(self, name, shape):
        self._generation += self.shapes.get(name) != tuple(shape)
        self.shapes[name] = tuple(shape)
        return self._answer("set_input_shape", True, False)

    def set_tensor_address(self, name, address):
        assert address, "a null address"
        assert name in self._engine.tensors, f"no tensor {name}"
        self._generation += self.addresses.get(name) != address
        self.addresses[name] = address
        return self._answer("set_tensor_address", True, False)

    def infer_shapes(self):
        if self._trt.fail.get("infer_shapes") == -1:
            raise RuntimeError("shape inference failed")
        missing = [name for name in self._engine.inputs if name not in self.shapes]
        return self._answer("infer_shapes", missing, ["categories"])

    def _shape(self, name):
        if name in self.shapes:
            return self.shapes[name]
        batch = self.shapes[self._engine.inputs[0]][0]
        sources = self.shapes.get("categories", (0,))[0]
        return shape_of(
            self._engine.kind, Tensor(name), self._trt.config, batch=batch, sources=sources
        )

    def get_tensor_shape(self, name):
        return self._answer("get_tensor_shape", self._shape(name), (1,))

    def execute_async_v3(self, handle):
        stream = self._device.streams[handle]
        kind = self._engine.kind
        self._device.log.append("execute")
        self._trt.executed.append((kind, self._shape(self._engine.inputs[0])[0], self.profile))
        shapes = {name: self._shape(name) for name in self._engine.tensors}
        addresses, generation = dict(self.addresses), self._generation
        if stream.capturing is None:
            self._ready = generation
        elif self._ready != generation:
            return False  # the first run after a change allocates, which no graph can

        def array(name):
            dtype = NUMPY_TYPES[self._engine.tensors[name][0]]
            size = np.dtype(dtype).itemsize * int(np.prod(shapes[name]))
            view = self._device.view(addresses[name], size)
            return view.view(dtype).reshape(shapes[name])

        captured = stream.capturing is not None

        def compute():
            assert self._thread.acquire(blocking=False), "a context used by two threads"
            assert not captured or generation == self._generation, "a graph of another shape"
            try:
                COMPUTE[kind](array, self._trt)
                self._trt.computed[kind] += shapes[self._engine.inputs[0]][0]
            finally:
                self._thread.release()

        good = self._answer("execute_async_v3", True, False)
        if good:
            stream.give(compute)
        return good


NUMPY_TYPES = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64}


def _say(array, trt) -> None:
    array("presence")[:] = np.nan if trt.poison == "presence" else PRESENCE
    array("embedding")[:] = 1.0


def _whole(array, trt) -> None:
    shares = SHARES[array("categories")]
    array("sources")[:] = array("mixture")[:, None] * shares[:, None]
    _say(array, trt)
    _spoil(array("sources"), trt)


def _network(array, trt) -> None:
    """A spectrum that is the mixture itself, and a guide that is the shares."""
    mixture = array("mixture")
    spectrum = array("spectrum")
    spectrum.reshape(len(spectrum), -1)[:, : mixture.shape[1]] = mixture
    array("guide")[:] = SHARES[:, None]
    array("basis")[:] = 1.0
    _say(array, trt)


def _synthesis(array, trt) -> None:
    sources, spectrum = array("sources"), array("spectrum")
    mixture = spectrum.reshape(len(spectrum), -1)[:, : sources.shape[-1]]
    shares = array("guide")[:, array("categories"), 0] * array("basis")[:, :1, 0, 0]
    sources[:] = mixture[:, None] * shares[..., None]
    _spoil(sources, trt)


def _spoil(sources, trt) -> None:
    if trt.poison is True:
        sources[..., 0] = np.nan


COMPUTE = {Kind.WAVEFORM: _whole, Kind.PLUGIN: _network, Kind.SYNTHESIS: _synthesis}


class HostKernels:
    """`sgn_rt.tensorrt.plugins.kernels.Kernels` on a `FakeDevice`, in its streams."""

    def __init__(self, device: FakeDevice) -> None:
        self._device = device

    def finish(
        self, *, sources, windows, categories, out, flags, shape, count, form, stream
    ) -> None:  # fmt: skip
        self._device.tick("finish")
        view, size = self._device.view, int(np.prod(shape))

        def compute():
            records = view(windows, WINDOW.itemsize * shape[0]).view(WINDOW)
            given = view(sources, 4 * size).view(np.float32).reshape(shape)
            written = view(out, form.dtype.itemsize * shape[0] * shape[1] * count)
            owners = view(categories, 8 * shape[1]).view(np.int64)
            parts, bad = finished(given, records, count, form, owners)
            written.view(form.dtype).reshape(parts.shape)[:] = parts
            view(flags, 4 * shape[0]).view(np.int32)[:] = bad

        self._device.streams[stream].give(compute)

    def load(self) -> None:
        self._device.tick("load kernels")

    def resample(
        self, *, source, spans, out, coefficients, places, shape, count, filter_, stream
    ) -> None:  # fmt: skip
        self._device.tick("resample")
        view = self._device.view

        def compute():
            assert view(places, filter_.places.nbytes).tobytes() == filter_.places.tobytes()
            given = view(source, 4 * int(np.prod(shape))).view(np.float32).reshape(shape[1:])
            made = without_kernel(filter_, given, view(spans, SPAN.itemsize).view(SPAN), count)
            view(out, made.nbytes).view(np.float32)[:] = made.ravel()

        self._device.streams[stream].give(compute)


class FakeKernels:
    """Compiled kernels: takes any content but that of another version."""

    content = b"fresh"

    def deserialize(self, content):
        if content == b"another version":
            return False
        self.content = content
        return True

    def serialize(self):
        return self.content


class Tensors:
    """What an engine says of its ``tensors``: name -> type's name, and more."""

    tensors: dict[str, tuple]

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=self.tensors[name][0])


ENGINES = {b"a network": Kind.PLUGIN, b"a synthesis": Kind.SYNTHESIS}
"""What content deserialises to; anything else is whole."""


class _Engine(Tensors):
    def __init__(self, trt: FakeTensorRT, kind: Kind) -> None:
        self._trt, self.kind = trt, kind
        self.inputs = tuple(map(str, GRAPH_INPUTS[kind]))
        names = (*GRAPH_INPUTS[kind], *GRAPH_OUTPUTS[kind])
        types = {"float32": "FLOAT", "float16": "HALF", "int64": "INT64"}
        self.tensors = {
            str(name): (
                types[type_of(kind, name, Precision.FP16)],
                "INPUT" if name in GRAPH_INPUTS[kind] else "OUTPUT",
            )
            for name in names
        } | trt.changes
        self._logger = trt.logger
        trt.device.engines += 1

    def __del__(self) -> None:
        self._trt.device.expect_current("an engine is destroyed")
        self._trt.device.engines -= 1

    def get_tensor_mode(self, name):
        return SimpleNamespace(name=self.tensors[name][1])

    def create_runtime_config(self):
        return self._trt.create_runtime_config()

    def create_execution_context(self, config=None):
        if not self._trt.gives("create_execution_context", self._logger):
            return None
        self._trt.configs.append(config)
        return _Context(self._trt, self)


class FakeTensorRT:
    """A module with what the runner uses. ``fail`` as `FakeDevice`'s, giving None or False.

    ``changes`` is what is otherwise about the tensors of engines; ``executed`` has kind, batch and
    profile of all that was given to a stream, ``computed`` windows by kind, graphs included.
    """

    def __init__(self, device: FakeDevice, config: ModelConfig) -> None:
        self.device, self.config = device, config
        self.fail: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.poison: bool | str = False
        self.changes: dict[str, tuple[str, str]] = {}
        self.executed: list[tuple[Kind, int, int]] = []
        self.computed: Counter[Kind] = Counter()
        self.profiles: list[int] = []
        self.logger = None

        class ILogger:
            class Severity(IntEnum):
                INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

            def __init__(self) -> None:
                pass

        self.ILogger = ILogger
        self.CudaGraphStrategy = SimpleNamespace(DISABLED="disabled")
        self.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
        self.configs: list[object] = []
        self.caches: list[FakeKernels] = []

    def Runtime(self, logger):
        self.logger = logger
        return self if self.gives("Runtime") else self._raise()

    def _raise(self):
        raise TypeError("pybind11::init(): factory function returned nullptr")

    def gives(self, call: str, logger=None) -> bool:
        self.counts[call] += 1
        good = self.fail.get(call) != self.counts[call]
        logger = logger or self.logger
        if not good and logger is not None:
            logger.log(self.ILogger.Severity.ERROR, f"{call} says no")
        return good

    def deserialize_cuda_engine(self, content):
        if not content or not self.gives("deserialize_cuda_engine"):
            return None
        return _Engine(self, ENGINES.get(content, Kind.WAVEFORM))

    def create_runtime_config(self):
        def create():
            self.caches.append(FakeKernels())
            return self.caches[-1]

        config = SimpleNamespace(create_runtime_cache=create)
        config.set_runtime_cache = lambda cache: setattr(config, "cache", cache)
        return config if self.gives("create_runtime_config") else None
