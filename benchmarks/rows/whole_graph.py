"""One graph from mixture to sources, in ONNX's own operators for both transforms."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from sgn_rt._types import Float, Positions, Separated
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.benchmarks.rows.plain import PRESENCE, plain_graph
from sgn_rt.benchmarks.rows.standard_transforms import (
    CATEGORIES,
    MIXTURE,
    SOURCES,
    Back,
    Forward,
    with_transforms,
)
from sgn_rt.engines.base import WholeEngine, first_line
from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Precision

OUTPUTS: Final = (SOURCES, PRESENCE)


def whole_graph(opening: Opening, forward: Forward, back: Back) -> bytes:
    """The graph of a model.

    Raises
    ------
    DependencyError
        If PyTorch, ONNX or its exporter is not installed.
    UnavailableError
        If the bundle has no checkpoint.
    EngineError
        If the plain export fails, or the graph does not become one.
    """
    onnx = opening.require("onnx", "export")
    plain = onnx.load_model(str(plain_graph(opening)))
    try:
        model = with_transforms(plain, opening.bundle.config, forward, back)
    except onnx.checker.ValidationError as error:
        raise EngineError(
            f"{opening.name}: got {first_line(error)}, expected a graph. Leave this row out."
        ) from error
    content: bytes = model.SerializeToString()
    return content


class WholeGraph(WholeEngine):
    """Some runtime on that graph: all windows one by one, as the plain export is for one."""

    precision = Precision.FP32
    concurrency = 1

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening.bundle.config)
        self.name = opening.name

    def _infer(self, mixture: Float, categories: Positions) -> tuple[Any, Any]:
        raise NotImplementedError

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        # Presence comes with sources; ONNX has no transform of no frame at all.
        asked = categories if len(categories) else np.zeros(1, np.int64)
        answers = [self._infer(mixture[i : i + 1], asked) for i in range(len(mixture))]
        sources = np.concatenate([sources for sources, _ in answers])[:, : len(categories)]
        return Separated(sources, np.concatenate([presence for _, presence in answers]))


class WholeInOnnxRuntime(WholeGraph):
    """ONNX Runtime on the CPU, with default options.

    Its transform of a length that is no power of two goes by way of a convolution in float32: of
    1022 samples 81 dB are right (1.32), which the logarithm behind it amplifies until the published
    model is beyond the limits of float32 (whole: 79 dB, of 90).

    Parameters
    ----------
    opening
        Name, model, folder.
    forward
        Operator of the way forward; the way back is an inverse ``DFT`` and ``Col2Im``.

    Raises
    ------
    DependencyError, UnavailableError
        As `whole_graph`, or if ONNX Runtime is not installed.
    EngineError
        As `whole_graph`, or if it does not load.
    """

    def __init__(self, opening: Opening, forward: Forward) -> None:
        super().__init__(opening)
        ort = opening.require("onnxruntime", "cpu")
        content = whole_graph(opening, forward, "DFT")
        self._session: Any = opening.session(ort, content, "the graph")
        self.detail = (
            f"torch.onnx.export as it comes, ONNX {forward} before it, inverse DFT and Col2Im "
            f"behind it, one graph, onnxruntime {ort.__version__}"
        )

    def close(self) -> None:
        """Let go of the session."""
        self._session = None

    def _infer(self, mixture: Float, categories: Positions) -> tuple[Float, Float]:
        inputs = {MIXTURE: mixture, CATEGORIES: categories}
        sources, presence = self._session.run(list(OUTPUTS), inputs)
        return sources, presence
