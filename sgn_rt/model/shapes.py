"""Inputs and outputs of graphs, and sizes of their axes, for a model.

The graphs of a network that comes apart, as SGN does, are those of the contract. One that makes
masks in one go (`ModelConfig.is_whole`) takes the categories in every graph of it, and its ``core``
gives masks, its ``plugin`` sources: what it has no second half for.
"""

from __future__ import annotations

from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import (
    CHANNEL_MULTIPLE,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    WHOLE_KINDS,
    Axis,
    Kind,
    Precision,
    Tensor,
    axes_of,
    partner,
)


def kinds_of(config: ModelConfig) -> tuple[Kind, ...]:
    """The graphs that there are of a network."""
    return WHOLE_KINDS if config.is_whole else tuple(Kind)


def partner_of(
    config: ModelConfig, kind: Kind, precision: Precision
) -> tuple[Kind, Precision] | None:
    """As `sgn_rt.model.contract.partner`; a network that makes masks in one go needs none."""
    return None if config.is_whole else partner(kind, precision)


def input_of(config: ModelConfig) -> Tensor:
    """What the network is given."""
    return Tensor.MAGNITUDE if config.input == "magnitude" else Tensor.LOG_MAGNITUDE


def inputs_of(kind: Kind, config: ModelConfig) -> tuple[Tensor, ...]:
    """Inputs of a graph, in order."""
    if not config.is_whole:
        return GRAPH_INPUTS[kind]
    first = input_of(config) if kind == Kind.CORE else Tensor.MIXTURE
    return (first, Tensor.CATEGORIES)


def outputs_of(kind: Kind, config: ModelConfig) -> tuple[Tensor, ...]:
    """Outputs of a graph, in order; no embedding where the network gives none."""
    if not config.is_whole:
        return GRAPH_OUTPUTS[kind]
    first = Tensor.MASKS if kind == Kind.CORE else Tensor.SOURCES
    last = () if config.embedding_dim is None else (Tensor.EMBEDDING,)
    return (first, Tensor.PRESENCE, *last)


def axes_in(kind: Kind, name: Tensor, config: ModelConfig) -> tuple[Axis | int, ...]:
    """As `sgn_rt.model.contract.axes_of`; complex masks have an axis more."""
    if name == Tensor.MASKS and config.mask == "complex":
        return (Axis.BATCH, Axis.SOURCES, 2, Axis.FREQUENCY, Axis.FRAMES)
    return axes_of(kind, name)


def axis_sizes(config: ModelConfig) -> dict[Axis, int]:
    """Every axis but the dynamic ones; of basis maps, those of ``PLUGIN``."""
    sizes = {
        Axis.SAMPLES: config.window_samples,
        Axis.FREQUENCY: config.frequency_bins,
        Axis.FRAMES: config.frames,
        Axis.BINS: config.bins,
        Axis.CATEGORY: len(config.categories),
    }
    if config.embedding_dim is not None:
        sizes[Axis.DIM] = config.embedding_dim
    if not config.is_whole:
        sizes[Axis.WEIGHTS] = config.maps + 1
        sizes[Axis.CHANNELS] = -(-config.maps // CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE
    return sizes


def shape_of(
    kind: Kind, name: Tensor, config: ModelConfig, *, batch: int, sources: int
) -> tuple[int, ...]:
    """Shape of an input or output of a graph, for so many windows and categories."""
    sizes = axis_sizes(config) | {Axis.BATCH: batch, Axis.SOURCES: sources}
    axes = axes_in(kind, name, config)
    return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in axes)
