"""One source on its way out: its windows cross-faded to a signal at the model's rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float, to_float32
from sgn_rt.streaming.buffers import Signal
from sgn_rt.streaming.windows import rise


class Track:
    """The separated signal of one category.

    Parameters
    ----------
    channels
        Of the signal.
    begin
        First sample that is known, at the model's rate.
    skip
        Samples of the first window that are not: those in which it would be cross-faded with the
        one before it, where there was one.
    start
        First sample at the caller's rate that is right, and that is given out.
    """

    def __init__(self, channels: int, *, begin: int = 0, skip: int = 0, start: int = 0) -> None:
        self.start = start
        self._tail: Float | None = None
        self._skip = skip
        self._separated = Signal(channels, start=begin)

    def join(self, sources: Sequence[NDArray[Any]], size: int) -> None:
        """Add the next window: the only copy of what an engine has given.

        Parameters
        ----------
        sources
            From the first sample that the window before does not settle, of each channel shape =
            (samples,), of any `SampleFormat`.
        size
            Samples that no later window changes; the rest is cross-faded with the next.
        """
        settled = self._separated.extend(size - self._skip)
        rest = np.empty((len(sources), len(sources[0]) - size), np.float32)
        for source, now, later in zip(sources, settled, rest, strict=True):
            to_float32(source[self._skip : size], now)
            to_float32(source[size:], later)
        if self._tail is not None:
            for part, first in ((settled, 0), (rest, size)):
                self._fade(part, first, self._tail)
        self._tail, self._skip = rest, 0

    def _fade(self, part: Float, first: int, tail: Float) -> None:
        """From the window before to what is there of this one from sample ``first`` on."""
        before = tail[:, first : first + part.shape[1]]
        head = part[:, : before.shape[1]]
        head -= before
        head *= rise(tail.shape[1])[first : first + before.shape[1]]
        head += before

    def span(self, start: int, stop: int) -> Float:
        """Samples [start, stop) at the model's rate, zeros outside the signal."""
        return self._separated.span(start, stop)

    def drop_before(self, position: int) -> None:
        """Give up the samples before ``position``."""
        self._separated.drop_before(position)
