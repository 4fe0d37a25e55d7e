"""The only home of every name and number that exporter, runtime and plugins must agree on.

Standard library only: everything else imports from here, nothing here imports from the package.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

CHECKPOINT_FORMAT: Final = "sgn-checkpoint/1"
CHECKPOINT_CONFIG_KEY: Final = "sgn_config"

BUNDLE_SCHEMA: Final = 1
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
    """What a graph computes (see README, "The bundle")."""

    CORE = "core"
    WAVEFORM = "waveform"
    PLUGIN = "plugin"


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


class Axis(StrEnum):
    """Names of dynamic and fixed axes in graphs."""

    BATCH = "batch"
    SAMPLES = "samples"
    FREQUENCY = "frequency"
    FRAMES = "frames"
    SOURCES = "sources"
    CATEGORY = "category"
    DIM = "dim"


GRAPH_INPUTS: Final[dict[Kind, tuple[Tensor, ...]]] = {
    Kind.CORE: (Tensor.LOG_MAGNITUDE, Tensor.CATEGORIES),
    Kind.WAVEFORM: (Tensor.MIXTURE, Tensor.CATEGORIES),
    Kind.PLUGIN: (Tensor.MIXTURE, Tensor.CATEGORIES),
}
GRAPH_OUTPUTS: Final[dict[Kind, tuple[Tensor, ...]]] = {
    Kind.CORE: (Tensor.MASKS, Tensor.PRESENCE, Tensor.EMBEDDING),
    Kind.WAVEFORM: (Tensor.SOURCES, Tensor.PRESENCE, Tensor.EMBEDDING),
    Kind.PLUGIN: (Tensor.SOURCES, Tensor.PRESENCE, Tensor.EMBEDDING),
}
AXES: Final[dict[Tensor, tuple[Axis | int, ...]]] = {
    Tensor.MIXTURE: (Axis.BATCH, Axis.SAMPLES),
    Tensor.LOG_MAGNITUDE: (Axis.BATCH, 1, Axis.FREQUENCY, Axis.FRAMES),
    Tensor.CATEGORIES: (Axis.SOURCES,),
    Tensor.SOURCES: (Axis.BATCH, Axis.SOURCES, Axis.SAMPLES),
    Tensor.MASKS: (Axis.BATCH, Axis.SOURCES, Axis.FREQUENCY, Axis.FRAMES),
    Tensor.PRESENCE: (Axis.BATCH, Axis.CATEGORY),
    Tensor.EMBEDDING: (Axis.BATCH, Axis.CATEGORY, Axis.DIM),
}
DYNAMIC_AXES: Final = (Axis.BATCH, Axis.SOURCES)


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
