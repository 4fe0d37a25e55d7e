"""What every engine is: windows in, sources out, checked once for all of them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from sgn_rt._types import Float, Masked, Positions, Separated
from sgn_rt.errors import EngineError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Precision
from sgn_rt.model.stages import StageResult
from sgn_rt.model.transform import Transform

T = TypeVar("T")


def available_cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Engine(ABC):
    """Runs the network on windows. Immutable, and safe to call from several threads at once.

    Attributes
    ----------
    name
        As it is chosen, e.g. ``onnxruntime``.
    detail
        What really runs: graph, provider, version.
    config
        The model's configuration.
    precision
        Of the network's body; sets the limits of parity.
    concurrency
        Calls that are best in flight at a time.
    batch
        Windows that are best in one call.
    """

    name: str
    detail: str
    precision: Precision
    concurrency: int
    batch: int = 1

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    def separate(self, mixture: Float, categories: Positions) -> Separated:
        """Separate a batch of windows.

        Parameters
        ----------
        mixture
            shape = (B, N), float32, full scale 1, at the model's rate.
        categories
            Positions of the wanted categories, shape = (S,), int64, any order; none costs only what
            presence needs.

        Raises
        ------
        EngineError
            If the engine fails, or answers with anything but finite numbers of the right shape.
        """
        self._expect_shape("mixture", mixture, (len(mixture), self.config.window_samples))
        result = self._guarded(self._separate, mixture, categories)
        batch, wanted = len(mixture), len(categories)
        self._expect_finite("sources", result.sources, (batch, wanted, self.config.window_samples))
        self._expect_finite("presence", result.presence, (batch, len(self.config.categories)))
        return result

    def proved(self, results: Sequence[StageResult]) -> None:
        """Told what the start-up probe has measured, all within limits."""
        del results  # nothing to do for most

    @abstractmethod
    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        """The work of `separate`; shapes are checked around it."""

    def _guarded(self, work: Callable[[Float, Positions], T], x: Float, categories: Positions) -> T:
        """Whatever goes wrong in an engine is the engine's error, so that another can take over."""
        try:
            return work(x, categories)
        except EngineError:
            raise
        except Exception as error:
            first, *_ = [*str(error).strip().splitlines(), ""]
            raise EngineError(
                f"{self.name}: got {type(error).__name__}: {first}, expected a result. "
                "Choose another engine."
            ) from error

    def _expect_shape(self, what: str, array: Float, shape: tuple[int, ...]) -> None:
        if array.shape != shape or array.dtype != np.float32:
            raise EngineError(
                f"{self.name}: {what}: got {array.dtype} of shape {array.shape}, expected "
                f"float32 of shape {shape}. Please report it: the engine or its caller is wrong."
            )

    def _expect_finite(self, what: str, array: Float, shape: tuple[int, ...]) -> None:
        self._expect_shape(what, array, shape)
        if not np.isfinite(array).all():
            bad = array.size - np.count_nonzero(np.isfinite(array))
            raise EngineError(
                f"{self.name}: {what}: got {bad} non-finite numbers of {array.size}, expected "
                "none. The engine is wrong for this input: choose another one."
            )


class MaskEngine(Engine):
    """Runs the network from log-magnitude to masks; the STFT around it is SciPy's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.transform = Transform(config)

    def masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        """Masks of the chosen categories, from ``log_magnitude`` [B, 1, L, T].

        Raises
        ------
        EngineError
            As `separate`.
        """
        plane = (self.config.frequency_bins, self.config.frames)
        self._expect_shape("log_magnitude", log_magnitude, (len(log_magnitude), 1, *plane))
        result = self._guarded(self._masks, log_magnitude, categories)
        shape = (len(log_magnitude), len(categories), *plane)
        self._expect_finite("masks", result.masks, shape)
        return result

    @abstractmethod
    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        """The work of `masks`."""

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        spectra = [self.transform.stft(window) for window in mixture]
        log_magnitude = np.stack([self.transform.log_magnitude(spectrum) for spectrum in spectra])
        masked = self._masks(log_magnitude, categories)
        sources = np.empty((len(mixture), len(categories), self.config.window_samples), np.float32)
        for row, spectrum in enumerate(spectra):
            for column in range(len(categories)):
                sources[row, column] = self.transform.synthesize(
                    spectrum, masked.masks[row, column]
                )
        return Separated(sources, masked.presence)
