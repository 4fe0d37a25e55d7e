"""Sample-rate conversion on a GPU: filters that stay there, and spans that go there and back."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.device.protocol import Device, Memory, Pinned, Stream, aligned
from sgn_rt.tensorrt.plugins.kernels import FilterTables, Kernels
from sgn_rt.tensorrt.plugins.polyphase import without_kernel

log = logging.getLogger(__name__)


class DeviceFilter:
    """A filter's tables on a device.

    Parameters
    ----------
    device
        Where; it has to be current, here and in `close`.
    stream
        What copies them; it is waited for.
    filter_
        The tables.
    """

    def __init__(self, device: Device, stream: Stream, filter_: FilterTables) -> None:
        coefficients, places = filter_.coefficients, filter_.places
        offset = aligned(coefficients.nbytes)
        with ExitStack() as failing:
            self._memory: Memory = device.allocate(offset + places.nbytes)
            failing.callback(self._memory.close)
            with closing(device.allocate_pinned(offset + places.nbytes)) as staging:
                staging.array[: coefficients.nbytes] = coefficients.view(np.uint8).ravel()
                staging.array[offset : offset + places.nbytes] = places.view(np.uint8)
                device.upload(self._memory.address, staging, offset + places.nbytes, stream)
                stream.synchronize()
            failing.pop_all()
        self.coefficients, self.places = self._memory.address, self._memory.address + offset

    def close(self) -> None:
        """Free them."""
        self._memory.close()


class DeviceLauncher:
    """Runs `PolyphaseResampler` on a device, one thread at a time; for spans that the host has.

    Parameters
    ----------
    kernels
        Of the plugin library.
    device
        Where.
    """

    def __init__(self, kernels: Kernels, device: Device) -> None:
        self._kernels, self._device = kernels, device
        self._filters: dict[tuple[int, int], DeviceFilter] = {}
        self._rooms: dict[str, tuple[Memory, Pinned]] = {}
        with device.current():
            kernels.load()
            self._stream = device.stream()

    def __call__(
        self, filter_: FilterTables, source: Float, span: NDArray[Any], count: int
    ) -> Float:
        """`count` outputs of every row of ``source``.

        Raises
        ------
        EngineError
            If the device has no memory left, or fails.
        """
        given = source.nbytes + span.nbytes
        size = len(source) * count * source.itemsize
        with self._device.current():
            tables = self._filter(filter_)
            memory, staging = self._room("given", given)
            out, result = self._room("out", size)
            staging.array[: span.nbytes] = span.view(np.uint8)
            staging.array[span.nbytes : given] = source.view(np.uint8).ravel()
            self._device.upload(memory.address, staging, given, self._stream)
            self._kernels.resample(
                source=memory.address + span.nbytes,
                spans=memory.address,
                out=out.address,
                coefficients=tables.coefficients,
                places=tables.places,
                shape=(1, *source.shape),
                count=count,
                filter_=filter_,
                stream=self._stream.handle,
            )
            self._device.download(result, out.address, size, self._stream)
            self._stream.synchronize()
            return result.array[:size].view(np.float32).reshape(len(source), count).copy()

    def close(self) -> None:
        """Free all of it."""
        with self._device.current():
            for each in self._filters.values():
                each.close()
            for pair in self._rooms.values():
                for memory in pair:
                    memory.close()
            self._stream.close()
        self._filters, self._rooms = {}, {}

    def _filter(self, filter_: FilterTables) -> DeviceFilter:
        ratio = filter_.up, filter_.down
        if ratio not in self._filters:
            self._filters[ratio] = DeviceFilter(self._device, self._stream, filter_)
        return self._filters[ratio]

    def _room(self, use: str, size: int) -> tuple[Memory, Pinned]:
        """At least that many bytes on the device, and as many on the host."""
        if use in self._rooms and self._rooms[use][0].size < size:
            for memory in self._rooms.pop(use):
                memory.close()
        if use not in self._rooms:
            on_device = self._device.allocate(size)
            try:
                self._rooms[use] = on_device, self._device.allocate_pinned(size)
            except EngineError:
                on_device.close()
                raise
        return self._rooms[use]


class Conversions:
    """As `DeviceLauncher`, for several threads, and of use for as long as a stream may need it.

    Parameters
    ----------
    name
        Of the engine beside which it works, for the log.
    kernels, device
        As `DeviceLauncher`; nothing is allocated before it is called.
    """

    def __init__(self, name: str, kernels: Kernels, device: Device) -> None:
        self._name, self._kernels, self._device = name, kernels, device
        self._launch: DeviceLauncher | None = None
        self._lock, self._ended = threading.Lock(), False

    def __call__(
        self, filter_: FilterTables, source: Float, span: NDArray[Any], count: int
    ) -> Float:
        """`count` outputs of every row of ``source``, from the device if it can."""
        failure = None
        with self._lock:
            if not self._ended:
                try:
                    if self._launch is None:
                        self._launch = DeviceLauncher(self._kernels, self._device)
                    return self._launch(filter_, source, span, count)
                except EngineError as error:
                    failure = str(error)
                    self._end()
        if failure is not None:  # with no lock held: who hears of it may well close the engine
            told = "engine %s: sample rates are converted by the CPU from here on: %s"
            log.warning(told, self._name, failure)
        return without_kernel(filter_, source, span, count)

    def close(self) -> None:
        """Free what is on the device; calls go on by the CPU."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        launch, self._launch, self._ended = self._launch, None, True
        if launch is not None:
            with suppress(EngineError):
                launch.close()
