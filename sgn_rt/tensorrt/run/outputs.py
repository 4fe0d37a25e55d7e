"""A session's answers on the device: taken by other libraries, their memory used again after."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.device.dlpack import DeviceArray, expect_shared, give
from sgn_rt.tensorrt.device.protocol import Device, Event, Memory, Stream

LEGACY: Final = 1
"""CUDA's legacy default stream, as DLPack numbers it."""
_NO_ORDER: Final = -1
"""DLPack's word for no stream to wait for."""


class Done:
    """The end of a call in a stream, for all that waits for it."""

    def __init__(self, device: Device, stream: Stream) -> None:
        event = device.event()
        self._device, self._event = device, event
        event.record(stream)

    def synchronize(self) -> None:
        """Wait in this thread."""
        self._event.synchronize()

    def before(self, stream: int) -> None:
        """Have another stream, numbered as DLPack does, wait on the device."""
        with self._device.current():
            try:
                waiting = _borrowed(self._device, stream)
            except EngineError:  # of no use to this device layer
                self.synchronize()
            else:
                waiting.wait(self._event)

    def __del__(self) -> None:
        # Without attributes where there was no event to be had.
        with suppress(EngineError, AttributeError), self._device.current():
            self._event.close()


def _borrowed(device: Device, stream: int) -> Stream:
    # DLPack's 1 is CUDA's 0; all others are handles.
    return device.borrow(0 if stream == LEGACY else stream)


class Block:
    """Memory of an output; back to its pool when the last who uses it has ended.

    Attributes
    ----------
    memory
        On the device.
    readers
        Streams, numbered as DLPack does, that have been told of it.
    """

    def __init__(self, pool: OutputPool, memory: Memory) -> None:
        self._pool, self.memory = pool, memory
        self.readers: set[int] = set()

    def __del__(self) -> None:
        self._pool.returned(self.memory, self.readers)


class OutputPool:
    """Memory of a session's outputs, used again in the order of its stream.

    Allocating costs a call of the driver, and freeing has the whole device wait. The device has to
    be current for `take`.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        # Outputs end in any thread and in the midst of anything, also of what is done here.
        self._lock = threading.RLock()
        self._free: list[tuple[Memory, list[Event]]] = []
        self._closed = False

    def take(self, size: int, stream: Stream) -> Block:
        """Memory for an output; the stream waits on the device for those who read it last.

        Raises
        ------
        EngineError
            If there is none.
        """
        with self._lock:
            fitting = [pair for pair in self._free if size <= pair[0].size <= 2 * size]
            if fitting:
                self._free.remove(fitting[0])
        if not fitting:
            return Block(self, self._device.allocate(size))
        memory, events = fitting[0]
        for event in events:
            stream.wait(event)
            event.close()
        return Block(self, memory)

    def returned(self, memory: Memory, readers: set[int]) -> None:
        """Called when the last who uses an output has ended; what it gave its streams may go on."""
        with suppress(EngineError), self._device.current():
            try:
                events = [] if self._closed else [self._mark(stream) for stream in readers]
            except EngineError:  # a stream that is none any more, or nobody knows which
                memory.close()
                return
            with self._lock:
                if not self._closed:
                    self._free.append((memory, events))
                    return
            memory.close()

    def close(self) -> None:
        """Free what is not in use; the rest goes when it comes back."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for memory, events in free:
            for close in (memory.close, *(event.close for event in events)):
                with suppress(EngineError):
                    close()

    def _mark(self, stream: int) -> Event:
        if stream == _NO_ORDER:
            raise EngineError("stream: got none, expected the one that reads. Name it.")
        event = self._device.event()
        try:
            event.record(_borrowed(self._device, stream))
        except EngineError:
            event.close()
            raise
        return event


class DeviceTensor:
    """An output on the device; other libraries take it by DLPack.

    Its memory lives as long as this object and all that was made of it by DLPack. Who reads
    `address` on another stream than the session's keeps this object until that is done.
    """

    def __init__(self, array: DeviceArray, done: Done) -> None:
        self._array, self._done = array, done

    @property
    def address(self) -> int:
        """Device address of the first element."""
        return self._array.address

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape; dense and row-major."""
        return self._array.shape

    @property
    def dtype(self) -> str:
        """As NumPy's name."""
        return self._array.dtype

    def __dlpack_device__(self) -> tuple[int, int]:
        """Device type and number."""
        assert self._array.device is not None
        return self._array.device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule; work that the consumer's stream is given from now on waits for the answer.

        Raises
        ------
        BufferError
            For a copy, or another device: memory is shared, where it lies.
        """
        del max_version  # any consumer takes the first version's
        expect_shared(self._array, dl_device, copy)
        reader = LEGACY if stream is None else stream
        if reader != _NO_ORDER:
            self._done.before(reader)
        if isinstance(self._array.owner, Block):
            self._array.owner.readers.add(reader)
        return give(self._array)


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """Outputs on the device, ready when the stream has come by.

    Attributes
    ----------
    sources
        shape = (B, S, N), float32.
    presence
        shape = (B, C), float32, 0 to 1.
    embedding
        shape = (B, C, D), float32.
    """

    sources: DeviceTensor
    presence: DeviceTensor
    embedding: DeviceTensor
