"""A queue of samples between two threads that never wait for each other."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from sgn_rt._types import Float


class Ring:
    """Samples of some rows, written by one thread and read by another; neither takes a lock.

    Each of the two counters is changed by one side alone, after the samples that it speaks of were
    copied. The interpreter stores and loads a reference as one, and in order; so the other side
    sees the counter of before, or that of after with the samples there. All memory is taken at the
    start.

    Parameters
    ----------
    rows
        Signals side by side.
    capacity
        Samples of each that there is room for.

    Attributes
    ----------
    written, read
        Samples that went in and came out so far.
    """

    def __init__(self, rows: int, capacity: int) -> None:
        self._samples: Float = np.zeros((rows, capacity), np.float32)
        self.capacity = capacity
        self.written = self.read = 0

    @property
    def filled(self) -> int:
        """Samples that wait to be read."""
        return self.written - self.read

    @property
    def room(self) -> int:
        """Samples that can be written."""
        return self.capacity - self.filled

    def place(self, block: Float, row: int = 0) -> None:
        """Copy samples [rows, samples] behind those written, from ``row`` on; `commit` tells."""
        at = 0
        for part in self._parts(self.written, block.shape[1], row, len(block)):
            part[:] = block[:, at : at + part.shape[1]]
            at += part.shape[1]

    def placed(self, count: int) -> Iterator[Float]:
        """Where `place` has put so many samples, in one part or two."""
        return self._parts(self.written, count, 0, len(self._samples))

    def commit(self, count: int) -> None:
        """Let the reader have what was placed."""
        self.written += count

    def copy_to(self, out: Float, row: int = 0) -> None:
        """Copy the oldest samples to ``out`` [rows, samples], from ``row`` on; they stay."""
        at = 0
        for part in self._parts(self.read, out.shape[1], row, len(out)):
            out[:, at : at + part.shape[1]] = part
            at += part.shape[1]

    def release(self, count: int) -> None:
        """Give the room of the oldest samples back."""
        self.read += count

    def _parts(self, start: int, count: int, row: int, rows: int) -> Iterator[Float]:
        first = start % self.capacity
        here = min(count, self.capacity - first)
        if here:
            yield self._samples[row : row + rows, first : first + here]
        if count > here:
            yield self._samples[row : row + rows, : count - here]


class Arrivals:
    """When the samples of a `Ring` came: written by its writer, read by its reader, as the ring.

    Blocks that follow each other closely count as one, which came with the first of them: a sample
    may be thought to be there a little too early, never too late.

    Parameters
    ----------
    span
        Samples over which times are kept apart.
    """

    _MOST = 2048

    def __init__(self, span: int) -> None:
        self._least = max(1, -(-span // (self._MOST - 4)))
        self._starts = array("q", bytes(8 * self._MOST))
        self._times = array("d", bytes(8 * self._MOST))
        self._written = self._read = 0

    def add(self, start: int, time_s: float) -> None:
        """Samples from ``start`` on come at a time."""
        last = self._starts[(self._written - 1) % self._MOST] if self._written else -self._least
        if start - last >= self._least and self._written - self._read < self._MOST - 1:
            self._starts[self._written % self._MOST] = start
            self._times[self._written % self._MOST] = time_s
            self._written += 1

    def at(self, sample: int) -> float:
        """When a sample came; those before it are not asked for any more."""
        while self._read + 1 < self._written:
            if self._starts[(self._read + 1) % self._MOST] > sample:
                break
            self._read += 1
        return self._times[self._read % self._MOST]
