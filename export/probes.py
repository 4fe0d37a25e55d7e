"""Probes: golden windows of real music and what the reference makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import Piece
from sgn_rt.export.graphs import as_sgn
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.probe import Probe
from sgn_rt.parity.metrics import share
from sgn_rt.reference import Reference

WINDOWS = 2
CATEGORIES = 3
"""Per window: sounding ones first, and one that does not sound, whose mask is the small one."""


def _middle(signal: Float, samples: int) -> Float:
    start = max(0, (len(signal) - samples) // 2)
    window = np.zeros(samples, np.float32)
    part = signal[start : start + samples]
    window[: len(part)] = part
    return window


def choose(piece: Piece, config: ModelConfig, presence: Float) -> list[int]:
    """Positions to probe: with true stems, then by presence, and the least present one."""
    order = np.argsort(-presence, kind="stable").tolist()
    known = [i for i in order if config.categories[i] in piece.stems]
    others = [i for i in order if i not in known]
    count = min(CATEGORIES, len(config.categories))
    chosen = (known + others)[:count]
    if count > 1 and order[-1] not in chosen:
        chosen[-1] = order[-1]
    return chosen


def _shares(model: Reference, mixture: torch.Tensor) -> Float:
    """Share of a window [1, N] that each category's source has, shape = (C,), float32."""
    spectrum = model.stft(mixture)
    found = [
        share(model.istft(spectrum, mask)[0, 0].numpy(), mixture[0].numpy())
        for mask in model.each_mask(model.log_magnitude(spectrum))
    ]
    return np.array(found, np.float32)


def _assignment(model: Reference, log_magnitude: torch.Tensor) -> Float:
    """Of one window, shape = (C, P), float32."""
    with torch.inference_mode():
        _, _, assignment = as_sgn(model).signals(log_magnitude)
    found: Float = assignment[0].numpy()
    return found


def make_probe(model: Reference, music: Sequence[Piece], *, assignment: bool = False) -> Probe:
    """Probe windows from the middle of the first pieces.

    Parameters
    ----------
    model
        The reference, float32.
    music
        At the model's rate; stems serve where the model knows their category.
    assignment
        Whether graphs give it, and it is to be compared.
    """
    config = model.config
    rows: list[dict[str, Any]] = []
    for piece in music[:WINDOWS]:
        mixture = torch.from_numpy(_middle(piece.mixture, config.window_samples))[None]
        with torch.inference_mode():
            spectrum = model.stft(mixture)
            log_magnitude = model.log_magnitude(spectrum)
            presence = model.presence(log_magnitude)
            chosen = choose(piece, config, presence[0].numpy())
            masks, _, _ = model.masks(log_magnitude, torch.tensor(chosen))
            sources = model.istft(spectrum, masks)
            shares = _shares(model, mixture)
        names = [config.categories[i] for i in chosen]
        silence = np.zeros(config.window_samples, np.float32)
        stems = [_middle(piece.stems.get(name, silence), config.window_samples) for name in names]
        # A stem that is silent in this very window is no reference for SI-SDR.
        known = [
            name in piece.stems and bool(stem.any())
            for name, stem in zip(names, stems, strict=True)
        ]
        rows.append(
            {
                "mixture": mixture[0].numpy(),
                "categories": np.array(chosen, np.int64),
                "log_magnitude": log_magnitude[0, 0].numpy(),
                "masks": masks[0].numpy(),
                "sources": sources[0].numpy(),
                "presence": presence[0].numpy(),
                "stems": np.stack(stems),
                "stem_known": np.array(known),
                "shares": shares,
            }
        )
        if assignment:
            rows[-1]["assignment"] = _assignment(model, log_magnitude)
    return Probe(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})
