"""Named memory of a lane: on the device, and beside some of it page-locked on the host."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from numpy.typing import DTypeLike, NDArray

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.device.protocol import Device, Memory, Pinned, Stream


class Buffers:
    """Memory for the largest call so far; the device has to be current."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memory: dict[str, Memory] = {}
        self._pinned: dict[str, Pinned] = {}
        self._sizes: dict[str, int] = {}

    def fit(self, name: str, size: int, *, staged: bool) -> bool:
        """Make room for a call's ``size`` bytes; whether the address has changed."""
        self._sizes[name] = size
        old = self._memory.get(name)
        if old is not None and old.size >= size:
            return False
        if old is not None:
            del self._memory[name]
            old.close()
        self._memory[name] = self._device.allocate(size)
        if staged:
            staging = self._pinned.pop(name, None)
            if staging is not None:
                staging.close()
            self._pinned[name] = self._device.allocate_pinned(size)
        return True

    def address(self, name: str) -> int:
        """On the device."""
        return self._memory[name].address

    def host(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """A call's bytes on the host."""
        return self._pinned[name].array[: self._sizes[name]].view(dtype).reshape(shape)

    def upload(self, name: str, stream: Stream) -> None:
        """Copy a call's bytes to the device."""
        target, size = self._memory[name].address, self._sizes[name]
        self._device.upload(target, self._pinned[name], size, stream)

    def download(self, name: str, stream: Stream) -> None:
        """Copy a call's bytes to the host."""
        source, size = self._memory[name].address, self._sizes[name]
        self._device.download(self._pinned[name], source, size, stream)

    def close(self) -> None:
        """Free everything."""
        closers = [memory.close for memory in self._memory.values()]
        closers += [pinned.close for pinned in self._pinned.values()]
        for close in closers:
            with suppress(EngineError):
                close()
