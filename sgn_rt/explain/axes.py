"""Axes of what is shown: seconds and Hz of columns, rows and feature tokens, and claims on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.sgn_config import as_sgn
from sgn_rt.model.transform import log_warp


def frequencies_hz(config: ModelConfig) -> NDArray[np.float64]:
    """Frequency of every row of the log axis, Hz, shape = (L,), rising."""
    warp = log_warp(config.bins, config.frequency_bins)
    bins = warp.low + warp.high_weight[:, 0].astype(np.float64)
    return np.asarray(bins * (config.sample_rate / config.n_fft), np.float64)


def token_grid(config: ModelConfig) -> tuple[int, int]:
    """Feature tokens of a window along frequency and along time; P is their product."""
    scale = 2 ** (as_sgn(config, "token grid").token_level + 1)
    return config.frequency_bins // scale, config.frames // scale


def claims_of(assignment: Float) -> Float:
    """Share of each feature token that each category claims: sums to 1 over the categories.

    The network divides a category's shares by their sum and 1, which gives back a sum s as
    s / (s + 1); so it can be undone.

    Parameters
    ----------
    assignment
        `sgn_rt.explain.network.Signals.assignment`, shape = (..., C, P), float32.

    Returns
    -------
    ndarray
        The same shape, float32, 0 to 1.

    Source: MODEL, step 6.
    """
    shares = np.asarray(assignment, np.float64)
    left = 1.0 - shares.sum(axis=-1, keepdims=True)
    return np.asarray(np.clip(shares / left, 0.0, 1.0), np.float32)


def on_grid(tokens: Float, config: ModelConfig) -> Float:
    """Values of feature tokens [..., P] by row and column: [..., rows, columns] of `token_grid`."""
    return tokens.reshape(*tokens.shape[:-1], *token_grid(config))


def stretches(chosen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs of True: first place, and one past the last."""
    padded = np.concatenate(([False], chosen, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
