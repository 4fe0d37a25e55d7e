"""What networks leave on the device for synthesis, kept as long as anyone may ask for it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Tensor
from sgn_rt.tensorrt.device.protocol import Device, Memory, Stream, aligned

STATE: Final = (Tensor.SPECTRUM, Tensor.BASIS, Tensor.GUIDE)
"""What sources are made of."""


class Slot:
    """Memory for the states of a batch of windows.

    Attributes
    ----------
    rows
        Windows that it has room for.
    """

    def __init__(self, memory: Memory, rows: int, row_bytes: Mapping[Tensor, int]) -> None:
        self.memory, self.rows = memory, rows
        self._row_bytes = row_bytes

    def row_bytes(self, name: Tensor) -> int:
        """Of a window's tensor."""
        return self._row_bytes[name]

    def address(self, name: Tensor, row: int) -> int:
        """Of a window's tensor."""
        start = self.memory.address
        for other, size in self._row_bytes.items():
            if other == name:
                return start + row * size
            start += aligned(self.rows * size)
        raise KeyError(name)


class Held:
    """States of a batch, shared by what its windows came to; given back with the last of them.

    Attributes
    ----------
    slot
        Where they are; None once they had to make room for newer ones.
    users
        Who reads them just now.
    """

    def __init__(self, pool: StatePool, slot: Slot) -> None:
        self._pool, self.users = pool, 0
        self.slot: Slot | None = slot

    def __del__(self) -> None:
        if self.slot is not None:
            self._pool.returned(self.slot)

    @contextmanager
    def in_use(self) -> Iterator[Slot | None]:
        """The slot, or None; while it is in use, nothing takes its place."""
        with self._pool.lock:
            self.users += 1
            slot = self.slot
        try:
            yield slot
        finally:
            with self._pool.lock:
                self.users -= 1


class StatePool:
    """Slots, bounded in bytes: where no room is left, the oldest states make some.

    Safe in threads.

    Parameters
    ----------
    device
        Where they are; has to be current for `hold`.
    row_bytes
        Of a window's `STATE`.
    limit
        Bytes, altogether.
    """

    def __init__(self, device: Device, row_bytes: Mapping[Tensor, int], limit: int) -> None:
        self._device, self._row_bytes, self._limit = device, row_bytes, limit
        # States end in any thread and in the midst of anything, also of what is done here.
        self.lock = threading.RLock()
        self._free: list[Slot] = []
        self._held: list[weakref.ref[Held]] = []
        self._bytes = 0
        self._closed = False

    def hold(self, rows: int) -> Held | None:
        """Room for the states of a batch; None where there is none to be had."""
        size = sum(aligned(rows * each) for each in self._row_bytes.values())
        with self.lock:
            slot = self._free_slot(rows) or self._new_slot(rows, size) or self._oldest_slot(rows)
            if slot is None:
                return None
            held = Held(self, slot)
            self._held = [each for each in self._held if each() is not None]
            self._held.append(weakref.ref(held))
            return held

    def returned(self, slot: Slot) -> None:
        """Called when the last who may ask for states has ended."""
        with self.lock:
            if not self._closed:
                self._free.append(slot)
                return
        with suppress(EngineError), self._device.current():
            slot.memory.close()

    def close(self) -> None:
        """Free what is not held; the rest goes with who holds it."""
        with self.lock:
            self._closed = True
            free, self._free = self._free, []
        with self._device.current():
            for slot in free:
                with suppress(EngineError):
                    slot.memory.close()

    def _free_slot(self, rows: int) -> Slot | None:
        fitting = [slot for slot in self._free if slot.rows >= rows]
        if not fitting:
            return None
        smallest = min(fitting, key=lambda slot: slot.rows)
        self._free.remove(smallest)
        return smallest

    def _new_slot(self, rows: int, size: int) -> Slot | None:
        while self._free and self._bytes + size > self._limit:
            self._let_go(self._free.pop(0))  # too small for this
        if self._bytes + size > self._limit:
            return None
        try:
            memory = self._device.allocate(size)
        except EngineError:  # the device is full: with fewer states everything works as well
            return None
        self._bytes += size
        return Slot(memory, rows, self._row_bytes)

    def _oldest_slot(self, rows: int) -> Slot | None:
        """The oldest slot that is large enough and not in use; its states are lost."""
        for reference in self._held:
            held = reference()
            if held is None or held.users or held.slot is None or held.slot.rows < rows:
                continue
            slot, held.slot = held.slot, None
            return slot
        return None

    def _let_go(self, slot: Slot) -> None:
        self._bytes -= slot.memory.size
        slot.memory.close()


def store(
    device: Device, slot: Slot, rows: int, address: Callable[[Tensor], int], stream: Stream
) -> None:
    """Copy the first windows' states to a slot, from where a lane has its tensors."""
    for name in STATE:
        size = rows * slot.row_bytes(name)
        device.copy(slot.address(name, 0), address(name), size, stream)


def load(
    device: Device,
    places: Sequence[tuple[Slot, int]],
    address: Callable[[Tensor], int],
    stream: Stream,
) -> None:
    """Copy states to where a lane has its tensors, those that lie in a row at once.

    Parameters
    ----------
    device, stream
        What copies, and in which order.
    places
        Slot and row of each window.
    address
        Of a lane's tensor.
    """
    start = 0
    for row in range(1, len(places) + 1):
        slot, place = places[start]
        if row < len(places) and places[row] == (slot, place + row - start):
            continue
        for name in STATE:
            size = slot.row_bytes(name)
            target = address(name) + start * size
            device.copy(target, slot.address(name, place), (row - start) * size, stream)
        start = row
