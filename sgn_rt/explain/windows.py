"""Which windows of a recording are looked into: those that a separation hears, and more between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.windows import WindowLayout

BETWEEN = 6
"""Windows for each step of a separation: its own one, and five in between."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows laid on a recording, at the model's rate.

    Attributes
    ----------
    starts
        First sample of each, shape = (W,), int64, rising.
    own
        Which of them a separation of the whole file hears, shape = (W,), bool.
    samples
        Of the recording.
    length
        Of a window, samples.
    """

    starts: NDArray[np.int64]
    own: NDArray[np.bool_]
    samples: int
    length: int

    @classmethod
    def of(cls, config: ModelConfig, samples: int) -> Windows:
        """As a separation lays them (`WindowLayout.offline`), and `BETWEEN`."""
        layout = WindowLayout.offline(config)
        count = 1
        while layout.final(count - 1) < samples:
            count += 1
        places = np.arange((count - 1) * BETWEEN + 1)
        starts = layout.start(0) + places * layout.step // BETWEEN
        # Beside its own a separation would hear no window that holds hardly any sound.
        own = places % BETWEEN == 0
        whole = starts + config.window_samples <= samples
        kept = own | whole
        return cls(starts[kept], own[kept], samples, config.window_samples)

    @property
    def sounding(self) -> NDArray[np.float64]:
        """Part of each window that lies within the recording, 0 to 1; the rest is silence."""
        inside = np.minimum(self.starts + self.length, self.samples) - np.maximum(self.starts, 0)
        return inside / self.length

    def cut(self, signal: Float, index: int) -> Float:
        """Window ``index`` of a signal [samples]: silence where the signal is not."""
        start = int(self.starts[index])
        window = np.zeros(self.length, np.float32)
        part = signal[max(0, start) : max(0, start + self.length)]
        first = max(0, -start)
        window[first : first + len(part)] = part
        return window

    def nearest(self, at: NDArray[np.float64]) -> NDArray[np.int64]:
        """Of a separation's own windows the one whose middle is nearest to each sample ``at``.

        That is the one that is heard most there: the border lies in the middle of a cross-fade.
        """
        own = np.flatnonzero(self.own)
        middles = self.starts[own] + self.length / 2
        borders = (middles[1:] + middles[:-1]) / 2
        return own[np.searchsorted(borders, at, side="right")]
