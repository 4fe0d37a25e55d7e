"""A GPU and a TensorRT that do nothing: what is left is what the host does for them.

Copies between host and device move nothing, as they are the copy engine's work on a GPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import (
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    Kind,
    Precision,
    Tensor,
    type_of,
)
from sgn_rt.model.shapes import shape_of


class _Idle:
    """Memory, stream, event and graph in one: has an address, and nothing behind it."""

    _addresses = itertools.count(1 << 20, 1 << 32)

    def __init__(self, size: int = 0) -> None:
        self.size, self.address = size, next(self._addresses)
        self.handle = self.address

    def record(self, stream: object) -> None:
        """Nothing to mark."""

    def wait(self, event: object) -> None:
        """Nothing to wait for."""

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def launch(self, stream: object) -> None:
        """Nothing to run."""

    def close(self) -> None:
        """Nothing to free."""


class _Pinned(_Idle):
    """Memory of the host, finite as an answer is."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.array: NDArray[np.uint8] = np.zeros(max(size, 1), np.uint8)
        self.array[:] = 0  # and really there, as page-locked memory is


class IdleDevice:
    """`sgn_rt.tensorrt.device.protocol.Device`.

    Attributes
    ----------
    pinned
        Sizes of the host memory that was asked for, bytes.
    """

    layer, name, capability = "idle", "no GPU", "sm89"
    dlpack_device = (2, 0)
    can_capture = True

    def __init__(self) -> None:
        self.pinned: list[int] = []

    @contextmanager
    def current(self) -> Iterator[None]:
        """Always."""
        yield

    def allocate(self, size: int) -> Any:
        """An address."""
        return _Idle(size)

    def allocate_pinned(self, size: int) -> Any:
        """Memory of the host."""
        self.pinned.append(size)
        return _Pinned(size)

    def stream(self) -> Any:
        """A stream."""
        return _Idle()

    def borrow(self, stream: object) -> Any:
        """A stream."""
        del stream
        return _Idle()

    def event(self, *, spin: bool = False) -> Any:
        """An event."""
        del spin
        return _Idle()

    def upload(self, target: int, source: object, size: int, stream: object) -> None:
        """Moves nothing."""

    def download(self, target: object, source: int, size: int, stream: object) -> None:
        """Moves nothing."""

    def copy(self, target: int, source: int, size: int, stream: object) -> None:
        """Moves nothing."""

    def capture(self, stream: object, work: Callable[[], None]) -> Any:
        """A graph of what ``work`` gives to the stream."""
        del stream
        work()
        return _Idle()

    def free_bytes(self) -> int:
        """Plenty."""
        return 1 << 40


class _Context:
    """An execution context of an engine that answers at once."""

    def __init__(self, kind: Kind, config: ModelConfig) -> None:
        self._kind, self._config = kind, config
        self._shapes = dict[str, tuple[int, ...]]()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        del name, address
        return True

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        (batch, *_), *_ = self._shapes.values()
        (sources,) = self._shapes.get(Tensor.CATEGORIES, (0,))
        return shape_of(self._kind, Tensor(name), self._config, batch=batch, sources=sources)

    def execute_async_v3(self, handle: int) -> bool:
        del handle
        return True


class _Engine:
    """An engine of a kind, in half precision."""

    def __init__(self, kind: Kind, config: ModelConfig) -> None:
        self._kind, self._config = kind, config
        self._names = (*GRAPH_INPUTS[kind], *GRAPH_OUTPUTS[kind])
        self.num_io_tensors = len(self._names)

    def get_tensor_name(self, index: int) -> str:
        return str(self._names[index])

    def get_tensor_dtype(self, name: str) -> Any:
        dtype = type_of(self._kind, Tensor(name), Precision.FP16)
        return SimpleNamespace(name={"float32": "FLOAT", "float16": "HALF"}.get(dtype, "INT64"))

    def get_tensor_mode(self, name: str) -> Any:
        is_input = Tensor(name) in GRAPH_INPUTS[self._kind]
        return SimpleNamespace(name="INPUT" if is_input else "OUTPUT")

    def create_execution_context(self) -> _Context:
        return _Context(self._kind, self._config)


class IdleTensorRT:
    """The module: deserialises a kind's name into an engine of that kind."""

    class ILogger:
        """As TensorRT's."""

        class Severity(IntEnum):
            """As TensorRT's."""

            INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self, config: ModelConfig) -> None:
        self._config = config

    def Runtime(self, logger: object) -> IdleTensorRT:  # noqa: N802 - TensorRT's name
        """Itself."""
        del logger
        return self

    def deserialize_cuda_engine(self, content: bytes) -> _Engine:
        """An engine of the kind that ``content`` names."""
        return _Engine(Kind(content.decode()), self._config)


class IdleKernels:
    """`sgn_rt.tensorrt.plugins.kernels.Kernels`; every flag it leaves says finite."""

    def finish(self, **arguments: object) -> None:
        """Writes nothing."""
