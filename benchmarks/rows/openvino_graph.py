"""OpenVINO on the plain export."""

from __future__ import annotations

from sgn_rt._types import Float
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.benchmarks.rows.plain import LOG_MAGNITUDE, MASKS, PRESENCE, PlainGraph, plain_graph
from sgn_rt.engines.base import first_line
from sgn_rt.errors import EngineError


class InOpenVino(PlainGraph):
    """The CPU's plugin, for latency, in float32: left alone it takes bfloat16 where there is some.

    Raises
    ------
    DependencyError
        If OpenVINO, PyTorch or its exporter is not installed.
    UnavailableError
        If the bundle has no checkpoint.
    EngineError
        If the graph is not written, or does not load.
    """

    def __init__(self, opening: Opening) -> None:
        openvino = opening.require("openvino", "bench")
        super().__init__(opening)
        path = plain_graph(opening)
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": opening.threads,
        }
        try:
            self._compiled = openvino.compile_model(str(path), "CPU", options)
        except RuntimeError as error:
            raise EngineError(
                f"{self.name}: got {first_line(error)}, expected OpenVINO to load the plain "
                "export. Leave this row out."
            ) from error
        self.detail = (
            f"torch.onnx.export as it comes, torch.stft around it, openvino "
            f"{openvino.__version__.partition('-')[0]}, {self.detail}"
        )

    def _infer(self, log_magnitude: Float) -> tuple[Float, Float]:
        # A request of its own, as engines are called from several threads.
        answer = self._compiled.create_infer_request().infer({LOG_MAGNITUDE: log_magnitude})
        return answer[MASKS], answer[PRESENCE]
