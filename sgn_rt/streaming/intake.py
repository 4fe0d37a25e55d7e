"""The input of a stream: it comes in blocks, and leaves as windows at the model's rate."""

from __future__ import annotations

import warnings
from math import ceil

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.level import RunningLevel
from sgn_rt.audio.resample import Resampler
from sgn_rt.errors import LevelWarning
from sgn_rt.streaming.buffers import Signal
from sgn_rt.streaming.windows import WindowLayout


class Intake:
    """Keeps what windows to come, and the residual, still need of the input.

    Parameters
    ----------
    layout
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
        layout: WindowLayout,
        resample: Resampler,
        channels: int,
        gain: float,
        level: RunningLevel,
    ) -> None:
        self._layout, self._resample, self._gain = layout, resample, np.float32(gain)
        self._level = level
        self._raw = Signal(channels)
        self._input = Signal(channels)
        self.fed = 0

    def take(self, block: Float) -> None:
        """Add samples, shape = (channels, samples); they must not change afterwards."""
        self.fed += block.shape[1]
        self._raw.append(block)
        message = self._level.update(block)
        if message is not None:
            warnings.warn(message, LevelWarning, stacklevel=4)

    @property
    def length(self) -> int:
        """Of the signal so far, samples at the model's rate."""
        return ceil(self.fed * self._resample.ratio)

    def is_there(self, index: int) -> bool:
        """Whether all that window ``index`` sees has come."""
        return self._resample.source_span(0, self._layout.stop(index))[1] <= self.fed

    def window(self, index: int) -> Float:
        """Window ``index``, shape = (channels, N)."""
        return self._window(self._layout.start(index), self._layout.stop(index))

    def last_window(self) -> tuple[int, Float]:
        """Where the window that ends with the signal begins, and that window."""
        start = max(self.length - self._layout.window, self._layout.start(0))
        return start, self._window(start, self.length)

    def raw(self, start: int, stop: int) -> Float:
        """The input itself, samples [start, stop) at the caller's rate."""
        return self._raw.span(start, stop)

    def drop_before(self, window: int, raw: int | None) -> None:
        """Give up what lies before window ``window``, and before sample ``raw`` of the input.

        ``raw`` is None where the input itself is not wanted.
        """
        self._input.drop_before(self._layout.start(window))
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
        stop = start + self._layout.window
        low, high = max(start, 0), min(stop, self._input.stop)
        missing = (low - start, stop - high)
        return np.pad(self._input.span(low, high), ((0, 0), missing), mode="symmetric")
