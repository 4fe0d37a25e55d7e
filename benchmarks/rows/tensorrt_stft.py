"""TensorRT's own parse of ONNX ``STFT``, where our engines have a plugin. Not yet run on a GPU."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from sgn_rt._types import Float, Positions
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.benchmarks.rows.standard_transforms import CATEGORIES, MIXTURE
from sgn_rt.benchmarks.rows.whole_graph import OUTPUTS, WholeGraph, whole_graph
from sgn_rt.engines.base import first_line
from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.bindings import Flavor, load
from sgn_rt.tensorrt.device.factory import open_device


class InTensorRt(WholeGraph):
    """Built and run by Polygraphy, float32 without TF32.

    TensorRT makes a convolution of ``STFT``, and has no operator for the way back: that is a
    transposed convolution.

    Raises
    ------
    DependencyError
        If TensorRT, Polygraphy, cuda-python, PyTorch or its exporter is not installed.
    UnavailableError
        If there is no GPU, or the bundle has no checkpoint.
    EngineError
        If the engine is not built.
    """

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        version = load(Flavor.TENSORRT).version
        self._device = open_device(opening.ordinal)
        trt: Any = opening.require("polygraphy.backend.trt", "export")
        self._lock = threading.Lock()  # one execution context
        content = whole_graph(opening, "STFT", "ConvTranspose")
        known = len(self.config.categories)
        profile = trt.Profile().add(CATEGORIES, min=(1,), opt=(known,), max=(known,))
        try:
            with self._device.current():
                self._runner = trt.TrtRunner(
                    trt.EngineFromNetwork(
                        trt.NetworkFromOnnxBytes(content),
                        config=trt.CreateConfig(profiles=[profile], tf32=False),
                    )
                )
                self._runner.activate()
        except Exception as error:  # Polygraphy's, or whatever TensorRT makes Python raise
            raise EngineError(
                f"{self.name}: got {first_line(error)}, expected TensorRT to build an engine. "
                "Leave this row out."
            ) from error
        self.detail = (
            "torch.onnx.export as it comes, ONNX STFT before it, a transposed convolution behind "
            f"it, one engine, float32, tensorrt {'.'.join(map(str, version))}"
        )

    def close(self) -> None:
        """Free engine and buffers."""
        with self._device.current():
            self._runner.deactivate()

    def _infer(self, mixture: Float, categories: Positions) -> tuple[Float, Float]:
        with self._lock, self._device.current():
            answer = self._runner.infer({MIXTURE: mixture, CATEGORIES: categories})
            sources, presence = (np.array(answer[name], np.float32) for name in OUTPUTS)
        return sources, presence
