"""The only home of every name and number that exporter, runtime and plugins must agree on.

Standard library only: everything else imports from here, nothing here imports from the package.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from typing import Final

CHECKPOINT_FORMAT: Final = "sgn-checkpoint/1"
CHECKPOINT_CONFIG_KEY: Final = "sgn_config"
MODULE_FORMAT: Final = "sgn-module/1"
"""Of the configuration of a network that is none of ours."""

BUNDLE_SCHEMA: Final = 3
"""What the exporter writes. 2 cut ``core`` from the masks, and sealed the manifest; 3 cuts
``plugin``."""
BUNDLE_SCHEMAS: Final = (1, 2, BUNDLE_SCHEMA)
"""What opens."""
BUNDLE_MANIFEST: Final = "bundle.json"
BUNDLE_CHECKPOINT: Final = "checkpoint.safetensors"
BUNDLE_PROBE: Final = "probe.npz"

ENCODER_LEVELS: Final = 7
MASK_MULTIPLE: Final = 2**ENCODER_LEVELS
"""Frequency bins (log axis) and frames must divide by this: seven levels halve both."""

LOG_AXIS_BASE: Final = 21.0
"""The log-frequency axis maps y in [-1, 1] to (21^((y + 1) / 2) - 11) / 10 (MODEL.md, step 2)."""

NORM_EPSILON: Final = 1e-5
"""Of BatchNorm and LayerNorm alike (MODEL.md)."""


class Kind(StrEnum):
    """What a graph computes (see README, "The bundle").

    ``CORE`` and ``MASKS`` are a pair, and so are ``PLUGIN`` and ``SYNTHESIS`` (`partner`): the
    network runs once for a window, and masks, or sources, are made of its basis maps, for the
    categories chosen. ``WAVEFORM`` is whole, from mixture to sources.
    """

    CORE = "core"
    MASKS = "masks"
    WAVEFORM = "waveform"
    PLUGIN = "plugin"
    SYNTHESIS = "synthesis"


ENGINE_KINDS: Final = (Kind.PLUGIN, Kind.WAVEFORM)
"""Graphs that TensorRT engines are asked for by, the best first: sound goes in, and comes out."""


class GraphKey(StrEnum):
    """Metadata of every graph."""

    CONFIG = CHECKPOINT_CONFIG_KEY
    KIND = "sgn_kind"
    PRECISION = "sgn_precision"
    SCHEMA = "sgn_schema"
    QUANTIZATION = "sgn_quantization"
    """Of those in int8: how they were calibrated, as JSON (`sgn_rt.export.int8`)."""
    VERSION = "sgn_rt_version"


class Precision(StrEnum):
    """Number format of a graph's body; float32 islands stay float32 in ``FP16``.

    In ``INT8`` they are products, of the layers that bear it; the rest is as `body_of` says. Made
    and run only where it is asked for.
    """

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


FLOATS: Final = (Precision.FP32, Precision.FP16)
"""What is made where nothing is asked for."""
_INT8_BODIES: Final = {Kind.CORE: Precision.FP32, Kind.PLUGIN: Precision.FP16}
"""Graphs that exist in int8: for the CPU, and for TensorRT."""


def exists(kind: Kind, precision: Precision) -> bool:
    """Whether there is such a graph."""
    return precision != Precision.INT8 or kind in _INT8_BODIES


def body_of(kind: Kind, precision: Precision) -> Precision:
    """Number format of what is not int8: of the layers that stay, and of the basis maps."""
    return _INT8_BODIES[kind] if precision == Precision.INT8 else precision


_SECOND_HALVES: Final = {Kind.CORE: Kind.MASKS, Kind.PLUGIN: Kind.SYNTHESIS}
SECOND_HALVES: Final = frozenset(_SECOND_HALVES.values())
"""Graphs without weights, each of no use but to the network that it goes with."""


def partner(kind: Kind, precision: Precision) -> tuple[Kind, Precision] | None:
    """The graph that a network needs beside it; None for one that needs none.

    Several networks may share one.
    """
    second = _SECOND_HALVES.get(kind)
    return None if second is None else (second, body_of(kind, precision))


def networks_of(kind: Kind, precision: Precision) -> list[tuple[Kind, Precision]]:
    """The networks that a graph is the `partner` of."""
    every = [graph for graph in product(Kind, Precision) if exists(*graph)]
    return [network for network in every if partner(*network) == (kind, precision)]


class Tensor(StrEnum):
    """Names of graph inputs and outputs."""

    MIXTURE = "mixture"
    LOG_MAGNITUDE = "log_magnitude"
    MAGNITUDE = "magnitude"
    """The network's input where there is no logarithm in it."""
    CATEGORIES = "categories"
    SOURCES = "sources"
    MASKS = "masks"
    SPECTRUM = "spectrum"
    """Of the mixture: real and imaginary part of each frame's bins."""
    PRESENCE = "presence"
    EMBEDDING = "embedding"
    GUIDE = "guide"
    """Of each category: the weights of the basis maps, and a bias."""
    BASIS = "basis"
    """Basis maps, laid out as is fastest where the graph is meant to run: for the other half of
    the pair alone."""
    ASSIGNMENT = "assignment"
    """Share of every feature token that each category gathers (MODEL, step 6, behind its
    division)."""


