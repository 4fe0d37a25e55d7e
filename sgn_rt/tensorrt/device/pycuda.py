"""A GPU through PyCUDA, in the application's own context. Not yet run on a GPU.

PyCUDA has no interface to CUDA graphs; windows are then given to the device call by call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._optional import require
from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.device.protocol import Event, Graph, Memory, Pinned, Stream

_DLPACK_CUDA: Final = 2
_STREAM_NON_BLOCKING: Final = 1
"""CU_STREAM_NON_BLOCKING; PyCUDA has no name for it."""


def application_uses_pycuda() -> bool:
    """Whether PyCUDA is loaded and this thread has a context of it; imports nothing."""
    driver: Any = sys.modules.get("pycuda.driver")
    try:
        return driver is not None and driver.Context.get_current() is not None
    except driver.Error:
        return False


class _Memory:
    def __init__(self, device: PyCuda, size: int) -> None:
        self._allocation: Any = device.call("mem_alloc", max(size, 1))
        self.address, self.size = int(self._allocation), size

    def close(self) -> None:
        allocation, self._allocation, self.address = self._allocation, None, 0
        if allocation is not None:
            allocation.free()


class _Pinned:
    def __init__(self, device: PyCuda, size: int) -> None:
        flags = device.driver.host_alloc_flags.PORTABLE
        self.array: NDArray[np.uint8] = device.call(
            "pagelocked_empty", max(size, 1), np.uint8, mem_flags=flags
        )

    def close(self) -> None:
        # PyCUDA frees it with the last reference to the array.
        self.array = np.empty(0, np.uint8)


class _Event:
    def __init__(self, device: PyCuda, *, spin: bool) -> None:
        flags = device.driver.event_flags
        self._device = device
        blocking = 0 if spin else flags.BLOCKING_SYNC
        self.raw: Any = device.call("Event", flags.DISABLE_TIMING | blocking)

    def record(self, stream: Stream) -> None:
        assert isinstance(stream, _Stream)
        self._device.checked("Event.record", self.raw.record, stream.raw)

    def synchronize(self) -> None:
        self._device.checked("Event.synchronize", self.raw.synchronize)

    def close(self) -> None:
        self.raw = None


class _Stream:
    def __init__(self, device: PyCuda, raw: Any) -> None:
        self._device, self.raw = device, raw
        self.handle = 0 if raw is None else int(raw.handle)

    def wait(self, event: Event) -> None:
        assert isinstance(event, _Event)
        self._device.checked("Stream.wait_for_event", self.raw.wait_for_event, event.raw)

    def synchronize(self) -> None:
        self._device.checked("Stream.synchronize", self.raw.synchronize)

    def close(self) -> None:
        self.raw = None


class PyCuda:
    """The protocol `Device` on the PyCUDA context current in this thread.

    The context is the application's: it is neither made nor destroyed here, and pushed onto every
    other thread that uses the engine.

    Raises
    ------
    DependencyError
        If PyCUDA is not installed.
    EngineError
        If this thread has no context of PyCUDA.
    """

    can_capture = False

    def __init__(self) -> None:
        purpose = "the tensorrt engine on PyCUDA"
        self.driver: Any = require("pycuda.driver", extra="pycuda", purpose=purpose)
        self._context: Any = self.checked("get_current", self.driver.Context.get_current)
        if self._context is None:
            raise EngineError(
                "PyCUDA: got no current context in this thread, expected the application's. "
                "Make one (import pycuda.autoinit), or push yours before opening the engine."
            )
        device = self.checked("get_device", self._context.get_device)
        major, minor = device.compute_capability()
        self.name = str(device.name())
        self.capability = f"sm{major}{minor}"
        self.dlpack_device = (_DLPACK_CUDA, _ordinal(self.driver, device))
        pycuda: Any = require("pycuda", extra="pycuda", purpose=purpose)
        self.layer = f"PyCUDA {pycuda.VERSION_TEXT}"

    def call(self, name: str, *arguments: Any, **more: Any) -> Any:
        """A function or class of the driver module, its errors ours."""
        return self.checked(name, getattr(self.driver, name), *arguments, **more)

    def checked(self, name: str, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Call, its errors ours."""
        try:
            return function(*arguments, **more)
        except self.driver.Error as error:
            raise EngineError(
                f"PyCUDA {name}: got {error}, expected success. "
                "Check `nvidia-smi` for the GPU, its driver and its free memory."
            ) from error

    @contextmanager
    def current(self) -> Iterator[None]:
        """Push the context, unless it is this thread's already."""
        if self.driver.Context.get_current() == self._context:
            yield
            return
        self._context.push()
        try:
            yield
        finally:
            self.driver.Context.pop()

    def allocate(self, size: int) -> Memory:
        """Memory on the device."""
        return _Memory(self, size)

    def allocate_pinned(self, size: int) -> Pinned:
        """Page-locked memory of the host."""
        return _Pinned(self, size)

    def stream(self) -> Stream:
        """A new stream, non-blocking."""
        return _Stream(self, self.call("Stream", _STREAM_NON_BLOCKING))

    def borrow(self, stream: object) -> Stream:
        """A stream of PyCUDA's own: it takes no handles of others."""
        if not isinstance(stream, self.driver.Stream):
            raise EngineError(
                f"PyCUDA: got a {type(stream).__name__} for a stream, expected a "
                "pycuda.driver.Stream. Give one, or use the engine without PyCUDA."
            )
        return _Stream(self, stream)

    def event(self, *, spin: bool = False) -> Event:
        """A new event; a thread that waits for it sleeps, or spins where it may."""
        return _Event(self, spin=spin)

    def upload(self, target: int, source: Pinned, size: int, stream: Stream) -> None:
        """Copy from the host, in stream order."""
        assert isinstance(stream, _Stream)
        self.call("memcpy_htod_async", target, source.array[:size], stream.raw)

    def download(self, target: Pinned, source: int, size: int, stream: Stream) -> None:
        """Copy to the host, in stream order."""
        assert isinstance(stream, _Stream)
        self.call("memcpy_dtoh_async", target.array[:size], source, stream.raw)

    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        """Copy on the device, in stream order."""
        assert isinstance(stream, _Stream)
        self.call("memcpy_dtod_async", target, source, size, stream.raw)

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """Not with PyCUDA."""
        del stream, work
        raise EngineError(
            "PyCUDA: got a graph to capture, expected none: it has no graphs. Use cuda-python."
        )

    def free_bytes(self) -> int:
        """Memory of the device that is free."""
        free, _ = self.call("mem_get_info")
        return int(free)


def _ordinal(driver: Any, device: Any) -> int:
    for number in range(driver.Device.count()):
        if driver.Device(number) == device:
            return number
    return 0
