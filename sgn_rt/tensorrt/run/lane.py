"""A lane: execution context, stream, device memory and pinned staging, for one thread at a time."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float, Positions, Separated
from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Tensor
from sgn_rt.tensorrt.device.protocol import Device, Graph, Memory, Pinned
from sgn_rt.tensorrt.run.runtime import Call, LoadedEngine

_STAGED: Final = (Tensor.MIXTURE, Tensor.CATEGORIES, Tensor.SOURCES, Tensor.PRESENCE)
"""What goes to the device and comes back; the embedding stays there."""


class Lane:
    """Runs calls one after the other: `submit` returns at once, `collect` waits for the answer.

    With two lanes, one's copies run while the other computes. Memory is kept for the largest call
    so far. Where calls of a shape follow each other, copies and execution are one CUDA graph from
    the second on; there is one graph at a time, as it holds only while the context keeps its shape.

    Raises
    ------
    EngineError
        If the device or TensorRT fails.
    """

    def __init__(self, loaded: LoadedEngine, device: Device) -> None:
        self._loaded, self._device = loaded, device
        self._memory: dict[Tensor, Memory] = {}
        self._pinned: dict[Tensor, Pinned] = {}
        self._graph: Graph | None = None
        self._set: Call | None = None
        self._ran = False
        self._waiting: Call | None = None
        self._closed = False
        self.graph_failure: str | None = None
        with device.current():
            self._context = loaded.new_context()
            self._stream = device.stream()
            try:
                self._done = device.event()
            except BaseException:
                self._stream.close()
                raise
        self._captures = device.can_capture

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is to be collected."""
        return self._waiting is not None

    @property
    def has_graph(self) -> bool:
        """Whether the last call's shape is a CUDA graph."""
        return self._graph is not None

    def submit(self, mixture: Float, categories: Positions) -> None:
        """Begin a call.

        Parameters
        ----------
        mixture
            shape = (B, N), float32, at most the engine's largest batch.
        categories
            shape = (S,), int64, one to the engine's largest number.
        """
        assert self._waiting is None, "collect the last answer first"
        call = Call(len(mixture), len(categories))
        with self._device.current():
            self._fit(call)
            self._host(Tensor.MIXTURE, call)[...] = mixture
            self._host(Tensor.CATEGORIES, call)[...] = categories
            self._prepare(call)
            graph = self._captured(call)
            if graph is None:
                self._work(call)
                self._ran = True
            else:
                graph.launch(self._stream)
            self._done.record(self._stream)
        self._waiting = call

    def collect(self) -> Separated:
        """Wait for the answer: a copy, shapes as `Engine.separate`."""
        call, self._waiting = self._waiting, None
        assert call is not None, "submit first"
        with self._device.current():
            self._done.synchronize()
        sources = self._host(Tensor.SOURCES, call).copy()
        return Separated(sources, self._host(Tensor.PRESENCE, call).copy())

    def close(self) -> None:
        """Wait for the device, and free everything; also after an error, and twice."""
        if self._closed:
            return
        self._closed = True
        with self._device.current():
            with suppress(EngineError):  # whatever failed has been raised where it did
                self._stream.synchronize()
            self._drop_graph()
            del self._context
            closers = [self._done.close, self._stream.close]
            closers += [memory.close for memory in self._memory.values()]
            closers += [pinned.close for pinned in self._pinned.values()]
            for close in closers:
                with suppress(EngineError):
                    close()

    def _fit(self, call: Call) -> None:
        """Make room; what was captured for the old addresses goes."""
        config = self._loaded.config
        for name in self._loaded.tensors:
            size = call.nbytes(name, config)
            old = self._memory.get(name)
            if old is not None and old.size >= size:
                continue
            self._drop_graph()
            if old is not None:
                del self._memory[name]
                old.close()
            self._memory[name] = self._device.allocate(size)
            self._context.set_address(name, self._memory[name].address)
            if name in _STAGED:
                staging = self._pinned.pop(name, None)
                if staging is not None:
                    staging.close()
                self._pinned[name] = self._device.allocate_pinned(size)

    def _prepare(self, call: Call) -> None:
        """Set the shape; what was captured for another goes."""
        if self._set != call:
            self._drop_graph()
            self._set = None
            self._context.set_call(call)
            self._set = call

    def _captured(self, call: Call) -> Graph | None:
        """The call as a graph, if it has run before with this shape and these addresses."""
        if self._graph is None and self._captures and self._ran:
            try:
                with self._loaded.lock:
                    self._graph = self._device.capture(self._stream, lambda: self._work(call))
            except EngineError as error:
                # Without graphs it is slower and as right; the reason is kept for the report.
                self._captures, self.graph_failure = False, str(error)
        return self._graph

    def _work(self, call: Call) -> None:
        config, stream = self._loaded.config, self._stream
        for name in self._loaded.inputs:
            address, size = self._memory[name].address, call.nbytes(name, config)
            self._device.upload(address, self._pinned[name], size, stream)
        self._context.execute(stream.handle)
        for name in (Tensor.SOURCES, Tensor.PRESENCE):
            address, size = self._memory[name].address, call.nbytes(name, config)
            self._device.download(self._pinned[name], address, size, stream)

    def _host(self, name: Tensor, call: Call) -> NDArray[np.float32]:
        size = call.nbytes(name, self._loaded.config)
        dtype = np.int64 if name == Tensor.CATEGORIES else np.float32
        view = self._pinned[name].array[:size].view(dtype)
        return view.reshape(call.shape(name, self._loaded.config))  # type: ignore[return-value]

    def _drop_graph(self) -> None:
        graph, self._graph, self._ran = self._graph, None, False
        if graph is not None:
            with suppress(EngineError):
                graph.close()
