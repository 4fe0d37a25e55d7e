"""PyTorch's STFT and inverse STFT around some network: what most rows have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from sgn_rt._types import Float, Masked, Positions, Separated
from sgn_rt.benchmarks.rows.opening import Opening
from sgn_rt.engines.base import MasksAtOnce, WholeEngine
from sgn_rt.model.contract import Precision


class TorchAround(WholeEngine, MasksAtOnce):
    """The reference's transforms as they are, and another network between them.

    Parity sees the network alone, on the reference's log-magnitude, and the whole.

    Parameters
    ----------
    opening
        Name, model, device.

    Raises
    ------
    DependencyError
        If PyTorch is not installed.
    UnavailableError
        If the bundle has no checkpoint.
    """

    precision = Precision.FP32
    concurrency = 1

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening.bundle.config)
        self.name = opening.name
        self._torch = opening.torch()
        self._device = opening.device
        self._model = opening.reference().to(opening.device)
        self.detail = f"torch {self._torch.__version__}"

    @abstractmethod
    def _masked(self, log_magnitude: Any, categories: Any) -> tuple[Any, Any]:
        """Masks [B, S, L, T] and presence [B, C], tensors of any precision, of tensors."""

    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        with self._torch.inference_mode():
            masks, presence = self._masked(self._tensor(log_magnitude), self._tensor(categories))
        return Masked(_array(masks), _array(presence))

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        with self._torch.inference_mode():
            spectrum = self._model.stft(self._tensor(mixture))
            masks, presence = self._masked(
                self._model.log_magnitude(spectrum), self._tensor(categories)
            )
            sources = self._model.istft(spectrum, masks.float())
        return Separated(_array(sources), _array(presence))

    def _tensor(self, array: Any) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _warm_up(self) -> None:
        """What is compiled at the first call is compiled before any call is timed."""
        quiet = np.zeros((1, self.config.window_samples), np.float32)
        self._separate(quiet, np.arange(len(self.config.categories)))


def _array(tensor: Any) -> Float:
    found: Float = tensor.float().contiguous().cpu().numpy()
    return found
