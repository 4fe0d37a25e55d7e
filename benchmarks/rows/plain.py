"""The plain export, to compare with: ``torch.onnx.export`` of the reference module as it is.

One graph from log-magnitude to the masks of all categories, an ONNX Runtime session with default
options, and PyTorch's STFT and inverse STFT around it. Reading, windows, resampling and writing are
the package's own, so that only the engine differs.
"""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from sgn_rt._optional import pip_command, require
from sgn_rt._types import Float, Masked, Positions, Separated
from sgn_rt.engines.base import MasksAtOnce, WholeEngine
from sgn_rt.errors import DependencyError, EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Precision

NAME = "plain-export"
FILE = "plain.onnx"


def write_plain_export(bundle: Bundle, path: Path) -> None:
    """Export the reference module with the exporter's defaults.

    Raises
    ------
    DependencyError
        If PyTorch or ONNX's exporter is not installed.
    EngineError
        If the bundle has no checkpoint, or the exporter fails.
    """
    torch: Any = require("torch", extra="export", purpose="the plain export")
    for module in ("onnx", "onnxscript"):
        require(module, extra="export", purpose="the plain export")
    model = _reference(bundle)
    count = len(bundle.config.categories)

    class Plain(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("categories", torch.arange(count))

        def forward(self, log_magnitude: Any) -> Any:
            masks, presence, _ = self.model.masks(log_magnitude, self.categories)
            return masks, presence

    example = torch.zeros(1, 1, bundle.config.frequency_bins, bundle.config.frames)
    level = logging.root.manager.disable
    try:
        logging.disable(logging.WARNING)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Plain().eval(),
                (example,),
                str(path),
                dynamo=True,
                input_names=["log_magnitude"],
                output_names=["masks", "presence"],
                external_data=False,
            )
    except Exception as error:
        raise EngineError(
            f"{NAME}: got {type(error).__name__}: {error}, expected torch.onnx.export to write a "
            "graph. Leave this row out, or try another version of PyTorch."
        ) from error
    finally:
        logging.disable(level)


def _reference(bundle: Bundle) -> Any:
    if not bundle.has_checkpoint:
        raise EngineError(
            f"{NAME}: got a bundle without {BUNDLE_CHECKPOINT}, expected one with it. "
            "Export the bundle again."
        )
    from sgn_rt.reference import load

    return load(bundle.root / BUNDLE_CHECKPOINT).eval()


class PlainExport(WholeEngine, MasksAtOnce):
    """ONNX Runtime as it comes, PyTorch around it.

    Parameters
    ----------
    bundle
        The model.
    path
        What `write_plain_export` wrote.

    Raises
    ------
    DependencyError
        If PyTorch or ONNX Runtime is not installed.
    EngineError
        If there is no such file, or it does not load.
    """

    name = NAME
    precision = Precision.FP32
    concurrency = 1

    def __init__(self, bundle: Bundle, path: Path) -> None:
        super().__init__(bundle.config)
        self._torch: Any = require("torch", extra="export", purpose="the plain export")
        ort = require("onnxruntime", extra="cpu", purpose="the plain export")
        self._model = _reference(bundle)
        if not path.exists():
            raise DependencyError(
                f"{NAME}: got no graph, expected torch.onnx.export to write one. "
                f"Install it with: {pip_command('export')}"
            )
        try:
            self._session: Any = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common base but this
            raise EngineError(
                f"{NAME}: got {error}, expected ONNX Runtime to load it. Leave this row out."
            ) from error
        self.detail = (
            f"torch.onnx.export as it comes, default session, torch.stft around it, onnxruntime "
            f"{ort.__version__}, torch {self._torch.__version__}"
        )

    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        results = [self._session.run(None, {"log_magnitude": x[None]}) for x in log_magnitude]
        masks = np.concatenate([masks for masks, _ in results])
        presence = np.concatenate([presence for _, presence in results])
        everything = np.arange(len(self.config.categories))
        if not np.array_equal(categories, everything):
            masks = masks[:, categories]
        return Masked(masks, presence)

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        torch = self._torch
        with torch.inference_mode():
            spectrum = self._model.stft(torch.from_numpy(mixture))
            log_magnitude = self._model.log_magnitude(spectrum).contiguous().numpy()
            masked = self._masks(log_magnitude, categories)
            sources = self._model.istft(spectrum, torch.from_numpy(masked.masks))
        return Separated(sources.contiguous().numpy(), masked.presence)
