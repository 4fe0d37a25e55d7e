"""The input of a stream: it comes in blocks, and leaves as windows at the model's rate."""

from __future__ import annotations

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.level import RunningLevel
from sgn_rt.audio.resample import Resampler
from sgn_rt.streaming.buffers import Signal
from sgn_rt.streaming.grid import Grid


class Intake:
    """Keeps what windows to come, and the residual, still need of the input.

    Parameters
    ----------
    grid
        Where windows lie.
    resample
        From the caller's rate to the model's.
    channels
        Of the signal.
    gain
        Factor on what the network sees; what is kept for the residual is as it came.
    level
        Watches how loud it is.

    Attributes
    ----------
    fed
        Samples so far, at the caller's rate.
    """

    def __init__(
        self,
        grid: Grid,
        resample: Resampler,
        channels: int,
        gain: float,
        level: RunningLevel,
    ) -> None:
        self._grid, self._resample, self._gain = grid, resample, np.float32(gain)
        self._level, self._ratio = level, resample.ratio
        self._raw = Signal(channels)
        self._input = Signal(channels)
        self.fed = 0

    def take(self, block: Float) -> str | None:
        """Add samples, shape = (channels, samples); what has to be said, once, of their level."""
        self.fed += block.shape[1]
        self._raw.append(block)
        return self._level.update(block)

    @property
    def length(self) -> int:
        """Of the signal so far, samples at the model's rate."""
        return -(-self.fed * self._ratio.numerator // self._ratio.denominator)

    def is_there(self, index: int) -> bool:
        """Whether all that window ``index`` sees has come."""
        return self.needed(index) <= self.fed

    def needed(self, index: int) -> int:
        """Samples at the caller's rate that must have come for window ``index``."""
        return self._resample.source_span(0, self._grid.stop(index))[1]

    def window(self, index: int) -> Float:
        """Window ``index``, shape = (channels, N)."""
        return self._window(self._grid.start(index), self._grid.stop(index))

    def last_window(self) -> tuple[int, Float]:
        """Where the window that ends with the signal begins, and that window."""
        start = max(self.length - self._grid.window, self._grid.first_start)
        return start, self._window(start, self.length)

    def raw(self, start: int, stop: int) -> Float:
        """The input itself, samples [start, stop) at the caller's rate."""
        return self._raw.span(start, stop)

    def drop_before(self, position: int, raw: int | None) -> None:
        """Give up what lies before ``position``, at the model's rate, and before ``raw``.

        ``raw`` is a sample of the input itself; None where that is not wanted.
        """
        self._input.drop_before(position)
        oldest, _ = self._resample.source_span(self._input.stop, self._input.stop + 1)
        self._raw.drop_before(oldest if raw is None else min(oldest, raw))

    def _window(self, start: int, need: int) -> Float:
        """A window from ``start`` on, of a signal of which ``need`` samples must be there.

        What lies before the signal, or beyond it, is filled with the window's own sound, mirrored:
        the network has learnt on windows full of sound, and separates them better than half-empty
        ones.
        """
        have = self._input.stop
        if have < need:
            span = self._raw.span(*self._resample.source_span(have, need))
            converted = self._resample(span, have, need)
            if self._gain != 1.0:
                converted = converted * self._gain
            self._input.append(converted)
        stop = start + self._grid.window
        low, high = max(start, 0), min(stop, self._input.stop)
        missing = (low - start, stop - high)
        return np.pad(self._input.span(low, high), ((0, 0), missing), mode="symmetric")
