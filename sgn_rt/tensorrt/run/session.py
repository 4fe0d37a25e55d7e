"""For applications with sound on the device: pointers or DLPack, on their stream."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Tensor
from sgn_rt.tensorrt.device.dlpack import DeviceArray, give, take
from sgn_rt.tensorrt.device.protocol import Device, Memory, Pinned, Stream
from sgn_rt.tensorrt.run.runtime import Call, LoadedEngine

IN_FLIGHT: Final = 4
"""Calls under way at a time; their arrays are kept."""
ALIGNMENT: Final = 256
"""Bytes; what TensorRT asks of addresses."""
_LEGACY, _NO_ORDER = 1, -1
"""Streams as DLPack numbers them: CUDA's legacy default stream, and none to wait for."""


class _Done:
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
                # DLPack's 1 is CUDA's 0; all others are handles.
                waiting = self._device.borrow(0 if stream == _LEGACY else stream)
            except EngineError:  # of no use to this device layer
                self.synchronize()
            else:
                waiting.wait(self._event)

    def __del__(self) -> None:
        # Without attributes where there was no event to be had.
        with suppress(EngineError, AttributeError), self._device.current():
            self._event.close()


class DeviceTensor:
    """An output on the device; other libraries take it by DLPack.

    Its memory lives as long as this object and all that was made of it by DLPack.
    """

    def __init__(self, array: DeviceArray, done: _Done) -> None:
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

    def __dlpack__(self, *, stream: int | None = None, **more: Any) -> Any:
        """A capsule; work that the consumer's stream is given from now on waits for the answer."""
        del more
        if stream != _NO_ORDER:
            self._done.before(_LEGACY if stream is None else stream)
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


class _Owned:
    """Memory that is freed with its last user, with the device current."""

    def __init__(self, device: Device, memory: Memory) -> None:
        self._device, self._memory = device, memory

    def __del__(self) -> None:
        with suppress(EngineError), self._device.current():
            self._memory.close()


