"""The layer on cuda-python: a runtime that counts, and the names and signatures of the real one."""

from __future__ import annotations

import ctypes
import inspect
import re
from collections import Counter
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.errors import DependencyError, EngineError, UnavailableError
from sgn_rt.tensorrt.device import cuda_python, factory
from sgn_rt.tensorrt.device.cuda_python import CudaPython, count_devices
from sgn_rt.tensorrt.device.factory import find_device, look_for_device
from sgn_rt.tensorrt.device.protocol import stream_handle

SOURCE = Path(cuda_python.__file__).read_text()


class Status(IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35


class Runtime:
    """`cuda.bindings.runtime` in host memory; ``fail`` names the function that fails next."""

    cudaError_t = Status
    cudaMemcpyKind = SimpleNamespace(
        cudaMemcpyHostToDevice="up",
        cudaMemcpyDeviceToHost="down",
        cudaMemcpyDeviceToDevice="across",
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread")
    cudaHostAllocPortable, cudaEventDisableTiming, cudaEventBlockingSync = 1, 2, 1
    cudaStreamNonBlocking = 1
    version = "13.0"

    def __init__(self):
        self.calls, self.live, self.fail = [], Counter(), None
        self.status, self.driver = Status.cudaErrorMemoryAllocation, 0
        self.device = 0
        self._blocks = {}

    def __getattr__(self, name):
        if not name.startswith("cuda"):
            raise AttributeError(name)

        def call(*arguments):
            self.calls.append((name, *arguments))
            if name == self.fail:
                self.fail = None
                return self.status, None
            work = getattr(self, f"_{name}", None)
            result = None if work is None else work(*arguments)
            return (Status.cudaSuccess,) if result is None else (Status.cudaSuccess, *result)

        return call

    def _cudaGetErrorString(self, status):
        return (b"out of memory",)

    def _cudaGetDeviceCount(self):
        return (2,)

    def _cudaDriverGetVersion(self):
        return (self.driver,)

    def _cudaGetDevice(self):
        return (self.device,)

    def _cudaSetDevice(self, ordinal):
        self.device = ordinal

    def _cudaGetDeviceProperties(self, ordinal):
        return (SimpleNamespace(name=b"Card\0\0", major=8, minor=9),)

    def _cudaMalloc(self, size):
        block = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(block)
        self._blocks[address] = block
        self.live["memory"] += 1
        return (address,)

    def _cudaHostAlloc(self, size, flags):
        return self._cudaMalloc(size)

    def _cudaFree(self, address):
        del self._blocks[address]
        self.live["memory"] -= 1

    _cudaFreeHost = _cudaFree

    def _made(kind):
        def make(self, *arguments):
            self.live[kind] += 1
            return (100 + len(self.calls),)

        return make

    def _gone(kind):
        def end(self, *arguments):
            self.live[kind] -= 1

        return end

    _cudaStreamCreateWithFlags, _cudaStreamDestroy = _made("stream"), _gone("stream")
    _cudaEventCreateWithFlags, _cudaEventDestroy = _made("event"), _gone("event")
    _cudaStreamEndCapture, _cudaGraphDestroy = _made("graph"), _gone("graph")
    _cudaGraphInstantiate, _cudaGraphExecDestroy = _made("executable"), _gone("executable")

    def _cudaMemcpyAsync(self, target, source, size, kind, stream):
        ctypes.memmove(target, source, size)

    def _cudaMemGetInfo(self):
        return (5, 9)


@pytest.fixture
def runtime(monkeypatch):
    made = Runtime()
    package = SimpleNamespace(__version__=made.version)
    modules = {"cuda.bindings.runtime": made, "cuda.bindings": package}
    made.package = package
    monkeypatch.setattr(cuda_python, "require", lambda name, **more: modules[name])
    return made


@pytest.fixture
def device(runtime):
    return CudaPython()


def test_describes_itself(device):
    assert (device.name, device.capability, device.layer) == ("Card", "sm89", "cuda-python 13.0")
    assert device.dlpack_device == (2, 0)
    assert device.free_bytes() == 5


def test_there_and_back(device, runtime):
    stream = device.stream()
    memory, source = device.allocate(64), device.allocate_pinned(64)
    target = device.allocate_pinned(64)
    source.array[:] = np.arange(64)
    device.upload(memory.address, source, 64, stream)
    device.download(target, memory.address, 32, stream)
    np.testing.assert_array_equal(target.array[:32], np.arange(32))
    assert not target.array[32:].any()
    for owned in (stream, memory, source, target):
        owned.close()
        owned.close()
    assert not +runtime.live


def test_the_applications_stream_is_not_destroyed(device, runtime):
    device.borrow(77).close()
    assert not any(call[0] == "cudaStreamDestroy" for call in runtime.calls)


def test_another_current_device_is_restored(runtime):
    device = CudaPython(1)
    with device.current():
        assert runtime.device == 1
    assert runtime.device == 0
    with pytest.raises(ValueError, match="inside"), device.current():
        raise ValueError("inside")
    assert runtime.device == 0


def test_capture_gives_a_graph_and_keeps_nothing_else(device, runtime):
    stream, event = device.stream(), device.event()
    graph = device.capture(stream, lambda: event.record(stream))
    assert ("cudaStreamBeginCapture", stream.handle, "thread") in runtime.calls
    graph.launch(stream)
    assert (runtime.live["graph"], runtime.live["executable"]) == (0, 1)
    for owned in (graph, stream, event):
        owned.close()
        owned.close()
    assert not +runtime.live


@pytest.mark.parametrize("at", ["work", "cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_a_capture_that_fails_ends_and_keeps_nothing(at, device, runtime):
    stream = device.stream()
    runtime.fail = at

    def work():
        if at == "work":
            raise EngineError("no execution")

    with pytest.raises(EngineError, match="no execution" if at == "work" else at):
        device.capture(stream, work)
    assert sum(call[0] == "cudaStreamEndCapture" for call in runtime.calls) == 1
    # Or the next call's check would find this one's error.
    after = [call[0] for call in runtime.calls]
    assert "cudaGetLastError" in after[after.index("cudaStreamEndCapture") :]
    stream.close()
    assert not +runtime.live


@pytest.mark.parametrize(
    ("function", "use"),
    [
        ("cudaMalloc", lambda d: d.allocate(1)),
        ("cudaHostAlloc", lambda d: d.allocate_pinned(1)),
        ("cudaStreamCreateWithFlags", lambda d: d.stream()),
        ("cudaEventCreateWithFlags", lambda d: d.event()),
        ("cudaEventRecord", lambda d: d.event().record(d.borrow(1))),
        ("cudaEventSynchronize", lambda d: d.event().synchronize()),
        ("cudaStreamSynchronize", lambda d: d.stream().synchronize()),
        ("cudaStreamWaitEvent", lambda d: d.stream().wait(d.event())),
        ("cudaMemcpyAsync", lambda d: d.upload(1, d.allocate_pinned(1), 1, d.stream())),
        ("cudaMemcpyAsync", lambda d: d.download(d.allocate_pinned(1), 1, 1, d.stream())),
        ("cudaMemcpyAsync", lambda d: d.copy(1, 2, 1, d.stream())),
        ("cudaGraphLaunch", lambda d: d.capture(d.stream(), int).launch(d.stream())),
        ("cudaMemGetInfo", lambda d: d.free_bytes()),
        ("cudaGetDeviceCount", lambda d: CudaPython()),
    ],
)
def test_every_failing_call_is_an_error_that_names_it(function, use, device, runtime):
    runtime.fail = function
    with pytest.raises(EngineError, match=rf"{function}: got cudaErrorMemoryAllocation \(out of"):
        use(device)
    assert runtime.calls[-1][0] == "cudaGetLastError"


def test_a_copy_on_the_device_is_in_the_order_of_its_stream(device, runtime):
    stream, target, source = device.stream(), device.allocate(8), device.allocate(8)
    device.copy(target.address, source.address, 3, stream)
    assert runtime.calls[-1] == (
        "cudaMemcpyAsync", target.address, source.address, 3, "across", stream.handle
    )  # fmt: skip


@pytest.mark.parametrize(("spin", "flags"), [(False, 2 | 1), (True, 2)])
def test_who_waits_for_an_event_sleeps_unless_told_to_spin(device, runtime, spin, flags):
    device.event(spin=spin)
    assert runtime.calls[-1] == ("cudaEventCreateWithFlags", flags)


@pytest.mark.parametrize(
    ("driver", "advice"),
    [
        (0, "There is no driver: install NVIDIA's, or let the container have the GPU"),
        (
            12080,
            "The driver is for CUDA 12.8, cuda-python for 13.0: update the driver, or take "
            'packages for CUDA 12: pip install "tensorrt-cu12>=',
        ),
    ],
)
def test_a_driver_that_is_too_old_is_told_from_none(runtime, driver, advice):
    """CUDA has one status for both."""
    for look in (CudaPython, count_devices):
        runtime.fail, runtime.status = "cudaGetDeviceCount", Status.cudaErrorInsufficientDriver
        runtime.driver = driver
        with pytest.raises(EngineError, match=re.escape(advice)):
            look()


@pytest.mark.parametrize(("version", "good"), [("12.8.0", False), ("12.9.1", True), ("13.0", True)])
def test_a_cuda_python_that_stops_all_threads_is_refused(runtime, fails, version, good):
    runtime.package.__version__ = version
    if good:
        assert CudaPython().layer == f"cuda-python {version}"
        return
    with fails(DependencyError, f"got version {version}, expected at least 12.9.1", "pip install"):
        CudaPython()


def test_the_gpus_are_counted_and_one_that_there_is_not_is_told(runtime, fails):
    assert count_devices() == 2
    assert CudaPython(1).dlpack_device == (2, 1)
    with fails(UnavailableError, "GPU: got number 2, expected one from 0 to 1"):
        CudaPython(2)


def test_why_there_is_no_device_is_not_kept_back(runtime, monkeypatch, caplog):
    monkeypatch.setattr(factory, "has_driver", lambda: True)
    runtime.fail, runtime.status = "cudaGetDeviceCount", Status.cudaErrorInsufficientDriver
    reason = look_for_device()
    assert "cudaErrorInsufficientDriver" in reason
    assert "There is no driver" in reason
    runtime.fail = "cudaGetDeviceCount"
    with caplog.at_level("INFO", "sgn_rt"):
        assert find_device() is None
    assert "no GPU: cudaGetDeviceCount: got cudaErrorInsufficientDriver" in caplog.text
    assert isinstance(look_for_device(1), CudaPython)


def test_no_gpu_is_an_error(runtime):
    runtime._cudaGetDeviceCount = lambda: (0,)
    with pytest.raises(EngineError, match="GPU: got none"):
        CudaPython()


def used_names() -> set[str]:
    return set(re.findall(r"\bcuda[A-Z]\w+", SOURCE)) - {"cudaStream_t"}


def test_every_name_is_in_the_installed_bindings():
    real = pytest.importorskip("cuda.bindings.runtime")
    members = vars(real.cudaMemcpyKind) | vars(real.cudaStreamCaptureMode) | vars(real.cudaError_t)
    names = used_names()
    assert len(names) > 25
    assert [name for name in sorted(names) if not (hasattr(real, name) or name in members)] == []


def test_every_call_has_as_many_arguments_as_the_bindings_take(device, runtime):
    real = pytest.importorskip("cuda.bindings.runtime")
    stream, event = device.stream(), device.event()
    memory, pinned = device.allocate(8), device.allocate_pinned(8)
    device.upload(memory.address, pinned, 8, stream)
    stream.wait(event)
    event.synchronize()
    stream.synchronize()
    graph = device.capture(stream, lambda: event.record(stream))
    graph.launch(stream)
    device.free_bytes()
    with CudaPython(1).current():
        pass
    for owned in (graph, memory, pinned, event, stream):
        owned.close()
    names = {call[0] for call in runtime.calls}
    functions = {name for name in used_names() if callable(getattr(real, name, None))}
    classes = {name for name in functions if inspect.isclass(getattr(real, name))}
    asked_of_errors = {"cudaGetErrorString", "cudaGetLastError", "cudaDriverGetVersion"}
    assert functions - classes - names == asked_of_errors
    for name, *arguments in runtime.calls:
        # The first line of a binding's documentation is its signature.
        line = (getattr(real, name).__doc__ or "").strip().splitlines()[0]
        inside = line[line.index("(") + 1 : line.rindex(")")] if "(" in line else ""
        count = len([part for part in inside.split(",") if part.strip()])
        assert len(arguments) == count, f"{line} called with {arguments}"


def test_without_a_driver_there_is_no_device_and_no_noise(capfd):
    pytest.importorskip("cuda.bindings.runtime")
    device = find_device()
    if device is not None:
        pytest.skip("there is a GPU")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "stream",
    [
        5,
        SimpleNamespace(cuda_stream=5),
        SimpleNamespace(ptr=5),
        SimpleNamespace(handle=5),
        SimpleNamespace(__cuda_stream__=lambda: (0, 5)),
    ],
)
def test_streams_of_all_libraries_have_a_handle(stream):
    assert stream_handle(stream) == 5


def test_what_is_no_stream_is_refused():
    with pytest.raises(TypeError, match="got str, expected a CUDA stream"):
        stream_handle("5")
