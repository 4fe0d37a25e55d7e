"""Samples on their way through a stream: signals of which the end is kept, a queue of blocks."""

from __future__ import annotations

from collections import deque

import numpy as np

from sgn_rt._types import Float


class Signal:
    """A growing signal of which only the end is kept, zeros before and after it.

    Attributes
    ----------
    stop
        One past its last sample.
    """

    def __init__(self, *leading: int) -> None:
        self._blocks: list[Float] = [np.zeros((*leading, 0), np.float32)]
        self._start = 0
        self.stop = 0

    def append(self, block: Float) -> None:
        """Add ``block`` [..., samples]; it must not change afterwards."""
        self._blocks.append(block)
        self.stop += block.shape[-1]

    def span(self, start: int, stop: int) -> Float:
        """Samples [start, stop), a copy; anything outside the signal is zero."""
        kept = self._joined()
        out = np.zeros((*kept.shape[:-1], stop - start), np.float32)
        low, high = max(start, 0), min(stop, self.stop)
        if low < high:
            assert low >= self._start, "a span that was already given up"
            out[..., low - start : high - start] = kept[..., low - self._start : high - self._start]
        return out

    def drop_before(self, position: int) -> None:
        """Give up the samples before ``position``."""
        position = min(position, self.stop)
        if position > self._start:
            self._blocks = [self._joined()[..., position - self._start :].copy()]
            self._start = position

    def _joined(self) -> Float:
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks, axis=-1)]
        return self._blocks[0]


class Queue:
    """Blocks of samples that are ready, taken out in other blocks.

    Parameters
    ----------
    rows, channels
        Every block is of shape = (rows, channels, samples).
    """

    def __init__(self, rows: int, channels: int) -> None:
        self._blocks: deque[Float] = deque()
        self._empty: Float = np.zeros((rows, channels, 0), np.float32)

    def put(self, block: Float) -> None:
        """Add the next samples."""
        self._blocks.append(block)

    def take(self, samples: int) -> Float:
        """The oldest ``samples``, a new array."""
        taken = [self._empty]
        while samples > 0:
            block = self._blocks.popleft()
            taken.append(block[..., :samples])
            if block.shape[-1] > samples:
                self._blocks.appendleft(block[..., samples:])
            samples -= taken[-1].shape[-1]
        return np.concatenate(taken, axis=-1)
