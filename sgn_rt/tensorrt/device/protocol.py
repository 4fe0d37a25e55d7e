"""What an engine needs of a GPU's driver. Addresses are integers, sizes are bytes.

Whatever is made here belongs to its maker until ``close``, which may be called twice. Everything
that fails raises `sgn_rt.errors.EngineError`; nothing returns a status.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

ALIGNMENT: Final = 256
"""Bytes; what TensorRT asks of addresses, what allocations have, and what copies like."""


class Memory(Protocol):
    """Memory on the device."""

    @property
    def address(self) -> int:
        """Device address."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Pinned(Protocol):
    """Page-locked memory of the host, which copies run from and to beside computing."""

    @property
    def array(self) -> NDArray[np.uint8]:
        """All of it, shape = (bytes,); not to be used after `close`."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Event(Protocol):
    """A point in a stream."""

    def record(self, stream: Stream) -> None:
        """Set it behind what the stream has been given so far."""
        ...

    def synchronize(self) -> None:
        """Wait in this thread until the stream has come by; raises what failed until then."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Stream(Protocol):
    """A queue of work on the device."""

    @property
    def handle(self) -> int:
        """As ``cudaStream_t``."""
        ...

    def wait(self, event: Event) -> None:
        """Let what comes after this wait on the device until the event's stream has come by it."""
        ...

    def synchronize(self) -> None:
        """Wait in this thread until all is done; raises what failed until then."""
        ...

    def close(self) -> None:
        """Let go of it, if it is ours."""
        ...


class Graph(Protocol):
    """Work that was recorded once and is given to a stream in one piece."""

    def launch(self, stream: Stream) -> None:
        """Give it to a stream."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Device(Protocol):
    """One GPU.

    Attributes
    ----------
    layer
        What is behind it, e.g. ``cuda-python 13.4.4``.
    name
        As the driver calls it.
    capability
        Compute capability, e.g. ``sm89``.
    dlpack_device
        Type and number as DLPack has them.
    can_capture
        Whether `capture` works.
    """

    layer: str
    name: str
    capability: str
    dlpack_device: tuple[int, int]
    can_capture: bool

    def current(self) -> AbstractContextManager[None]:
        """The device and its context are those of this thread inside; all else here needs that."""
        ...

    def allocate(self, size: int) -> Memory:
        """Memory on the device."""
        ...

    def allocate_pinned(self, size: int) -> Pinned:
        """Page-locked memory of the host."""
        ...

    def stream(self) -> Stream:
        """A new stream, which the default stream does not wait for."""
        ...

    def borrow(self, stream: object) -> Stream:
        """A stream of the application: a handle, or an object of PyCUDA, PyTorch, CuPy or CUDA."""
        ...

    def event(self, *, spin: bool = False) -> Event:
        """A new event; a thread that waits for it sleeps, or spins where it may."""
        ...

    def upload(self, target: int, source: Pinned, size: int, stream: Stream) -> None:
        """Copy from the host, in stream order."""
        ...

    def download(self, target: Pinned, source: int, size: int, stream: Stream) -> None:
        """Copy to the host, in stream order."""
        ...

    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        """Copy on the device, in stream order."""
        ...

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """Record what ``work`` gives to the stream instead of running it."""
        ...

    def free_bytes(self) -> int:
        """Memory of the device that is free."""
        ...


def aligned(size: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def stream_handle(stream: object) -> int:
    """The handle of a stream of another library, or the handle itself.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(stream, int):
        return stream
    protocol = getattr(stream, "__cuda_stream__", None)  # CUDA's own: (version, handle)
    if protocol is not None:
        return int(protocol()[1])
    for name in ("cuda_stream", "ptr", "handle"):  # PyTorch, CuPy, PyCUDA
        if hasattr(stream, name):
            return int(getattr(stream, name))
    raise TypeError(
        f"stream: got {type(stream).__name__}, expected a CUDA stream or its handle. "
        "Give the handle as an integer."
    )
