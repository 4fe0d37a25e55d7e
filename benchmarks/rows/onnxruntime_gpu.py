"""ONNX Runtime's providers of a GPU on the plain export. Not yet run on a GPU."""

from __future__ import annotations

from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.benchmarks.rows.plain import InOnnxRuntime
from sgn_rt.engines.onnxruntime_session import CUDA, TENSORRT, load_onnxruntime
from sgn_rt.model.contract import Precision


class OnGpu(InOnnxRuntime):
    """One provider, with default options but for half precision in TensorRT's.

    CUDA's computes products in TF32 as it comes, with the 10 bits of mantissa that float16 has: it
    is judged by the same limits.

    Raises
    ------
    DependencyError, UnavailableError, EngineError
        As `InOnnxRuntime`, or if the provider is not in the package, or does not load.
    """

    precision = Precision.FP16

    def __init__(self, opening: Opening, provider: str) -> None:
        load_onnxruntime(provider)
        device = {"device_id": str(opening.ordinal)}
        wanted = [(CUDA, device)]
        if provider == TENSORRT:
            wanted.insert(0, (TENSORRT, {**device, "trt_fp16_enable": "1"}))
        super().__init__(opening, tuple(wanted))
        running = self._session.get_providers()
        if running[0] != provider:
            self.close()
            raise opening.unavailable(provider, f"only {', '.join(running)}, as it does not load")
        self.detail = f"{provider}, {self.detail}"
