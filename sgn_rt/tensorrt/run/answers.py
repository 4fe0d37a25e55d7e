"""Page-locked memory that answers come in, handed on as arrays until the caller has read them."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.device.protocol import Device, Pinned

_GRAIN: Final = 1 << 16
"""Bytes; sizes are multiples, so that calls of about the same size share memory."""


class _Lent:
    """What arrays of an answer lie in: when the last of them is gone, so is this."""

    def __init__(self, pool: AnswerPool, pinned: Pinned, size: int) -> None:
        self._pool, self._pinned = pool, pinned
        # NumPy's way to memory of others; an array made of this holds on to it.
        self.__array_interface__ = pinned.array[:size].__array_interface__

    def __del__(self) -> None:
        self._pool.returned(self._pinned)


class AnswerPool:
    """Memory for answers, bounded: beyond ``limit`` bytes lent, what is lent is a copy.

    Safe in threads. The device has to be current for `take`.
    """

    def __init__(self, device: Device, limit: int) -> None:
        self._device, self._limit = device, limit
        # Arrays end in any thread and in the midst of anything, also of what is done here.
        self._lock = threading.RLock()
        self._free: list[Pinned] = []
        self._lent = 0
        self._closed = False

    def take(self, size: int) -> Pinned:
        """Memory of at least so many bytes; to be lent, or put back.

        Raises
        ------
        EngineError
            If there is none.
        """
        with self._lock:
            for index, pinned in enumerate(self._free):
                if size <= pinned.array.size <= 4 * size + _GRAIN:
                    return self._free.pop(index)
            # What did not fit goes, but for two: calls alternate between shapes.
            unfit, self._free = self._free[:-2], self._free[-2:]
        for pinned in unfit:
            pinned.close()
        return self._device.allocate_pinned(-(-size // _GRAIN) * _GRAIN)

    def put_back(self, pinned: Pinned) -> None:
        """Take back what `take` gave."""
        with self._lock:
            if not self._closed:
                self._free.append(pinned)
                return
        with suppress(EngineError), self._device.current():
            pinned.close()

    def lend(self, pinned: Pinned, size: int) -> NDArray[np.uint8]:
        """The first ``size`` bytes of what `take` gave, for as long as anyone looks at them."""
        with self._lock:
            fits = self._lent + pinned.array.size <= self._limit
            self._lent += pinned.array.size if fits else 0
        if fits:
            return np.asarray(_Lent(self, pinned, size))
        copy = pinned.array[:size].copy()
        self.put_back(pinned)
        return copy

    def returned(self, pinned: Pinned) -> None:
        """Called when the last array of what was lent has ended."""
        with self._lock:
            self._lent -= pinned.array.size
        self.put_back(pinned)

    def close(self) -> None:
        """Free what is not lent; the rest goes when it comes back."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        with self._device.current():
            for pinned in free:
                with suppress(EngineError):
                    pinned.close()