class Axis(StrEnum):
    """Names of dynamic and fixed axes in graphs."""

    BATCH = "batch"
    SAMPLES = "samples"
    FREQUENCY = "frequency"
    FRAMES = "frames"
    BINS = "bins"
    SOURCES = "sources"
    CATEGORY = "category"
    DIM = "dim"
    WEIGHTS = "weights"
    TOKENS = "tokens"
    CHANNELS = "channels"
    ROWS = "rows"
    COLUMNS = "columns"


GRAPH_INPUTS: Final[dict[Kind, tuple[Tensor, ...]]] = {
    Kind.CORE: (Tensor.LOG_MAGNITUDE,),
    Kind.MASKS: (Tensor.BASIS, Tensor.GUIDE),
    Kind.WAVEFORM: (Tensor.MIXTURE, Tensor.CATEGORIES),
    Kind.PLUGIN: (Tensor.MIXTURE,),
    Kind.SYNTHESIS: (Tensor.SPECTRUM, Tensor.BASIS, Tensor.GUIDE, Tensor.CATEGORIES),
}
GRAPH_OUTPUTS: Final[dict[Kind, tuple[Tensor, ...]]] = {
    Kind.CORE: (Tensor.PRESENCE, Tensor.EMBEDDING, Tensor.GUIDE, Tensor.BASIS),
    Kind.MASKS: (Tensor.MASKS,),
    Kind.WAVEFORM: (Tensor.SOURCES, Tensor.PRESENCE, Tensor.EMBEDDING),
    Kind.PLUGIN: (
        *(Tensor.PRESENCE, Tensor.EMBEDDING, Tensor.GUIDE, Tensor.BASIS, Tensor.SPECTRUM),
    ),
    Kind.SYNTHESIS: (Tensor.SOURCES,),
}
WHOLE_KINDS: Final = (Kind.CORE, Kind.WAVEFORM, Kind.PLUGIN)
"""Graphs of a network that makes masks in one go, and has no second half: see `shapes`."""
OPTIONAL_OUTPUTS: Final[dict[Kind, tuple[Tensor, ...]]] = {Kind.CORE: (Tensor.ASSIGNMENT,)}
"""What a graph of an SGN gives, behind its outputs, where that was asked for: nobody needs it to
separate."""
_AXES: Final[dict[Tensor, tuple[Axis | int, ...]]] = {
    Tensor.MIXTURE: (Axis.BATCH, Axis.SAMPLES),
    Tensor.LOG_MAGNITUDE: (Axis.BATCH, 1, Axis.FREQUENCY, Axis.FRAMES),
    Tensor.MAGNITUDE: (Axis.BATCH, 1, Axis.FREQUENCY, Axis.FRAMES),
    Tensor.CATEGORIES: (Axis.SOURCES,),
    Tensor.SOURCES: (Axis.BATCH, Axis.SOURCES, Axis.SAMPLES),
    Tensor.MASKS: (Axis.BATCH, Axis.SOURCES, Axis.FREQUENCY, Axis.FRAMES),
    Tensor.SPECTRUM: (Axis.BATCH, Axis.FRAMES, Axis.BINS, 2),
    Tensor.PRESENCE: (Axis.BATCH, Axis.CATEGORY),
    Tensor.EMBEDDING: (Axis.BATCH, Axis.CATEGORY, Axis.DIM),
    Tensor.GUIDE: (Axis.BATCH, Axis.CATEGORY, Axis.WEIGHTS),
    Tensor.BASIS: (Axis.BATCH, Axis.CHANNELS, Axis.ROWS, Axis.COLUMNS),
    Tensor.ASSIGNMENT: (Axis.BATCH, Axis.CATEGORY, Axis.TOKENS),
}
_OTHER_AXES: Final[dict[tuple[Kind, Tensor], tuple[Axis | int, ...]]] = {
    # The masks' guide is of the categories chosen; the synthesis picks them itself, on the GPU.
    (Kind.MASKS, Tensor.GUIDE): (Axis.BATCH, Axis.SOURCES, Axis.WEIGHTS),
    # The same bytes: an engine of the first is built to leave its maps channels last, as TensorRT's
    # convolutions make them, and that is how the second reads them. No kernel rearranges them.
    (Kind.PLUGIN, Tensor.BASIS): (Axis.BATCH, Axis.CHANNELS, Axis.FREQUENCY, Axis.FRAMES),
    (Kind.SYNTHESIS, Tensor.BASIS): (Axis.BATCH, Axis.FREQUENCY, Axis.FRAMES, Axis.CHANNELS),
}
DYNAMIC_AXES: Final = (Axis.BATCH, Axis.SOURCES)


