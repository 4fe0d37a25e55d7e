"""The plain export: ``torch.onnx.export`` of the reference's network as it comes.

One graph from log-magnitude to the masks of all categories, for one window. Several runtimes read
it, each a row of its own.
"""

from __future__ import annotations

import io
import logging
import warnings
from abc import abstractmethod
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import numpy as np

from sgn_rt._atomic import write_whole
from sgn_rt._types import Float
from sgn_rt.benchmarks.rows.around import TorchAround
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.engines.base import first_line
from sgn_rt.engines.onnxruntime_session import CPU
from sgn_rt.errors import EngineError

NAME: Final = "plain-export"
"""Of the row in which ONNX Runtime has it on the CPU."""
LOG_MAGNITUDE: Final = "log_magnitude"
MASKS: Final = "masks"
PRESENCE: Final = "presence"
"""Input and outputs of the graph."""


def plain_graph(opening: Opening) -> Path:
    """The graph, written where it is not there yet.

    Raises
    ------
    DependencyError
        If PyTorch or ONNX's exporter is not installed.
    UnavailableError
        If the bundle has no checkpoint.
    EngineError
        If the exporter fails.
    """
    path = opening.folder / f"plain-{opening.bundle.identity[:16]}.onnx"
    if not path.exists():
        for module in ("onnx", "onnxscript"):
            opening.require(module, "export")
        write_whole(path, _export(opening))
    return path


def _export(opening: Opening) -> bytes:
    torch = opening.torch()
    config = opening.bundle.config
    example = torch.zeros(1, 1, config.frequency_bins, config.frames)
    module = _masks_of_all(torch, opening.reference())
    level = logging.root.manager.disable
    try:
        logging.disable(logging.WARNING)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module, (example,), dynamo=True,
                input_names=[LOG_MAGNITUDE], output_names=[MASKS, PRESENCE],
            )  # fmt: skip
        content: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # the exporter's have no common base but this
        raise EngineError(
            f"{opening.name}: got {type(error).__name__}: {first_line(error)}, expected "
            "torch.onnx.export to write a graph. Leave this row out, or try another version of "
            "PyTorch."
        ) from error
    finally:
        logging.disable(level)
    return content


def _masks_of_all(torch: Any, model: Any) -> Any:
    class MasksOfAll(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("categories", torch.arange(len(model.config.categories)))

        def forward(self, log_magnitude: Any) -> Any:
            masks, presence, _ = self.model.masks(log_magnitude, self.categories)
            return masks, presence

    return MasksOfAll().eval()


class PlainGraph(TorchAround):
    """Some runtime on the plain export, PyTorch around it."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        for name in [name for name, _ in self._model.named_children()]:
            delattr(self._model, name)  # the transforms are all that is needed of it

    @abstractmethod
    def _infer(self, log_magnitude: Float) -> tuple[Float, Float]:
        """Masks [1, C, L, T] and presence [1, C] of one window's log-magnitude [1, 1, L, T]."""

    def _masked(self, log_magnitude: Any, categories: Any) -> tuple[Any, Any]:
        windows = log_magnitude.contiguous().cpu().numpy()
        answers = [self._infer(windows[i : i + 1]) for i in range(len(windows))]
        masks = np.concatenate([masks for masks, _ in answers])
        chosen = categories.cpu().numpy()
        if not np.array_equal(chosen, np.arange(masks.shape[1])):
            masks = masks[:, chosen]
        presence = np.concatenate([presence for _, presence in answers])
        return self._tensor(masks), self._tensor(presence)


class InOnnxRuntime(PlainGraph):
    """ONNX Runtime with default options.

    Parameters
    ----------
    opening
        Name, model, folder.
    providers
        Names, or names with options, as a session takes them.

    Raises
    ------
    DependencyError
        If PyTorch, its exporter or ONNX Runtime is not installed.
    UnavailableError
        If the bundle has no checkpoint.
    EngineError
        If the graph is not written, or does not load.
    """

    def __init__(self, opening: Opening, providers: tuple[Any, ...] = (CPU,)) -> None:
        super().__init__(opening)
        ort = opening.require("onnxruntime", "cpu")
        path = plain_graph(opening)
        self._session: Any = opening.session(ort, str(path), "the plain export", providers)
        self.detail = (
            f"torch.onnx.export as it comes, torch.stft around it, onnxruntime {ort.__version__}, "
            f"{self.detail}"
        )

    def close(self) -> None:
        """Let go of the session."""
        self._session = None

    def _infer(self, log_magnitude: Float) -> tuple[Float, Float]:
        masks, presence = self._session.run([MASKS, PRESENCE], {LOG_MAGNITUDE: log_magnitude})
        return masks, presence