class Session:
    """One execution context on the application's own device memory. Belongs to one thread.

    Nothing here waits for the device but a change of categories, and a call when `IN_FLIGHT`
    earlier ones are not done. Answers are not looked at: finite numbers are the caller's to check.

    Parameters
    ----------
    loaded, device
        The engine and where it runs.
    stream
        The application's stream, or its handle; None for one of the session's own (`stream`).
    """

    def __init__(self, loaded: LoadedEngine, device: Device, stream: object = None) -> None:
        self._loaded, self._device = loaded, device
        self._owns_stream, self._closed = stream is None, False
        self._positions: tuple[int, ...] | None = None
        self._kept: list[Memory | Pinned] = []
        self._uploaded: Memory | None = None
        self._flying: deque[tuple[_Done, tuple[object, ...]]] = deque()
        with device.current():
            self._context = loaded.new_context()
            self.stream = device.stream() if stream is None else device.borrow(stream)
        self._call: Call | None = None

    def run(
        self, mixture: Any, categories: ArrayLike, *, sources: Any = None, presence: Any = None
    ) -> DeviceResult:
        """Separate a batch of windows on the device; returns at once.

        Parameters
        ----------
        mixture
            On the device: has ``__dlpack__``, or a `DeviceArray`; shape = (B, N), float32, dense.
            Its content has to stay until the stream has come by; a bare address also its memory.
        categories
            On the host: positions of the wanted categories, shape = (S,), at least one.
        sources, presence
            Where the answers are to go, as ``mixture``; new memory where None.

        Raises
        ------
        EngineError
            For what is not on this device, or of other shape or type; or if the device fails.
        """
        handle = self.stream.handle
        positions = tuple(int(p) for p in np.asarray(categories, np.int64).reshape(-1))
        taken = take(mixture, "mixture", handle or _LEGACY)
        call = Call(taken.shape[0] if taken.shape else 0, len(positions))
        limits = (self._loaded.max_batch, self._loaded.max_sources)
        if not (1 <= call.batch <= limits[0] and 1 <= call.sources <= limits[1]):
            raise EngineError(
                f"session: got {call.batch} windows and {call.sources} categories, expected 1 to "
                f"{limits[0]} and 1 to {limits[1]}. Split the batch, or build with larger ones."
            )
        count = len(self._loaded.config.categories)
        if not all(0 <= position < count for position in positions):
            raise EngineError(
                f"session: got categories {positions}, expected positions below {count}. "
                "They count the configuration's list."
            )
        self._expect(Tensor.MIXTURE, taken, call)
        with self._device.current():
            outputs = {
                Tensor.SOURCES: self._output(Tensor.SOURCES, sources, call),
                Tensor.PRESENCE: self._output(Tensor.PRESENCE, presence, call),
                Tensor.EMBEDDING: self._output(Tensor.EMBEDDING, None, call),
            }
            self._context.set_address(Tensor.MIXTURE, taken.address)
            self._context.set_address(Tensor.CATEGORIES, self._upload(positions))
            for name, array in outputs.items():
                self._context.set_address(name, array.address)
            if call != self._call:
                self._call = None
                self._context.set_call(call)
                self._call = call
            self._context.execute(handle)
            # The device reads and writes these until the stream has come by.
            done = _Done(self._device, self.stream)
            self._keep(done, (taken, *outputs.values()))
        tensors = {str(name): DeviceTensor(array, done) for name, array in outputs.items()}
        return DeviceResult(**tensors)

    def close(self) -> None:
        """Wait for the stream, free what is the session's own; also after an error, and twice."""
        if self._closed:
            return
        self._closed = True
        with self._device.current():
            with suppress(EngineError):  # whatever failed has been raised where it did
                self.stream.synchronize()
            del self._context
            self._flying.clear()
            closers = [owned.close for owned in self._kept]
            closers += [self.stream.close] if self._owns_stream else []
            for close in closers:
                with suppress(EngineError):
                    close()
            self._kept.clear()
            self._uploaded = self._positions = None

    def _keep(self, done: _Done, arrays: tuple[object, ...]) -> None:
        """Keep what a call uses until it is done; waits for the oldest where many are under way."""
        if len(self._flying) >= IN_FLIGHT:
            oldest, _ = self._flying[0]
            oldest.synchronize()
            self._flying.popleft()  # and only now what it kept
        self._flying.append((done, arrays))

    def _upload(self, positions: tuple[int, ...]) -> int:
        """Address of the categories on the device; sent only when they change."""
        if self._uploaded is None or positions != self._positions:
            # What runs may still read the old ones: this waits, once per change of categories.
            self.stream.synchronize()
            for owned in self._kept:
                owned.close()
            self._kept.clear()
            size = 8 * len(positions)
            memory, staging = self._device.allocate(size), self._device.allocate_pinned(size)
            self._kept += [memory, staging]
            staging.array[:size].view(np.int64)[:] = positions
            self._device.upload(memory.address, staging, size, self.stream)
            self._uploaded, self._positions = memory, positions
        return self._uploaded.address

    def _output(self, name: Tensor, given: Any, call: Call) -> DeviceArray:
        if given is not None:
            array = take(given, str(name), self.stream.handle or _LEGACY)
            self._expect(name, array, call)
            return array
        config = self._loaded.config
        memory = self._device.allocate(call.nbytes(name, config))
        owner = _Owned(self._device, memory)
        shape, device = call.shape(name, config), self._device.dlpack_device
        return DeviceArray(memory.address, shape, "float32", device, owner)

    def _expect(self, name: Tensor, array: DeviceArray, call: Call) -> None:
        shape = call.shape(name, self._loaded.config)
        if array.shape != shape or array.dtype != "float32":
            raise EngineError(
                f"session: {name}: got {array.dtype} of shape {array.shape}, expected float32 of "
                "shape "
                f"{shape}. Convert it on the device."
            )
        if array.device is not None and array.device != self._device.dlpack_device:
            raise EngineError(
                f"session: {name}: got an array on device {array.device}, expected "
                f"{self._device.dlpack_device}, which the engine is on. Move it there."
            )
        if array.address % ALIGNMENT:
            raise EngineError(
                f"session: {name}: got address {array.address:#x}, expected a multiple of "
                f"{ALIGNMENT}, as TensorRT wants it. Copy it to memory of its own."
            )
