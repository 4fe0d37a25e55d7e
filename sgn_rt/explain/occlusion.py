"""What a presence rests on: which part of a window it falls without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sgn_rt._types import Float
from sgn_rt.explain.network import Network
from sgn_rt.explain.windows import Windows
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.sgn_config import as_sgn
from sgn_rt.model.transform import Transform

PARTS = 8
"""Of a window along either axis that are silenced, one at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Occlusion:
    """How far a category's presence falls when a part of a window is silent.

    Attributes
    ----------
    category
        Its position.
    window
        Number of the window: of a separation's own, the one in which the category is most present.
    presence
        There, with nothing silenced.
    fall
        shape = (PARTS of frequency, PARTS of time), float32, rising with frequency: presence minus
        presence without that part; negative where it rises.
    """

    category: int
    window: int
    presence: float
    fall: Float


def occlude(
    network: Network,
    config: ModelConfig,
    signal: Float,
    windows: Windows,
    presence: Float,
    shown: tuple[int, ...],
    tell: Callable[[float], object],
) -> list[Occlusion]:
    """Silence every part of the window in which each category is most present, one at a time.

    Categories that are most present in one window share its runs of the network.

    Parameters
    ----------
    network, config, signal
        As `sgn_rt.explain.hearing.listen`.
    windows
        Of the recording.
    presence
        Of every window, shape = (W, C).
    shown
        Categories.
    tell
        Told what part is done, 0 to 1.
    """
    own = np.flatnonzero(windows.own)
    strongest = {i: int(own[np.argmax(presence[own, i])]) for i in shown}
    fallen = {}
    chosen = sorted(set(strongest.values()))
    for done, window in enumerate(chosen):
        fallen[window] = _without(network, config, windows.cut(signal, window))
        tell((done + 1) / len(chosen))
    return [
        Occlusion(
            category=i,
            window=window,
            presence=float(presence[window, i]),
            fall=presence[window, i] - fallen[window][:, :, i],
        )
        for i, window in strongest.items()
    ]


def _without(network: Network, config: ModelConfig, window: Float) -> Float:
    """Presence of every category without each part, shape = (PARTS, PARTS, C)."""
    transform = Transform(config)
    log_magnitude = transform.log_magnitude(transform.stft(window))[0]
    rows, columns = config.frequency_bins // PARTS, config.frames // PARTS
    silence = np.float32(np.log(as_sgn(config, "occlusion").log_epsilon))
    found = np.empty((PARTS, PARTS, len(config.categories)), np.float32)
    for row in range(PARTS):
        for column in range(PARTS):
            part = log_magnitude.copy()
            part[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns] = silence
            found[row, column] = network.signals(part).presence
    return found
