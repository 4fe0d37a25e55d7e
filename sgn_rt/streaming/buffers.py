"""Samples on their way through a stream: signals of which the end is kept, a queue of blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

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
        self.extend(block.shape[-1])[...] = block

    def extend(self, more: int) -> Float:
        """Add so many samples, which the caller writes into what is returned before all else."""
        kept = self.stop - self._start
        if self._first + kept + more > self._room.shape[-1]:
            self._move(2 * (kept + more) if kept else more)
        self.stop += more
        added: Float = self._room[..., self._first + kept : self._first + kept + more]
        return added

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
    """Blocks of samples that are ready, by name, taken out in other blocks.

    Sources stay arrays of their own: as one, a round of them is so large that the C library returns
    its memory to the system every time, and faulting it in again costs more than the copy.
    """

    def __init__(self) -> None:
        self._blocks: deque[dict[str, Float]] = deque()

    def put(self, block: dict[str, Float]) -> None:
        """Add the next samples of each name, shape = (channels, samples)."""
        if block:
            self._blocks.append(block)

    def take(self, names: Sequence[str], channels: int, samples: int) -> dict[str, Float]:
        """The oldest ``samples`` of each name, new arrays; every block has to hold all names."""
        empty: Float = np.zeros((channels, 0), np.float32)
        taken = {name: [empty] for name in names}
        while samples > 0 and names:
            block = self._blocks.popleft()
            length = block[names[0]].shape[1]
            here = min(samples, length)
            for name, parts in taken.items():
                parts.append(block[name][:, :here])
            if here < length:
                rest = {name: samples[:, here:] for name, samples in block.items()}
                self._blocks.appendleft(rest)
            samples -= here
        return {name: np.concatenate(parts, axis=-1) for name, parts in taken.items()}

    def drop(self, name: str) -> None:
        """Forget one name's samples."""
        for block in self._blocks:
            block.pop(name, None)

    def drain(self) -> list[dict[str, Float]]:
        """All there is, in the blocks in which it came."""
        blocks = list(self._blocks)
        self._blocks.clear()
        return blocks
