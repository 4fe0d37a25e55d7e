"""What somebody would take in the place of this package, by the names of their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sgn_rt.benchmarks.rows.compiled import Compiled
from sgn_rt.benchmarks.rows.cuda import CompiledOnCuda, HalfOnCuda, InTorchTensorRt
from sgn_rt.benchmarks.rows.eager import Bfloat16, ChannelsLast, Contiguous, Twice
from sgn_rt.benchmarks.rows.onnxruntime_gpu import OnGpu
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.benchmarks.rows.openvino_graph import InOpenVino
from sgn_rt.benchmarks.rows.plain import NAME as PLAIN_EXPORT
from sgn_rt.benchmarks.rows.plain import InOnnxRuntime
from sgn_rt.benchmarks.rows.tensorrt_stft import InTensorRt
from sgn_rt.benchmarks.rows.whole_graph import WholeInOnnxRuntime
from sgn_rt.engines.base import Engine
from sgn_rt.engines.onnxruntime_session import CUDA, TENSORRT


@dataclass(frozen=True, slots=True, kw_only=True)
class Competitor:
    """How a row is opened.

    Attributes
    ----------
    open
        Raises an SgnError where it cannot be had.
    precision
        Of its products.
    on_gpu
        Whether it needs one.
    """

    open: Callable[[Opening], Engine]
    precision: str = "fp32"
    on_gpu: bool = False


REFERENCE: Final = "torch"
"""The row that the others are compared with: the name of an engine, too, but all at once here."""

AS_CALLED: Final = "torch-twice"
"""The row of PyTorch as somebody would call it, which differs where no categories are named."""

COMPETITORS: Final = {
    REFERENCE: Competitor(open=ChannelsLast),
    AS_CALLED: Competitor(open=Twice),
    "torch-contiguous": Competitor(open=Contiguous),
    "torch-compile": Competitor(open=Compiled),
    "torch-bf16": Competitor(open=Bfloat16, precision="bf16"),
    PLAIN_EXPORT: Competitor(open=InOnnxRuntime),
    "onnx-stft": Competitor(open=partial(WholeInOnnxRuntime, forward="STFT")),
    "onnx-dft": Competitor(open=partial(WholeInOnnxRuntime, forward="DFT")),
    "openvino": Competitor(open=InOpenVino),
    "torch-cuda-half": Competitor(open=HalfOnCuda, precision="fp16", on_gpu=True),
    "torch-cuda-compile": Competitor(open=CompiledOnCuda, precision="fp16", on_gpu=True),
    "torch-tensorrt": Competitor(open=InTorchTensorRt, precision="fp16", on_gpu=True),
    "onnxruntime-cuda-plain": Competitor(
        open=partial(OnGpu, provider=CUDA), precision="tf32", on_gpu=True
    ),
    "onnxruntime-tensorrt-plain": Competitor(
        open=partial(OnGpu, provider=TENSORRT), precision="fp16", on_gpu=True
    ),
    "tensorrt-onnx-stft": Competitor(open=InTensorRt, on_gpu=True),
}  # fmt: skip
"""In the order of the tables: those of the CPU first."""
