"""Sizes of the axes of graphs, for a model."""

from __future__ import annotations

from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import CHANNEL_MULTIPLE, Axis, Kind, Tensor, axes_of


def axis_sizes(config: ModelConfig) -> dict[Axis, int]:
    """Every axis but the dynamic ones; of basis maps, those of ``PLUGIN``."""
    return {
        Axis.SAMPLES: config.window_samples,
        Axis.FREQUENCY: config.frequency_bins,
        Axis.FRAMES: config.frames,
        Axis.BINS: config.bins,
        Axis.CATEGORY: len(config.categories),
        Axis.DIM: config.embedding_dim,
        Axis.WEIGHTS: config.mask_basis + 1,
        Axis.CHANNELS: -(-config.mask_basis // CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE,
    }


def shape_of(
    kind: Kind, name: Tensor, config: ModelConfig, *, batch: int, sources: int
) -> tuple[int, ...]:
    """Shape of an input or output of a graph, for so many windows and categories."""
    sizes = axis_sizes(config) | {Axis.BATCH: batch, Axis.SOURCES: sources}
    return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in axes_of(kind, name))
