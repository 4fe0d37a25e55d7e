"""Where the sources of a recording go while it is put through a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.recording import Recording
from sgn_rt.audio.samples import residual


class Store(Protocol):
    """Where sources of a recording go."""

    def write(self, name: str, start: int, block: Float) -> None:
        """Keep samples of a source from ``start`` on, shape = (channels, samples)."""
        ...

    def drop(self, name: str) -> None:
        """Forget a source."""
        ...

    def add_residual(self, name: str, names: Sequence[str], recording: Recording) -> None:
        """Keep what is left of the recording without the sources ``names``, all of them whole."""
        ...


class PieceWriter:
    """Gives pieces of a stream to a store, each where it belongs."""

    def __init__(self, store: Store, until: dict[str, int] | None = None) -> None:
        self._store, self._until = store, until
        self._next: dict[str, int] = {}

    def write(
        self, pieces: list[dict[str, Float]], begins: Mapping[str, int], given_up: Sequence[str]
    ) -> None:
        """Write pieces, the first of a source at where that begins; forget what was given up."""
        for name in given_up:
            self._next.pop(name, None)
            self._store.drop(name)
        while pieces:  # so that a piece is let go of when it is done with
            self._write(pieces.pop(0), begins)

    def _write(self, piece: dict[str, Float], begins: Mapping[str, int]) -> None:
        for name, block in piece.items():
            start = self._next.get(name, begins.get(name, 0))
            self._next[name] = start + block.shape[1]
            part = block if self._until is None else block[:, : max(0, self._until[name] - start)]
            if part.shape[1]:
                self._store.write(name, start, part)

    @property
    def is_full(self) -> bool:
        """Whether nothing of what is to come is wanted."""
        until = self._until
        return until is not None and all(
            self._next.get(name, 0) >= stop for name, stop in until.items()
        )


class MemoryStore:
    """Sources of a recording as arrays.

    Attributes
    ----------
    sources
        Name -> shape = (channels, samples), float32.
    """

    def __init__(self, channels: int, samples: int) -> None:
        self._shape = (channels, samples)
        self.sources: dict[str, Float] = {}

    def write(self, name: str, start: int, block: Float) -> None:
        """As `Store.write`."""
        if name not in self.sources:
            self.sources[name] = np.empty(self._shape, np.float32)
        self.sources[name][:, start : start + block.shape[1]] = block

    def drop(self, name: str) -> None:
        """As `Store.drop`."""
        self.sources.pop(name, None)

    def add_residual(self, name: str, names: Sequence[str], recording: Recording) -> None:
        """Keep what is left of the recording without the sources ``names``."""
        at, size = 0, 1 << 16
        for block in recording.blocks(size):
            span = slice(at, at + block.shape[1])
            self.write(name, at, residual(block, [self.sources[n][:, span] for n in names]))
            at += block.shape[1]
