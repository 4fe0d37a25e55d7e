"""A GPU through cuda-python. Written against its interface; not yet run on a GPU."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._optional import pip_command, require
from sgn_rt.errors import DependencyError, EngineError, UnavailableError
from sgn_rt.tensorrt.device.protocol import Event, Graph, Memory, Pinned, Stream, stream_handle

OLDEST: Final = (12, 9, 1)
"""Before it, cuda-python keeps all other threads of Python waiting while one waits for the GPU."""
_DLPACK_CUDA: Final = 2


class _Runtime:
    """CUDA's runtime; every call's status is looked at."""

    def __init__(self) -> None:
        purpose = "the tensorrt engine"
        package: Any = require("cuda.bindings", extra="tensorrt", purpose=purpose)
        self.version = str(package.__version__)
        if tuple(int(part) for part in re.findall(r"\d+", self.version)[:3]) < OLDEST:
            raise DependencyError(
                f"cuda-python: got version {self.version}, expected at least "
                f"{'.'.join(map(str, OLDEST))}. Install it with: {pip_command('tensorrt')}",
                command=pip_command("tensorrt"),
            )
        self.module: Any = require("cuda.bindings.runtime", extra="tensorrt", purpose=purpose)

    def __call__(self, function: str, *arguments: Any) -> Any:
        """Call a function: its result; None, a value, or a tuple of several.

        Raises
        ------
        EngineError
            If it says anything but success.
        """
        status, *results = getattr(self.module, function)(*arguments)
        if status != self.module.cudaError_t.cudaSuccess:
            _, text = self.module.cudaGetErrorString(status)
            self.module.cudaGetLastError()  # or a later call reports this one's error again
            raise EngineError(
                f"{function}: got {status.name} ({text.decode()}), expected success. "
                f"{self._advice(status.name)}"
            )
        if not results:
            return None
        return results[0] if len(results) == 1 else tuple(results)

    def _advice(self, status: str) -> str:
        if status != "cudaErrorInsufficientDriver":
            return "Check `nvidia-smi` for the GPU, its driver and its free memory."
        _, driver = self.module.cudaDriverGetVersion()
        if not driver:
            return (
                "There is no driver: install NVIDIA's, or let the container have the GPU "
                "(`--gpus all`)."
            )
        return (
            f"The driver is for CUDA {driver // 1000}.{driver % 1000 // 10}, cuda-python for "
            f"{self.version}: update the driver, or take packages for CUDA 12: "
            f"{pip_command('tensorrt-cu12')}"
        )


class _Memory:
    def __init__(self, cuda: _Runtime, size: int) -> None:
        self._cuda, self.size = cuda, size
        self.address = int(cuda("cudaMalloc", max(size, 1)))

    def close(self) -> None:
        address, self.address = self.address, 0
        if address:
            self._cuda("cudaFree", address)


class _Pinned:
    def __init__(self, cuda: _Runtime, size: int) -> None:
        self._cuda = cuda
        size = max(size, 1)
        # Portable: pinned for every context, whichever thread uses it.
        flags = cuda.module.cudaHostAllocPortable
        self.address = int(cuda("cudaHostAlloc", size, flags))
        block = (ctypes.c_uint8 * size).from_address(self.address)
        self.array: NDArray[np.uint8] = np.ctypeslib.as_array(block)

    def close(self) -> None:
        address, self.address = self.address, 0
        if address:
            self.array = np.empty(0, np.uint8)
            self._cuda("cudaFreeHost", address)


class _Event:
    def __init__(self, cuda: _Runtime, *, spin: bool) -> None:
        self._cuda = cuda
        flags = cuda.module.cudaEventDisableTiming
        flags |= 0 if spin else cuda.module.cudaEventBlockingSync
        self._event: Any = cuda("cudaEventCreateWithFlags", flags)

    @property
    def raw(self) -> Any:
        return self._event

    def record(self, stream: Stream) -> None:
        self._cuda("cudaEventRecord", self._event, stream.handle)

    def synchronize(self) -> None:
        self._cuda("cudaEventSynchronize", self._event)

    def close(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            self._cuda("cudaEventDestroy", event)


class _Stream:
    def __init__(self, cuda: _Runtime, borrowed: int | None = None) -> None:
        self._cuda, self._ours = cuda, borrowed is None
        if borrowed is None:
            flags = cuda.module.cudaStreamNonBlocking
            borrowed = int(cuda("cudaStreamCreateWithFlags", flags))
        self.handle = borrowed

    def wait(self, event: Event) -> None:
        assert isinstance(event, _Event)
        self._cuda("cudaStreamWaitEvent", self.handle, event.raw, 0)

    def synchronize(self) -> None:
        self._cuda("cudaStreamSynchronize", self.handle)

    def close(self) -> None:
        ours, self._ours = self._ours, False
        if ours:
            self._cuda("cudaStreamDestroy", self.handle)


class _Graph:
    def __init__(self, cuda: _Runtime, graph: Any) -> None:
        self._cuda = cuda
        try:
            self._executable: Any = cuda("cudaGraphInstantiate", graph, 0)
        finally:
            cuda("cudaGraphDestroy", graph)

    def launch(self, stream: Stream) -> None:
        self._cuda("cudaGraphLaunch", self._executable, stream.handle)

    def close(self) -> None:
        executable, self._executable = self._executable, None
        if executable is not None:
            self._cuda("cudaGraphExecDestroy", executable)


class CudaPython:
    """The protocol `Device` on CUDA's runtime and its primary context.

    PyTorch, CuPy and Numba use that context, too: pointers and streams go both ways.

    Parameters
    ----------
    ordinal
        Number of the GPU; None for the one that is current in this thread.

    Raises
    ------
    DependencyError
        If cuda-python is not installed, or too old.
    UnavailableError
        If there is no GPU, or none of that number.
    EngineError
        If there is no driver, or one that is too old.
    """

    can_capture = True

    def __init__(self, ordinal: int | None = None) -> None:
        self._cuda = cuda = _Runtime()
        count = int(cuda("cudaGetDeviceCount"))
        if count == 0:
            raise UnavailableError("GPU: got none, expected one. Check `nvidia-smi`.")
        if ordinal is not None and ordinal >= count:
            raise UnavailableError(
                f"GPU: got number {ordinal}, expected one from 0 to {count - 1}. "
                "Check `nvidia-smi`."
            )
        self._ordinal = int(cuda("cudaGetDevice")) if ordinal is None else ordinal
        properties = cuda("cudaGetDeviceProperties", self._ordinal)
        name = properties.name
        self.name = name.decode().rstrip("\0") if isinstance(name, bytes) else str(name)
        self.capability = f"sm{properties.major}{properties.minor}"
        self.dlpack_device = (_DLPACK_CUDA, self._ordinal)
        self.layer = f"cuda-python {cuda.version}"

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU this thread's; the application's own choice is restored after it."""
        before = int(self._cuda("cudaGetDevice"))
        # Also where it is the same: a new thread has a device from the start, but no context.
        self._cuda("cudaSetDevice", self._ordinal)
        try:
            yield
        finally:
            if before != self._ordinal:
                self._cuda("cudaSetDevice", before)

    def allocate(self, size: int) -> Memory:
        """Memory on the device."""
        return _Memory(self._cuda, size)

    def allocate_pinned(self, size: int) -> Pinned:
        """Page-locked memory of the host."""
        return _Pinned(self._cuda, size)

    def stream(self) -> Stream:
        """A new, non-blocking stream."""
        return _Stream(self._cuda)

    def borrow(self, stream: object) -> Stream:
        """A stream of the application."""
        return _Stream(self._cuda, stream_handle(stream))

    def event(self, *, spin: bool = False) -> Event:
        """A new event; a thread that waits for it sleeps, or spins where it may."""
        return _Event(self._cuda, spin=spin)

    def upload(self, target: int, source: Pinned, size: int, stream: Stream) -> None:
        """Copy from the host, in stream order."""
        kind = self._cuda.module.cudaMemcpyKind.cudaMemcpyHostToDevice
        address = source.array.ctypes.data
        self._cuda("cudaMemcpyAsync", target, address, size, kind, stream.handle)

    def download(self, target: Pinned, source: int, size: int, stream: Stream) -> None:
        """Copy to the host, in stream order."""
        kind = self._cuda.module.cudaMemcpyKind.cudaMemcpyDeviceToHost
        address = target.array.ctypes.data
        self._cuda("cudaMemcpyAsync", address, source, size, kind, stream.handle)

    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        """Copy on the device, in stream order."""
        kind = self._cuda.module.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self._cuda("cudaMemcpyAsync", target, source, size, kind, stream.handle)

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """Record a graph; other threads may go on using the device."""
        mode = self._cuda.module.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._cuda("cudaStreamBeginCapture", stream.handle, mode)
        try:
            work()
        except BaseException:
            # Ends the capture in any case; what it captured, or why it broke, is of no interest.
            status, graph = self._cuda.module.cudaStreamEndCapture(stream.handle)
            if status == self._cuda.module.cudaError_t.cudaSuccess:
                self._cuda("cudaGraphDestroy", graph)
            self._cuda.module.cudaGetLastError()
            raise
        return _Graph(self._cuda, self._cuda("cudaStreamEndCapture", stream.handle))

    def free_bytes(self) -> int:
        """Memory of the device that is free."""
        free, _ = self._cuda("cudaMemGetInfo")
        return int(free)


def count_devices() -> int:
    """GPUs that this process sees.

    Raises
    ------
    DependencyError, EngineError
        As `CudaPython`.
    """
    return int(_Runtime()("cudaGetDeviceCount"))
