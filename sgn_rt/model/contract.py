"""The only home of every name and number that exporter, runtime and plugins must agree on.

Standard library only: everything else imports from here, nothing here imports from the package.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

CHECKPOINT_FORMAT: Final = "sgn-checkpoint/1"
CHECKPOINT_CONFIG_KEY: Final = "sgn_config"

BUNDLE_SCHEMA: Final = 2
"""What the exporter writes. 2 cuts the network from the masks, and seals the manifest."""
BUNDLE_SCHEMAS: Final = (1, BUNDLE_SCHEMA)
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

    ``CORE`` and ``MASKS`` are a pair in each precision: the network runs once for a window, and
    masks are made of its basis maps, for the categories chosen.
    """

    CORE = "core"
    MASKS = "masks"
    WAVEFORM = "waveform"
    PLUGIN = "plugin"


WHOLE_KINDS: Final = (Kind.WAVEFORM, Kind.PLUGIN)
"""Graphs that go from mixture to sources."""


class GraphKey(StrEnum):
    """Metadata of every graph."""

    CONFIG = CHECKPOINT_CONFIG_KEY
    KIND = "sgn_kind"
    PRECISION = "sgn_precision"
    SCHEMA = "sgn_schema"
    VERSION = "sgn_rt_version"


class Precision(StrEnum):
    """Number format of a graph's body; float32 islands stay float32 in ``FP16``."""

    FP32 = "fp32"
    FP16 = "fp16"


class Tensor(StrEnum):
    """Names of graph inputs and outputs."""

    MIXTURE = "mixture"
    LOG_MAGNITUDE = "log_magnitude"
    CATEGORIES = "categories"
    SOURCES = "sources"
    MASKS = "masks"
    PRESENCE = "presence"
    EMBEDDING = "embedding"
    GUIDE = "guide"
    """Of each category: the weights of the basis maps, and a bias."""
    BASIS = "basis"
    """Basis maps, laid out as is fastest where the graph is meant to run: for ``MASKS`` alone."""


class Axis(StrEnum):
    """Names of dynamic and fixed axes in graphs."""

    BATCH = "batch"
    SAMPLES = "samples"
    FREQUENCY = "frequency"
    FRAMES = "frames"
    SOURCES = "sources"
    CATEGORY = "category"
    DIM = "dim"
    WEIGHTS = "weights"
    CHANNELS = "channels"
    ROWS = "rows"
    COLUMNS = "columns"


GRAPH_INPUTS: Final[dict[Kind, tuple[Tensor, ...]]] = {
    Kind.CORE: (Tensor.LOG_MAGNITUDE,),
    Kind.MASKS: (Tensor.BASIS, Tensor.GUIDE),
    Kind.WAVEFORM: (Tensor.MIXTURE, Tensor.CATEGORIES),
    Kind.PLUGIN: (Tensor.MIXTURE, Tensor.CATEGORIES),
}
GRAPH_OUTPUTS: Final[dict[Kind, tuple[Tensor, ...]]] = {
    Kind.CORE: (Tensor.PRESENCE, Tensor.EMBEDDING, Tensor.GUIDE, Tensor.BASIS),
    Kind.MASKS: (Tensor.MASKS,),
    Kind.WAVEFORM: (Tensor.SOURCES, Tensor.PRESENCE, Tensor.EMBEDDING),
    Kind.PLUGIN: (Tensor.SOURCES, Tensor.PRESENCE, Tensor.EMBEDDING),
}
_AXES: Final[dict[Tensor, tuple[Axis | int, ...]]] = {
    Tensor.MIXTURE: (Axis.BATCH, Axis.SAMPLES),
    Tensor.LOG_MAGNITUDE: (Axis.BATCH, 1, Axis.FREQUENCY, Axis.FRAMES),
    Tensor.CATEGORIES: (Axis.SOURCES,),
    Tensor.SOURCES: (Axis.BATCH, Axis.SOURCES, Axis.SAMPLES),
    Tensor.MASKS: (Axis.BATCH, Axis.SOURCES, Axis.FREQUENCY, Axis.FRAMES),
    Tensor.PRESENCE: (Axis.BATCH, Axis.CATEGORY),
    Tensor.EMBEDDING: (Axis.BATCH, Axis.CATEGORY, Axis.DIM),
    Tensor.GUIDE: (Axis.BATCH, Axis.CATEGORY, Axis.WEIGHTS),
    Tensor.BASIS: (Axis.BATCH, Axis.CHANNELS, Axis.ROWS, Axis.COLUMNS),
}
DYNAMIC_AXES: Final = (Axis.BATCH, Axis.SOURCES)


def axes_of(kind: Kind, name: Tensor) -> tuple[Axis | int, ...]:
    """Axes of an input or output of a graph.

    The guide comes out of ``CORE`` for every category, and goes into ``MASKS`` for those chosen.
    """
    if (kind, name) == (Kind.MASKS, Tensor.GUIDE):
        return (Axis.BATCH, Axis.SOURCES, Axis.WEIGHTS)
    return _AXES[name]


def type_of(name: Tensor, precision: Precision) -> str:
    """Type of an input or output, as NumPy names it: float32, but for positions and basis maps.

    Basis maps have the type of the body; they go from one graph into the other and nowhere else.
    """
    if name == Tensor.CATEGORIES:
        return "int64"
    half = name == Tensor.BASIS and precision == Precision.FP16
    return "float16" if half else "float32"


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
