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
    def __init__(self, device: FakeDevice) -> None:
        device.tick("event")
        super().__init__(device, "event")
        self.stream, self.reached = None, True

    def record(self, stream: _Stream) -> None:
        self.device.tick("record")
        self.stream, self.reached = stream, False
        stream.give(lambda: setattr(self, "reached", True))

    def synchronize(self) -> None:
        self.device.tick("wait")
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
        self.queue.popleft()()

    def wait(self, event: _Event) -> None:
        self.give(event.synchronize)

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


class FakeDevice:
    """`sgn_rt.tensorrt.device.protocol.Device` in host memory.

    ``fail`` maps a call's name to the number of its call that fails, from 1; ``log`` has every
    call.
    """

    layer, name, capability = "fake 1.0", "Fake GPU", "sm89"
    dlpack_device = (1, 0)
    can_capture = True

    def __init__(self) -> None:
        self.live: Counter[str] = Counter()
        self.spans: dict[int, int] = {}
        self.streams: dict[int, _Stream] = {}
        self.log: list[str] = []
        self.counts: Counter[str] = Counter()
        self.fail: dict[str, int] = {}
        self._here = threading.local()

    def tick(self, name: str) -> None:
        assert getattr(self._here, "depth", 0) > 0, f"{name}: the device is not current"
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

    def event(self):
        return _Event(self)

    def view(self, address: int, size: int) -> np.ndarray:
        """Bytes at an address, which has to be allocated; anything else is the caller's own."""
        if address in self.spans:
            assert size <= self.spans[address], "beyond the end of an allocation"
        else:
            assert address in self.foreign, "memory that is not allocated"
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    foreign: frozenset[int] = frozenset()

    def upload(self, target, source, size, stream):
        self.tick("upload")

        def copy():
            assert source.open, "staging that is freed"
            self.view(target, size)[:] = source.array[:size]

        stream.give(copy)

    def download(self, target, source, size, stream):
        self.tick("download")

        def copy():
            assert target.open, "staging that is freed"
            target.array[:size] = self.view(source, size)

        stream.give(copy)

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
    def __init__(self, trt: FakeTensorRT, device: FakeDevice, config: ModelConfig) -> None:
        self._trt, self._device, self._config = trt, device, config
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self._thread = threading.Lock()
        # Shapes and addresses change by and by: what was made for others no longer holds.
        self._generation, self._ready = 0, -1
        device.live["context"] += 1

    def __del__(self) -> None:
        self._device.live["context"] -= 1

    def _answer(self, call: str, good, bad):
        self._trt.counts[call] += 1
        return bad if self._trt.fail.get(call) == self._trt.counts[call] else good

    def set_input_shape(self, name, shape):
        self._generation += self.shapes.get(name) != tuple(shape)
        self.shapes[name] = tuple(shape)
        return self._answer("set_input_shape", True, False)

    def set_tensor_address(self, name, address):
        assert address, "a null address"
        self._generation += self.addresses.get(name) != address
        self.addresses[name] = address
        return self._answer("set_tensor_address", True, False)

    def infer_shapes(self):
        if self._trt.fail.get("infer_shapes") == -1:
            raise RuntimeError("shape inference failed")
        return self._answer("infer_shapes", [], ["categories"])

    def get_tensor_shape(self, name):
        batch, sources = self.shapes["mixture"][0], self.shapes["categories"][0]
        config = self._config
        shapes = {
            "sources": (batch, sources, config.window_samples),
            "presence": (batch, len(config.categories)),
            "embedding": (batch, len(config.categories), config.embedding_dim),
        }
        return self._answer("get_tensor_shape", shapes[name], (1,))

    def execute_async_v3(self, handle):
        stream = self._device.streams[handle]
        self._device.log.append("execute")
        batch, sources = self.shapes["mixture"][0], self.shapes["categories"][0]
        shapes = self.shapes | {
            name: self.get_tensor_shape(name) for name in ("sources", "presence", "embedding")
        }
        addresses, generation = dict(self.addresses), self._generation
        if stream.capturing is None:
            self._ready = generation
        elif self._ready != generation:
            return False  # the first run after a change allocates, which no graph can

        def array(name):
            dtype = np.dtype(np.int64 if name == "categories" else np.float32)
            size = dtype.itemsize * int(np.prod(shapes[name]))
            view = self._device.view(addresses[name], size)
            return view.view(dtype).reshape(shapes[name])

        captured = stream.capturing is not None

        def compute():
            assert self._thread.acquire(blocking=False), "a context used by two threads"
            assert not captured or generation == self._generation, "a graph of another shape"
            try:
                chosen = array("categories")
                array("sources")[:] = array("mixture")[:, None] * SHARES[chosen][:, None]
                array("presence")[:] = PRESENCE
                array("embedding")[:] = 1.0
                if self._trt.poison:
                    array("sources")[..., 0] = np.nan
            finally:
                self._thread.release()

        del batch, sources
        good = self._answer("execute_async_v3", True, False)
        if good:
            stream.give(compute)
        return good


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


class FakeTensorRT(Tensors):
    """A module with what the runner uses. ``fail`` as `FakeDevice`'s, giving None or False."""

    def __init__(self, device: FakeDevice, config: ModelConfig) -> None:
        self.device, self.config = device, config
        self.fail: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.poison = False
        self.tensors = {
            "mixture": ("FLOAT", "INPUT"),
            "categories": ("INT64", "INPUT"),
            "sources": ("FLOAT", "OUTPUT"),
            "presence": ("FLOAT", "OUTPUT"),
            "embedding": ("FLOAT", "OUTPUT"),
        }
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
        return self if self._gives("Runtime") else self._raise()

    def _raise(self):
        raise TypeError("pybind11::init(): factory function returned nullptr")

    def _gives(self, call: str) -> bool:
        self.counts[call] += 1
        good = self.fail.get(call) != self.counts[call]
        if not good and self.logger is not None:
            self.logger.log(self.ILogger.Severity.ERROR, f"{call} says no")
        return good

    def deserialize_cuda_engine(self, content):
        return self if content and self._gives("deserialize_cuda_engine") else None

    def get_tensor_mode(self, name):
        return SimpleNamespace(name=self.tensors[name][1])

    def create_runtime_config(self):
        def create():
            self.caches.append(FakeKernels())
            return self.caches[-1]

        config = SimpleNamespace(create_runtime_cache=create)
        config.set_runtime_cache = lambda cache: setattr(config, "cache", cache)
        return config if self._gives("create_runtime_config") else None

    def create_execution_context(self, config=None):
        if not self._gives("create_execution_context"):
            return None
        self.configs.append(config)
        return _Context(self, self.device, self.config)
