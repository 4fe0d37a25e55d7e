"""The PyTorch reference as an engine: the truth for the others, and their last resort."""

from __future__ import annotations

from typing import Any

from sgn_rt._optional import require
from sgn_rt._types import Float, Masked, Positions, Separated
from sgn_rt.engines.base import MaskEngine
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Precision


class TorchEngine(MaskEngine):
    """Eager PyTorch on the CPU, float32, channels-last.

    PyTorch's own threads are left as they are.
    """

    name = "torch"
    precision = Precision.FP32
    concurrency = 1

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.config)
        self._torch: Any = require("torch", extra="export", purpose="the torch engine")
        if not bundle.has_checkpoint:
            raise EngineError(
                f"torch: got a bundle without {BUNDLE_CHECKPOINT}, expected one with it. "
                "Export the bundle again, or choose another engine."
            )
        from sgn_rt.reference import load

        model: Any = load(bundle.root / BUNDLE_CHECKPOINT)
        self._model = model.to(memory_format=self._torch.channels_last)
        self.detail = f"PyTorch reference, float32 on the CPU, torch {self._torch.__version__}"

    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        torch = self._torch
        with torch.inference_mode():
            masks, presence, _ = self._model.masks(
                torch.from_numpy(log_magnitude), torch.from_numpy(categories)
            )
        return Masked(masks.contiguous().numpy(), presence.numpy())

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        torch = self._torch
        with torch.inference_mode():
            result = self._model(torch.from_numpy(mixture), torch.from_numpy(categories))
        return Separated(result.sources.contiguous().numpy(), result.presence.numpy())