CHANNEL_MULTIPLE: Final = 8
"""Basis maps of ``PLUGIN`` are padded to a multiple: TensorRT's channels-last format of float16."""


def axes_of(kind: Kind, name: Tensor) -> tuple[Axis | int, ...]:
    """Axes of an input or output of a graph; in what a pair shares, those of the one that asks."""
    return _OTHER_AXES.get((kind, name), _AXES[name])


def type_of(kind: Kind, name: Tensor, precision: Precision) -> str:
    """Type of an input or output, as NumPy names it: float32, but for positions and basis maps.

    Basis maps go from one graph of a pair into the other and nowhere else: in the type of the
    second's body.
    """
    if name == Tensor.CATEGORIES:
        return "int64"
    _, second = partner(kind, precision) or (kind, precision)
    return "float16" if name == Tensor.BASIS and second == Precision.FP16 else "float32"


class PluginOp(StrEnum):
    """Operations of the plugin library; node types in the domain ``PLUGIN_NAMESPACE``."""

    STFT = "Stft"
    ISTFT = "Istft"


PLUGIN_NAMESPACE: Final = "sgn"
PLUGIN_VERSION: Final = "1"
"""Of the operations' interface (TensorRT's ``plugin_version``), not of this package."""

PLUGIN_ATTRIBUTES: Final[dict[PluginOp, dict[str, type[int] | type[float]]]] = {
    PluginOp.STFT: {
        "n_fft": int,
        "hop_length": int,
        "window_length": int,
        "frequency_bins": int,
        "log_epsilon": float,
        "dtype": int,
    },
    PluginOp.ISTFT: {
        "n_fft": int,
        "hop_length": int,
        "window_length": int,
        "frequency_bins": int,
        "samples": int,
    },
}
"""Attributes of each operation, all written by the exporter; ``window_length`` may be left out.

``dtype`` is an onnx.TensorProto.DataType.
"""
