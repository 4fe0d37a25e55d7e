"""Samples on their way through a stream: signals of which the end is kept, a queue of blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

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

    Rows stay arrays of their own: as one, a round of them is so large that the C library returns
    its memory to the system every time, and faulting it in again costs more than the copy.

    Parameters
    ----------
    rows, channels
        Every block has so many rows, each of shape = (channels, samples).
    """

    def __init__(self, rows: int, channels: int) -> None:
        self._blocks: deque[list[Float]] = deque()
        self._empty: Float = np.zeros((channels, 0), np.float32)
        self._rows = rows

    def put(self, block: Iterable[Float]) -> None:
        """Add the next samples, [channels, samples] of each row."""
        self._blocks.append(list(block))

    def take(self, samples: int) -> list[Float]:
        """The oldest ``samples`` of each row, new arrays."""
        taken: list[list[Float]] = [[self._empty] for _ in range(self._rows)]
        while samples > 0:
            block = self._blocks.popleft()
            here = min(samples, block[0].shape[-1])
            for parts, row in zip(taken, block, strict=True):
                parts.append(row[:, :here])
            if here < block[0].shape[-1]:
                self._blocks.appendleft([row[:, here:] for row in block])
            samples -= here
        return [np.concatenate(parts, axis=-1) for parts in taken]

    def drain(self) -> list[list[Float]]:
        """All there is, in the blocks in which it came."""
        blocks = list(self._blocks)
        self._blocks.clear()
        return blocks
