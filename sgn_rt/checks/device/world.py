"""What the checks of part (a) run on: a device layer, and kernels compiled for the GPU at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt.checks.check import Budget, Place
from sgn_rt.checks.device.build import kernel_library
from sgn_rt.checks.device.cuda import Cuda, CudaRuntime
from sgn_rt.checks.device.transforms import CheckLibrary
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.tensorrt.device.factory import open_device, still_answers
from sgn_rt.tensorrt.device.protocol import Device, Event, Pinned
from sgn_rt.tensorrt.plugins.find import preload_cufft
from sgn_rt.tensorrt.plugins.kernels import Kernels
from sgn_rt.tensorrt.roofline import Limits


class Bench:
    """Memory and a stream for one check; all of it is freed with the check.

    Attributes
    ----------
    stream
        Everything here goes through it.
    """

    def __init__(self, device: Device, stack: ExitStack) -> None:
        self._device, self._stack = device, stack
        self.stream = self._kept(device.stream())

    def _kept(self, owned: Any) -> Any:
        self._stack.callback(lambda: _closed(owned))
        return owned

    def room(self, size: int) -> int:
        """Address of so many bytes on the device."""
        address: int = self._kept(self._device.allocate(size)).address
        return address

    def pinned(self, size: int) -> Pinned:
        """Page-locked memory."""
        pinned: Pinned = self._kept(self._device.allocate_pinned(size))
        return pinned

    def event(self) -> Event:
        """An event."""
        event: Event = self._kept(self._device.event())
        return event

    def put(self, array: NDArray[Any]) -> int:
        """Address of a copy of an array on the device, which is there when this returns."""
        address = self.room(array.nbytes)
        if array.nbytes:
            staging = self.pinned(array.nbytes)
            staging.array[: array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            self._device.upload(address, staging, array.nbytes, self.stream)
        self.stream.synchronize()
        return address

    def get(self, address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """What lies at an address, once all before is done."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        staging = self.pinned(size)
        if size:
            self._device.download(staging, address, size, self.stream)
        self.stream.synchronize()
        found: NDArray[Any] = staging.array[:size].view(dtype).reshape(shape).copy()
        return found


def _closed(owned: Any) -> None:
    with suppress(EngineError):  # whatever failed has been raised where it did
        owned.close()


@dataclass(slots=True)
class DeviceWorld:
    """A GPU through the device layer.

    Attributes
    ----------
    device, config
        The GPU, and the model whose sizes are checked and timed.
    cuda
        Times what a stream is given, and more.
    build
        Gives the kernels compiled for the device, or says why there are none.
    kernels
        Gives the plugin library's functions of a library.
    limits
        What the device moves, once it is measured.
    budget
        Of the check that runs.
    """

    device: Device
    config: ModelConfig
    cuda: Cuda
    build: Callable[[str], CheckLibrary] = lambda capability: CheckLibrary(
        kernel_library(capability)
    )
    kernels: Callable[[CheckLibrary], Kernels] = lambda library: Kernels(library.path)
    budget: Budget = field(default_factory=lambda: Budget(60.0))
    limits: Limits | None = None
    _library: CheckLibrary | None = None

    @property
    def library(self) -> CheckLibrary:
        """The kernels compiled for the device, once.

        Raises
        ------
        DependencyError
            If there is no compiler.
        PluginError
            If it fails.
        """
        if self._library is None:
            preload_cufft()
            self._library = self.build(self.device.capability)
        return self._library

    @contextmanager
    def bench(self) -> Iterator[Bench]:
        """A stream, and memory, with the device current."""
        with self.device.current(), ExitStack() as stack:
            bench = Bench(self.device, stack)
            try:
                yield bench
            finally:
                with suppress(EngineError):  # whatever failed has been raised where it did
                    bench.stream.synchronize()

    @property
    def is_usable(self) -> bool:
        """Whether the device still answers."""
        return still_answers(self.device)

    def close(self) -> None:
        """Nothing outlives its check."""


def open_world(place: Place) -> DeviceWorld:
    """The world on the GPU at hand.

    Raises
    ------
    DependencyError
        If there is no device layer.
    UnavailableError
        If there is no GPU.
    EngineError
        If it cannot be used.
    """
    device = open_device()
    return DeviceWorld(device, Bundle.open(place.bundle).config, CudaRuntime())
