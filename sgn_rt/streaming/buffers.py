"""Samples on their way through a stream: signals of which the end is kept, a queue of blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from sgn_rt._types import Float


class Signal:
    """A growing signal of which only the end is kept, zeros before and after it.

    What is kept lies in one array with room behind it. Adding to the end and giving up the start
    take time in proportion to what is added, however much is kept: one block of an hour costs no
    more than many short ones.

    Parameters
    ----------
    leading
        Axes before the samples, e.g. channels.
    start
        Position of its first sample.

    Attributes
    ----------
    stop
        One past its last sample.
    """

    def __init__(self, *leading: int, start: int = 0) -> None:
        self._room: Float = np.zeros((*leading, 0), np.float32)
        self._first = 0  # of what is kept, in the room
        self._start = self.stop = start  # of what is kept, in the signal

    def append(self, block: Float) -> None:
        """Add ``block`` [..., samples]; it is copied."""
        kept, more = self.stop - self._start, block.shape[-1]
        if self._first + kept + more > self._room.shape[-1]:
            self._move(2 * (kept + more) if kept else more)
        self._room[..., self._first + kept : self._first + kept + more] = block
        self.stop += more

    def span(self, start: int, stop: int) -> Float:
        """Samples [start, stop), a copy; anything outside the signal is zero."""
        out = np.zeros((*self._room.shape[:-1], stop - start), np.float32)
        low, high = max(start, 0), min(stop, self.stop)
        if low < high:
            assert low >= self._start, "a span that was already given up"
            shift = self._first - self._start
            out[..., low - start : high - start] = self._room[..., low + shift : high + shift]
        return out

    def drop_before(self, position: int) -> None:
        """Give up the samples before ``position``."""
        position = min(position, self.stop)
        if position > self._start:
            self._first += position - self._start
            self._start = position
            kept = self.stop - position
            if 4 * kept < self._room.shape[-1]:
                self._move(2 * kept)

    def _move(self, size: int) -> None:
        """Put what is kept at the start of a room of ``size`` samples.

        That happens after as many samples were added or given up as are moved, or half of them.
        """
        kept = self.stop - self._start
        room = np.empty((*self._room.shape[:-1], size), np.float32)
        room[..., :kept] = self._room[..., self._first : self._first + kept]
        self._room, self._first = room, 0


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
