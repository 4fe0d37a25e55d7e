"""What a model of Triton's Python backend needs of the Python that its process runs in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from sgn_rt._optional import require
from sgn_rt.engines.devices import Devices
from sgn_rt.errors import DependencyError
from sgn_rt.serving.triton import wire

NUMPY_VARIABLE: Final = "SGN_RT_TRITON_NUMPY_2"
BUNDLE_FOLDER: Final = "bundle"
MODELS_FOLDER: Final = "models"
"""Folders of what `sgn_rt.serving.triton.repository` writes."""


def backend_utils() -> Any:
    """Triton's module for models, which is there in its own processes alone.

    Raises
    ------
    DependencyError
        Everywhere else.
    """
    return require(
        "triton_python_backend_utils", extra="triton", purpose="a model of Triton's Python backend"
    )


def expect_readable_arrays() -> None:
    """Refuse a NumPy that Triton cannot read: it would answer with 0 bytes, and no error.

    Up to 2.51, the latest that was tried, it reads arrays of NumPy 1 alone. Nothing in a model's
    process tells which Triton it is, or shows the fault before the first answer.

    Raises
    ------
    DependencyError
        Naming the version that helps.
    """
    major = int(np.__version__.partition(".")[0])
    if major > 1 and os.environ.get(NUMPY_VARIABLE) != "1":
        raise DependencyError(
            f"Triton's Python backend: got NumPy {np.__version__}, whose arrays Triton up to 2.51 "
            "answers with no content, expected NumPy 1. Install it where the models run: "
            f"pip install 'numpy<2'. If you have seen that your Triton reads it, set "
            f"{NUMPY_VARIABLE}=1."
        )


class ModelSettings:
    """What a model is told in its configuration.

    Parameters
    ----------
    arguments
        Of ``initialize``.
    """

    def __init__(self, arguments: Mapping[str, str]) -> None:
        config = json.loads(arguments["model_config"])
        self._parameters: Mapping[str, Any] = config.get("parameters", {})
        self.max_batch = int(config["max_batch_size"])
        self.bundle = Path(arguments["model_repository"]).parents[1] / BUNDLE_FOLDER
        self.on_gpu = arguments["model_instance_kind"] == "GPU"
        self.ordinal = int(arguments["model_instance_device_id"])

    def text(self, key: str) -> str:
        """A parameter."""
        return str(self._parameters[key]["string_value"])

    @property
    def engine(self) -> str:
        """As `sgn_rt.Separator.open`."""
        return self.text(wire.ENGINE_KEY)

    @property
    def threads(self) -> int | None:
        """Processors of an instance; None for all."""
        return int(self.text(wire.THREADS_KEY)) or None

    @property
    def device(self) -> Devices:
        """The GPU that Triton gives the instance; None where it gives it none."""
        return self.ordinal if self.on_gpu else None
