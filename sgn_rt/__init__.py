"""sgn-rt: separates a recording into one sound per category with a trained SGN.

>>> import sgn_rt
>>> separator = sgn_rt.Separator.open()
>>> result = separator.separate("mix.flac")
>>> result.sources["violin"]  # float32 [channels, samples] at the recording's rate

Importing this package loads NumPy at most; everything else comes with its first use.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sgn_rt.errors import (
    AudioError,
    BundleError,
    CancelledError,
    CategoryError,
    CheckpointError,
    ConfigError,
    DependencyError,
    EngineError,
    LevelWarning,
    ModuleError,
    ParityError,
    ParityWarning,
    SgnError,
)

if TYPE_CHECKING:
    from sgn_rt.model.bundle import Bundle
    from sgn_rt.model.config import ModelConfig
    from sgn_rt.report import Separation, SeparationFiles
    from sgn_rt.separator import Separator
    from sgn_rt.streaming.stream import Stream
    from sgn_rt.streaming.thresholds import read_thresholds
    from sgn_rt.tensorrt.run.options import RunOptions

__version__ = "0.1.0"

# What happens is told to the logger "sgn_rt"; where it goes is the application's choice.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_HOMES = {
    "Bundle": "sgn_rt.model.bundle",
    "ModelConfig": "sgn_rt.model.config",
    "RunOptions": "sgn_rt.tensorrt.run.options",
    "Separation": "sgn_rt.report",
    "SeparationFiles": "sgn_rt.report",
    "Separator": "sgn_rt.separator",
    "Stream": "sgn_rt.streaming.stream",
    "read_thresholds": "sgn_rt.streaming.thresholds",
}

__all__ = [
    "AudioError",
    "Bundle",
    "BundleError",
    "CancelledError",
    "CategoryError",
    "CheckpointError",
    "ConfigError",
    "DependencyError",
    "EngineError",
    "LevelWarning",
    "ModelConfig",
    "ModuleError",
    "ParityError",
    "ParityWarning",
    "RunOptions",
    "Separation",
    "SeparationFiles",
    "Separator",
    "SgnError",
    "Stream",
    "__version__",
    "read_thresholds",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sgn_rt' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Also what has not been loaded yet."""
    return sorted({*globals(), *_HOMES})
