"""The PyTorch reference as an engine: the truth for the others, and their last resort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sgn_rt._optional import require
from sgn_rt._types import Analysis, Float, Positions, Signals
from sgn_rt.engines.base import MaskEngine
from sgn_rt.errors import UnavailableError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import expect_same_model
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Precision


class TorchEngine(MaskEngine):
    """Eager PyTorch on the CPU, float32, channels-last.

    PyTorch's own threads are left as they are.

    Parameters
    ----------
    bundle
        The model.
    checkpoint
        Weights in the place of the bundle's, for a model of the same configuration.
    """

    name = "torch"
    precision = Precision.FP32
    concurrency = 1

    def __init__(self, bundle: Bundle, checkpoint: Path | None = None) -> None:
        super().__init__(bundle.config)
        self._torch: Any = require("torch", extra="export", purpose="the torch engine")
        if bundle.config.is_whole:
            raise UnavailableError(
                "torch: got the bundle of a user's own network, whose code is not in it, expected "
                "one of an sgn-checkpoint. Choose another engine; what the network says of the "
                "probes is in the bundle."
            )
        if checkpoint is None and not bundle.has_checkpoint:
            raise UnavailableError(
                f"torch: got a bundle without {BUNDLE_CHECKPOINT}, expected one with it. "
                "Export the bundle again, or choose another engine."
            )
        from sgn_rt.reference import load, load_content

        if checkpoint is None:
            content = bundle.read(BUNDLE_CHECKPOINT)
            model: Any = load_content(content, bundle.root / BUNDLE_CHECKPOINT)
        else:
            model = load(checkpoint)
            expect_same_model(checkpoint, model.config, bundle.config)
        self._model = model.to(memory_format=self._torch.channels_last)
        self.detail = f"PyTorch reference, float32 on the CPU, torch {self._torch.__version__}"

    def _network(
        self, log_magnitude: Float, wanted: Positions | None
    ) -> Sequence[tuple[Float, Any]]:
        del wanted  # any can be asked for
        return self._rows(self._torch.from_numpy(log_magnitude))

    def _rows(self, log_magnitude: Any) -> Sequence[tuple[Float, Any]]:
        with self._torch.inference_mode():
            basis, guide, presence, _ = self._model.network(log_magnitude)
        return [
            (presence[i].numpy(), (basis[i : i + 1], guide[i : i + 1])) for i in range(len(basis))
        ]

    @property
    def shows_assignment(self) -> bool:
        """As `MaskEngine.shows_assignment`."""
        return True

    def _signals(self, log_magnitude: Float) -> Signals:
        with self._torch.inference_mode():
            found = self._model.signals(self._torch.from_numpy(log_magnitude))
        return Signals(*(each[0].numpy() for each in found))

    def _mask(self, state: Any, category: int) -> Float:
        mask: Float = self._mask_tensor(state, category).contiguous().numpy()[0, 0]
        return mask

    def _mask_tensor(self, state: Any, category: int) -> Any:
        basis, guide = state
        with self._torch.inference_mode():
            return self._model.mask(basis, guide[:, category : category + 1])

    def _analyze(self, mixture: Float, wanted: Positions | None) -> list[Analysis]:
        del wanted
        with self._torch.inference_mode():
            spectrum = self._model.stft(self._torch.from_numpy(mixture))
            rows = self._rows(self._model.log_magnitude(spectrum))
        return [
            Analysis(presence, (spectrum[i : i + 1], state))
            for i, (presence, state) in enumerate(rows)
        ]

    def _synthesize(self, analysis: Analysis, categories: Positions) -> Float:
        spectrum, state = analysis.state
        sources = np.empty((len(categories), self.config.window_samples), np.float32)
        with self._torch.inference_mode():
            for row, category in enumerate(categories):
                mask = self._mask_tensor(state, int(category))
                sources[row] = self._model.istft(spectrum, mask).numpy()[0, 0]
        return sources
