"""What a network heard in a recording, as arrays: the one thing that all else here is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.explain.axes import claims_of, frequencies_hz, on_grid
from sgn_rt.explain.network import Network
from sgn_rt.explain.windows import Windows
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.transform import Transform


@dataclass(frozen=True, kw_only=True, eq=False)
class Hearing:
    """Signals of every window, and what is joined of them along the recording.

    W windows, C categories, S categories shown, L rows of the log-frequency axis, K columns, one
    every hop.

    Attributes
    ----------
    config
        The model's configuration.
    windows
        Which windows.
    presence, embedding, assignment
        As `sgn_rt.explain.network.Signals`, shape = (W, C), (W, C, D), (W, C, P).
    shown
        Positions of the categories that are shown, the most present first.
    log_magnitude
        What the network saw, shape = (L, K), float32, natural logarithm.
    masks
        Of the categories shown, shape = (S, L, K), float16, 0 to 1.
    """

    config: ModelConfig
    windows: Windows
    presence: Float
    embedding: Float
    assignment: Float
    shown: tuple[int, ...]
    log_magnitude: Float
    masks: NDArray[np.float16]

    @property
    def names(self) -> list[str]:
        """Of the categories shown."""
        return [self.config.categories[i] for i in self.shown]

    @property
    def start_s(self) -> NDArray[np.float64]:
        """Second at which each window begins, shape = (W,)."""
        return self.windows.starts / self.config.sample_rate

    @property
    def duration_s(self) -> float:
        """Of the recording."""
        return self.windows.samples / self.config.sample_rate

    @cached_property
    def column_s(self) -> NDArray[np.float64]:
        """Second of each column, shape = (K,)."""
        return _column_samples(self.config, self.windows.samples) / self.config.sample_rate

    @cached_property
    def row_hz(self) -> NDArray[np.float64]:
        """Frequency of each row, shape = (L,)."""
        return frequencies_hz(self.config)

    @cached_property
    def claims(self) -> Float:
        """Share of each feature token that each category claims, shape = (W, C, P)."""
        return claims_of(self.assignment)

    @cached_property
    def joined_claims(self) -> Float:
        """`claims` along the recording, of the categories shown, shape = (S, rows of tokens, K)."""
        grid = on_grid(self.claims[:, list(self.shown)], self.config)
        window, frame = _places(self.config, self.windows)
        return np.moveaxis(grid[window, :, :, frame * grid.shape[-1] // self.config.frames], 0, -1)

    @cached_property
    def power(self) -> Float:
        """Of the mixture at each row and column, shape = (L, K), float32."""
        return _power(self.config, self.log_magnitude)

    def power_of(self, signal: Float) -> Float:
        """As `power`, of another signal of the recording's length, such as a true stem."""
        transform, windows = Transform(self.config), self.windows
        seen = {
            index: transform.log_magnitude(transform.stft(windows.cut(signal, index)))[0]
            for index in np.flatnonzero(windows.own).tolist()
        }
        return _power(self.config, _joined(self.config, windows, seen))


def listen(
    network: Network,
    config: ModelConfig,
    signal: Float,
    *,
    wanted: Callable[[Float], Sequence[int]],
    tell: Callable[[float], object],
) -> Hearing:
    """Have a network hear a recording, window by window.

    Parameters
    ----------
    network
        Open to view.
    config
        The model's configuration.
    signal
        At the model's rate and at the level that the network is to hear, shape = (samples,).
    wanted
        Positions of the categories to show, from the presence in a separation's own windows
        [windows, C].
    tell
        Told what part is done, 0 to 1.
    """
    windows, transform = Windows.of(config, len(signal)), Transform(config)
    count = len(windows.starts)
    steps = count + int(windows.own.sum())
    seen: dict[int, Float] = {}
    found = []
    for index in range(count):
        log_magnitude = transform.log_magnitude(transform.stft(windows.cut(signal, index)))[0]
        if windows.own[index]:
            seen[index] = log_magnitude
        found.append(network.signals(log_magnitude))
        tell((index + 1) / steps)
    presence, embedding, assignment = (np.stack(each) for each in zip(*found, strict=True))
    shown = tuple(wanted(presence[windows.own]))
    masks = {}
    for done, (index, log_magnitude) in enumerate(seen.items(), start=count + 1):
        masks[index] = network.masks(log_magnitude, shown).astype(np.float16)
        tell(done / steps)
    return Hearing(
        config=config,
        windows=windows,
        presence=presence,
        embedding=embedding,
        assignment=assignment,
        shown=shown,
        log_magnitude=_joined(config, windows, seen),
        masks=_joined(config, windows, masks),
    )


def _joined(config: ModelConfig, windows: Windows, values: Mapping[int, NDArray[Any]]) -> Any:
    """Values of a separation's own windows [..., T] as columns of the recording [..., K]."""
    window, frame = _places(config, windows)
    first = next(iter(values.values()))
    out = np.empty((*first.shape[:-1], len(window)), first.dtype)
    for index, value in values.items():
        here = window == index
        out[..., here] = value[..., frame[here]]
    return out


def _power(config: ModelConfig, log_magnitude: Float) -> Float:
    magnitude = np.exp(log_magnitude) - np.float32(config.log_epsilon)
    power: Float = np.square(np.maximum(magnitude, 0.0))
    return power


def _column_samples(config: ModelConfig, samples: int) -> NDArray[np.int64]:
    return np.arange(-(-samples // config.hop_length)) * config.hop_length


def _places(config: ModelConfig, windows: Windows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each column the window that it is of, and the frame in that."""
    at = _column_samples(config, windows.samples)
    window = windows.heard_at(at)
    frame = np.rint((at - windows.starts[window]) / config.hop_length).astype(np.int64)
    return window, np.clip(frame, 0, config.frames - 1)
