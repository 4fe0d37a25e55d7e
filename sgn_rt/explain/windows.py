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
    borders
        Sample at which each own window but the first takes over, the middle of a cross-fade.
    samples
        Of the recording.
    length
        Of a window, samples.
    """

    starts: NDArray[np.int64]
    own: NDArray[np.bool_]
    borders: NDArray[np.int64]
    samples: int
    length: int

    @classmethod
    def of(cls, config: ModelConfig, samples: int) -> Windows:
        """As a separation lays them, the last one ending with the recording, and `BETWEEN`."""
        layout = WindowLayout.offline(config)
        own: list[int] = []
        while layout.stop(len(own)) <= samples:
            own.append(layout.start(len(own)))
        if layout.final(len(own) - 1) < samples:
            own.append(max(samples - layout.window, layout.start(0)))
        borders = [layout.final(i) + layout.fade // 2 for i in range(len(own) - 1)]
        between = range(own[0], own[-1], max(1, layout.step // BETWEEN))
        starts = np.array(sorted({*between, *own}), np.int64)
        return cls(
            starts, np.isin(starts, own), np.array(borders, np.int64), samples, layout.window
        )

    def cut(self, signal: Float, index: int) -> Float:
        """Window ``index`` of a signal [samples]; beyond its end mirrored, as a separation does."""
        start = int(self.starts[index])
        part = signal[start : start + self.length]
        window: Float = np.pad(part, (0, self.length - len(part)), mode="symmetric")
        return window

    def heard_at(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the window that a separation hears at each sample, the most in cross-fades."""
        own = np.flatnonzero(self.own)
        return own[np.searchsorted(self.borders, at, side="right")]
