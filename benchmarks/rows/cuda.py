"""PyTorch on a GPU, in half precision: eager, compiled, and by way of TensorRT.

None of these has run on a GPU yet.
"""

from __future__ import annotations

import copy
import importlib
import threading
import warnings
from typing import Any, Final

from sgn_rt.benchmarks.rows.around import TorchAround
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.engines.base import first_line
from sgn_rt.errors import EngineError
from sgn_rt.model.contract import Precision

TORCH_TENSORRT_COMMAND: Final = "pip install torch-tensorrt"


class HalfOnCuda(TorchAround):
    """Weights and activations of the network in float16, channels-last; transforms in float32.

    Raises
    ------
    DependencyError, UnavailableError
        If PyTorch is not here, has no CUDA or no GPU, or the bundle has no checkpoint.
    EngineError
        If what it is compiled by fails.
    """

    precision = Precision.FP16
    how = "eager"

    def __init__(self, opening: Opening) -> None:
        if opening.device.startswith("cuda"):
            opening.torch_on_gpu()
        super().__init__(opening)
        half = copy.deepcopy(self._model).half().to(memory_format=self._torch.channels_last)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._network_of = self._compiled(half, opening)
                self._warm_up()
        except EngineError:
            raise
        except Exception as error:  # whatever a compiler, or what it has made, raises
            raise EngineError(
                f"{self.name}: got {type(error).__name__}: {first_line(error)}, expected the "
                "network to run in half precision. Leave this row out."
            ) from error
        self.detail = f"{self.how}, float16, channels-last, {opening.device}, {self.detail}"

    def _compiled(self, half: Any, opening: Opening) -> Any:
        """What runs the network: log-magnitude to basis maps, guides, presence, embedding."""
        del opening
        return half.network

    def _masked(self, log_magnitude: Any, categories: Any) -> tuple[Any, Any]:
        basis, guide, presence, _ = self._network_of(log_magnitude.half())
        return self._model.mask(basis, guide.index_select(1, categories)), presence


class CompiledOnCuda(HalfOnCuda):
    """As `HalfOnCuda`, by ``torch.compile``."""

    how = "torch.compile of the network"

    def _compiled(self, half: Any, opening: Opening) -> Any:
        del opening
        return self._torch.compile(half.network)


class InTorchTensorRt(HalfOnCuda):
    """As `HalfOnCuda`, the network by ``torch_tensorrt``, for one window at a time."""

    how = "torch_tensorrt"

    def __init__(self, opening: Opening) -> None:
        self._lock = threading.Lock()  # its module has one execution context
        super().__init__(opening)

    def _compiled(self, half: Any, opening: Opening) -> Any:
        try:
            torch_tensorrt: Any = importlib.import_module("torch_tensorrt")
        except (ImportError, OSError) as error:
            raise opening.unavailable(
                "the package torch_tensorrt", first_line(error), TORCH_TENSORRT_COMMAND
            ) from error
        self.detail = f"torch_tensorrt {torch_tensorrt.__version__}, {self.detail}"
        torch: Any = self._torch
        config = self.config

        class Network(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.model = half

            def forward(self, log_magnitude: Any) -> Any:
                return self.model.network(log_magnitude)

        shape = (1, 1, config.frequency_bins, config.frames)
        example = torch.zeros(shape, dtype=torch.half, device=opening.device)
        return torch_tensorrt.compile(
            Network().eval(), ir="dynamo", arg_inputs=[example], enabled_precisions={torch.half}
        )

    def _masked(self, log_magnitude: Any, categories: Any) -> tuple[Any, Any]:
        with self._lock:
            rows = [super(InTorchTensorRt, self)._masked(log_magnitude[i : i + 1], categories)
                    for i in range(len(log_magnitude))]  # fmt: skip
        masks, presence = zip(*rows, strict=True)
        return self._torch.cat(masks), self._torch.cat(presence)
