"""For applications with sound on the device: pointers or DLPack, on their stream."""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext, suppress
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from sgn_rt._ranges import Range, ranged
from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Tensor
from sgn_rt.tensorrt.device.dlpack import DeviceArray, take
from sgn_rt.tensorrt.device.protocol import ALIGNMENT, Memory, Pinned, stream_handle
from sgn_rt.tensorrt.run.outputs import LEGACY, DeviceResult, DeviceTensor, Done, OutputPool
from sgn_rt.tensorrt.run.runtime import Call, Context, LoadedEngine, Model
from sgn_rt.tensorrt.run.states import STATE

IN_FLIGHT: Final = 4
"""Calls under way at a time; their arrays are kept."""
_RANGES: Final = (Range.NETWORK, Range.SYNTHESIS)
_OUTPUTS: Final = (Tensor.SOURCES, Tensor.PRESENCE, Tensor.EMBEDDING)


class Session:
    """A model on the application's own device memory: nothing is copied. Belongs to one thread.

    Network and synthesis follow each other without a wait. Nothing here waits for the device but a
    change of categories, and a call when `IN_FLIGHT` earlier ones are not done. Answers are not
    looked at: finite numbers are the caller's to check.

    Parameters
    ----------
    model
        What runs, and where.
    stream
        The application's stream, or its handle; None for one of the session's own (`stream`).
    """

    def __init__(self, model: Model, stream: object = None) -> None:
        self._model, self._device = model, model.device
        self._owns_stream, self._closed = stream is None, False
        self._positions: tuple[int, ...] | None = None
        self._kept: list[Memory | Pinned] = []
        self._uploaded: Memory | None = None
        self._flying: deque[tuple[Done, tuple[object, ...]]] = deque()
        self._call: Call | None = None
        with self._device.current():
            self._halves = [(model.network, model.network.new_context())]
            if model.synthesis is not None:
                self._halves.append((model.synthesis, model.synthesis.new_context()))
            self.stream = self._device.stream() if stream is None else self._device.borrow(stream)
        self._outputs, self._states = OutputPool(self._device), OutputPool(self._device)
        self._between: dict[Tensor, DeviceArray] = {}

    def run(
        self,
        mixture: Any,
        categories: ArrayLike,
        *,
        sources: Any = None,
        presence: Any = None,
        stream: object = None,
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
        stream
            The application's stream that reads them there, or its handle: it waits on the device
            for them. None for the legacy default stream. Of no interest where the session is on
            the application's stream, or gives new memory.

        Raises
        ------
        EngineError
            For what is not on this device, or of other shape or type; or if the device fails.
        """
        handle = self.stream.handle
        positions = tuple(int(p) for p in np.asarray(categories, np.int64).reshape(-1))
        taken = take(mixture, "mixture", handle or LEGACY)
        call = Call(taken.shape[0] if taken.shape else 0, len(positions))
        limits = (self._model.max_batch, self._model.last.max_sources)
        if not (1 <= call.batch <= limits[0] and 1 <= call.sources <= limits[1]):
            raise EngineError(
                f"session: got {call.batch} windows and {call.sources} categories, expected 1 to "
                f"{limits[0]} and 1 to {limits[1]}. Split the batch, or build with larger ones."
            )
        count = len(self._model.network.config.categories)
        if not all(0 <= position < count for position in positions):
            raise EngineError(
                f"session: got categories {positions}, expected positions below {count}. "
                "They count the configuration's list."
            )
        self._expect(Tensor.MIXTURE, taken, call)
        given = {Tensor.SOURCES: sources, Tensor.PRESENCE: presence}
        with self._device.current():
            outputs = {name: self._output(name, given.get(name), call) for name in _OUTPUTS}
            self._make_room(call)
            tensors = {Tensor.MIXTURE: taken.address, Tensor.CATEGORIES: self._upload(positions)}
            tensors |= {name: array.address for name, array in (outputs | self._between).items()}
            is_new, self._call = call != self._call, None
            for loaded, context in self._halves:
                self._prepare(loaded, context, call if is_new else None, tensors)
            with self._model.network.lock if is_new else nullcontext():
                for (_, context), name in zip(self._halves, _RANGES, strict=False):
                    with ranged(name):
                        context.execute(handle)
            self._call = call
            # The device reads and writes these until the stream has come by.
            done = Done(self._device, self.stream)
            self._keep(done, (taken, *outputs.values(), *self._between.values()))
            if self._owns_stream and any(array is not None for array in given.values()):
                done.before(LEGACY if stream is None else stream_handle(stream) or LEGACY)
        return DeviceResult(
            **{str(name): DeviceTensor(array, done) for name, array in outputs.items()}
        )

    def _prepare(
        self, loaded: LoadedEngine, context: Context, call: Call | None, tensors: dict[Tensor, int]
    ) -> None:
        """Say where an engine's tensors lie, and how large they are where that has changed."""
        for name in loaded.tensors:
            context.set_address(name, tensors[name])
        if call is not None:
            context.set_call(call, self.stream.handle)

    def _make_room(self, call: Call) -> None:
        """Memory between network and synthesis, for the largest call so far."""
        network = self._model.network
        for name in STATE if self._model.synthesis is not None else ():
            array, size = self._between.get(name), network.nbytes(name, call)
            if array is None or array.owner.memory.size < size:
                # What is under way keeps the old one.
                block = self._states.take(size, self.stream)
                shape, dtype = network.shape(name, call), network.dtype(name)
                self._between[name] = DeviceArray(block.memory.address, shape, dtype, None, block)

    def close(self) -> None:
        """Wait for the stream, free what is the session's own; also after an error, and twice."""
        if self._closed:
            return
        self._closed = True
        with self._device.current():
            with suppress(EngineError):  # whatever failed has been raised where it did
                self.stream.synchronize()
            self._halves.clear()
            self._flying.clear()
            self._between.clear()
            self._outputs.close()
            self._states.close()
            closers = [owned.close for owned in self._kept]
            closers += [self.stream.close] if self._owns_stream else []
            for close in closers:
                with suppress(EngineError):
                    close()
            self._kept.clear()
            self._uploaded = self._positions = None

    def __del__(self) -> None:
        # Without attributes where it could not be opened.
        with suppress(EngineError, AttributeError):
            self.close()

    def _keep(self, done: Done, arrays: tuple[object, ...]) -> None:
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
            self._uploaded = self._positions = None
            for owned in self._kept:
                owned.close()
            self._kept.clear()
            size = 8 * len(positions)
            memory = self._device.allocate(size)
            self._kept.append(memory)
            staging = self._device.allocate_pinned(size)
            self._kept.append(staging)
            staging.array[:size].view(np.int64)[:] = positions
            self._device.upload(memory.address, staging, size, self.stream)
            self._uploaded, self._positions = memory, positions
        return self._uploaded.address

    def _output(self, name: Tensor, given: Any, call: Call) -> DeviceArray:
        if given is not None:
            array = take(given, str(name), self.stream.handle or LEGACY)
            self._expect(name, array, call)
            return array
        loaded = self._engine_of(name)
        block = self._outputs.take(loaded.nbytes(name, call), self.stream)
        shape, device = loaded.shape(name, call), self._device.dlpack_device
        return DeviceArray(block.memory.address, shape, loaded.dtype(name), device, block)

    def _engine_of(self, name: Tensor) -> LoadedEngine:
        return self._model.last if name == Tensor.SOURCES else self._model.network

    def _expect(self, name: Tensor, array: DeviceArray, call: Call) -> None:
        shape = self._engine_of(name).shape(name, call)
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
