"""What every engine is: windows in, sources out, checked once for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sgn_rt._process import OneProcess
from sgn_rt._types import (
    Analysis,
    Answered,
    Float,
    Masked,
    Part,
    Positions,
    Separated,
    Signals,
    Windows,
    as_batch,
)
from sgn_rt.audio.resample import Resampler, SpanResampler
from sgn_rt.errors import EngineError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Precision
from sgn_rt.model.sgn_config import as_sgn
from sgn_rt.model.stages import StageResult
from sgn_rt.model.transform import Transform

P = ParamSpec("P")
T = TypeVar("T")


def first_line(error: BaseException) -> str:
    """What an error of another library says, as far as it fits into a message of ours."""
    first, *_ = [*str(error).strip().splitlines(), type(error).__name__]
    return first[:500]


class Apart(Protocol):
    """Network and synthesis of an engine that goes from sound to sound, each seen alone."""

    def masks(self, mixture: Float, categories: Positions) -> Float:
        """Masks that the network has for a window [N], behind its own STFT: (S, L, T), float32."""
        ...

    def sources(self, spectrum: NDArray[np.complex64], masks: Float) -> Float:
        """Sources that the synthesis makes of a spectrum [F, T] and masks [S, L, T]: (S, N)."""
        ...


def heard(sources: Float, part: Part) -> Float:
    """What is heard of sources [S, N]: a copy, as a view would hold on to the rest of the window.

    Sources that are heard as they are come back themselves.
    """
    cut = sources[:, part.start : part.stop]
    if part.gain != 1.0:
        return cut * np.float32(part.gain)
    return sources if cut.shape == sources.shape else cut.copy()


class Engine(OneProcess, ABC):
    """Runs the network on windows. Immutable, and safe to call from several threads at once.

    Attributes
    ----------
    name
        As it is chosen, e.g. ``onnxruntime``.
    detail
        What really runs: graph, provider, version.
    config
        The model's configuration.
    graph
        Name of the bundle's graph that it runs; None for one that runs none.
    precision
        Of the network's body; sets the limits of parity.
    concurrency
        Calls that are best in flight at a time.
    batch
        Windows that are best in one call.
    """

    name: str
    detail: str
    graph: str | None = None
    precision: Precision
    concurrency: int
    batch: int = 1

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lstrip('_')} {self.name}: {self.detail}>"

    def analyze(self, mixture: Float, wanted: Positions | None = None) -> list[Analysis]:
        """The network, once for each window: what is there, and what sources are made of.

        Parameters
        ----------
        mixture
            shape = (B, N), float32, full scale 1, at the model's rate.
        wanted
            Positions of the categories that may be asked of it, shape = (S,), int64; None for any.
            Others can be asked for, too, at the price of the network.

        Raises
        ------
        EngineError
            If the engine fails, or answers with anything but finite numbers of the right shape.
        """
        self._expect_own_process()
        self._expect_shape("mixture", mixture, (len(mixture), self.config.window_samples))
        analyses = self._told(self._analyze, mixture, wanted)
        for analysis in analyses:
            self._expect_finite("presence", analysis.presence, (len(self.config.categories),))
        return analyses

    def synthesize(self, analysis: Analysis, categories: Positions) -> Float:
        """Sources of one window, shape = (S, N), float32; a source costs what it costs alone.

        Parameters
        ----------
        analysis
            From this engine's `analyze`.
        categories
            Positions, shape = (S,), int64, any number in any order.

        Raises
        ------
        EngineError
            As `analyze`.
        """
        self._expect_own_process()
        sources = self._told(self._synthesize, analysis, categories)
        self._expect_finite("sources", sources, (len(categories), self.config.window_samples))
        return sources

    def hear(
        self, analyses: Sequence[Analysis], categories: Positions, parts: Sequence[Part]
    ) -> list[NDArray[Any]]:
        """What is heard of the sources of windows, one part a window.

        Parameters
        ----------
        analyses
            From this engine's `analyze`.
        categories
            As `synthesize`.
        parts
            Samples within the window.

        Returns
        -------
        list
            Of each window shape = (S, stop - start), float32, or of the part's format.

        Raises
        ------
        EngineError
            As `analyze`.
        """
        return [
            heard(self.synthesize(analysis, categories), part)
            for analysis, part in zip(analyses, parts, strict=True)
        ]

    def answer(
        self,
        windows: Windows,
        wanted: Positions | None,
        chosen: Positions,
        parts: Sequence[Part],
    ) -> list[Answered]:
        """Both steps for a batch of windows: `analyze`, then `hear` of the categories ``chosen``.

        Raises
        ------
        EngineError
            As `analyze`.
        """
        analyses = self.analyze(as_batch(windows), wanted)
        return list(zip(analyses, self.hear(analyses, chosen, parts), strict=True))

    def separate(self, mixture: Float, categories: Positions) -> Separated:
        """Both steps for a batch of windows, shape = (B, N), and S categories.

        Raises
        ------
        EngineError
            As `analyze`.
        """
        samples, known = self.config.window_samples, len(self.config.categories)
        sources = np.empty((len(mixture), len(categories), samples), np.float32)
        presence = np.empty((len(mixture), known), np.float32)
        whole = [Part(0, samples)] * len(mixture)
        answers = self.answer(mixture, categories, categories, whole)
        for row, (analysis, of_window) in enumerate(answers):
            presence[row], sources[row] = analysis.presence, of_window
        return Separated(sources, presence)

    def maker(self, analysis: Analysis) -> Engine:
        """The engine that an analysis is of: itself, unless it is made of several."""
        del analysis
        return self

    def lose(self, engine: Engine, error: EngineError) -> None:
        """Go on without an engine that it is made of; it raises the error where it cannot."""
        del engine
        raise error

    @property
    def apart(self) -> Apart | None:
        """Its two steps as parity sees them; None where it has none that can be seen so."""
        return None

    def resampler(self, source_rate: int, target_rate: int) -> Resampler:
        """What converts ``source_rate`` to ``target_rate``, Hz, where the engine works.

        On the CPU that is soxr.
        """
        return SpanResampler(source_rate, target_rate)

    def close(self) -> None:
        """Free what it holds; calls that come after it, or are under way, may be EngineErrors."""

    def proved(self, results: Sequence[StageResult]) -> None:
        """Told the ``results`` of the start-up probe, all within limits."""
        del results  # nothing to do for most

    @abstractmethod
    def _analyze(self, mixture: Float, wanted: Positions | None) -> list[Analysis]:
        """The work of `analyze`; shapes are checked around it."""

    @abstractmethod
    def _synthesize(self, analysis: Analysis, categories: Positions) -> Float:
        """The work of `synthesize`; shapes are checked around it."""

    def _told(self, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Whatever goes wrong in an engine is the engine's error, so that another can take over."""
        try:
            return work(*arguments, **options)
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(
                f"{self.name}: got {type(error).__name__}: {first_line(error)}, expected a "
                "result. Choose another engine."
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


class _Whole(NamedTuple):
    """A window [N], and the sources [S, N] of some categories [S] that were made with it."""

    mixture: Float
    categories: Positions
    sources: Float


class WholeEngine(Engine):
    """Goes from mixture to sources in one graph, which cannot stop between its two steps.

    So the sources that may be asked for are made at once: those wanted, or all where any may be.

    Attributes
    ----------
    most_sources
        Sources of a call up to which all are made where any may be asked for. A model of more
        categories is asked for presence first, and again for the sources: the network twice.
    """

    most_sources: int = 64

    @abstractmethod
    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        """Sources of windows [B, N]; no category costs only what presence needs."""

    def _analyze(self, mixture: Float, wanted: Positions | None) -> list[Analysis]:
        if wanted is None:
            known = len(self.config.categories)
            wanted = np.arange(known if known <= self.most_sources else 0)
        answer = self._separate(mixture, wanted)
        shape = (len(mixture), len(wanted), self.config.window_samples)
        self._expect_shape("sources", answer.sources, shape)
        self._expect_shape("presence", answer.presence, (len(mixture), answer.presence.shape[-1]))
        return [
            Analysis(presence, _Whole(window, wanted, sources))
            for window, sources, presence in zip(mixture, *answer, strict=True)
        ]

    def _synthesize(self, analysis: Analysis, categories: Positions) -> Float:
        made: _Whole = analysis.state
        if np.array_equal(made.categories, categories):
            return made.sources
        rows = {int(category): row for row, category in enumerate(made.categories)}
        if all(int(category) in rows for category in categories):
            picked: Float = made.sources[[rows[int(category)] for category in categories]]
            return picked
        again: Float = self._separate(made.mixture[None], categories).sources[0]
        return again


class MaskEngine(Engine):
    """Runs the network from log-magnitude to masks; the STFT around it is SciPy's.

    Masks are made one at a time, so that a source is the same to the bit whatever else is asked
    for.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.transform = Transform(config)

    def masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        """Masks of the chosen categories, from ``log_magnitude`` [B, 1, L, T].

        Raises
        ------
        EngineError
            As `analyze`.
        """
        plane = (self.config.frequency_bins, self.config.frames)
        batch = len(log_magnitude)
        self._expect_own_process()
        self._expect_shape("log_magnitude", log_magnitude, (batch, 1, *plane))
        result = self._told(self._all_masks, log_magnitude, categories)
        self._expect_finite(
            "masks", result.masks, (batch, len(categories), *self.config.mask_shape)
        )
        return result

    def masks_of(self, mixture: Float, categories: Positions) -> Float:
        """Masks of a window [N], behind the engine's own STFT: (S, L, T), float32.

        Raises
        ------
        EngineError
            As `analyze`.
        """
        log_magnitude = self.transform.log_magnitude(self.transform.stft(mixture))
        masks: Float = self.masks(log_magnitude[None], categories).masks[0]
        return masks

    @property
    def shows_assignment(self) -> bool:
        """Whether it has `signals`: what runs may give no assignments."""
        return False

    def signals(self, log_magnitude: Float) -> Signals:
        """What the network says of one window beside masks, from ``log_magnitude`` [L, T].

        Raises
        ------
        EngineError
            As `analyze`; also where it does not show them.
        """
        config = as_sgn(self.config, "assignments")
        self._expect_own_process()
        plane = (config.frequency_bins, config.frames)
        self._expect_shape("log_magnitude", log_magnitude, plane)
        found = self._told(self._signals, log_magnitude[None, None])
        classes = len(config.categories)
        self._expect_finite("presence", found.presence, (classes,))
        self._expect_finite("embedding", found.embedding, (classes, config.embedding_dim))
        self._expect_finite("assignment", found.assignment, (classes, config.tokens))
        return found

    def _signals(self, log_magnitude: Float) -> Signals:
        """The work of `signals`, of [1, 1, L, T]."""
        del log_magnitude
        raise EngineError(
            f"assignments: got {self.detail}, which gives none, expected a graph that "
            "does. Export the bundle with --assignment."
        )

    def _all_masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        rows = self._network(log_magnitude, categories)
        masks = np.empty((len(rows), len(categories), *self.config.mask_shape), np.float32)
        for out, (_, state) in zip(masks, rows, strict=True):
            for column, category in enumerate(categories):
                out[column] = self._mask(state, int(category))
        return Masked(masks, np.stack([presence for presence, _ in rows]))

    @abstractmethod
    def _network(
        self, log_magnitude: Float, wanted: Positions | None
    ) -> Sequence[tuple[Float, Any]]:
        """Of each window the presence [C], and what its masks are made of."""

    @abstractmethod
    def _mask(self, state: Any, category: int) -> Float:
        """The mask of one category, shape = (L, T), float32."""

    def _analyze(self, mixture: Float, wanted: Positions | None) -> list[Analysis]:
        spectra = [self.transform.stft(window) for window in mixture]
        log_magnitude = np.stack([self.transform.log_magnitude(spectrum) for spectrum in spectra])
        rows = self._network(log_magnitude, wanted)
        return [
            Analysis(presence, (spectrum, state))
            for spectrum, (presence, state) in zip(spectra, rows, strict=True)
        ]

    def _synthesize(self, analysis: Analysis, categories: Positions) -> Float:
        spectrum, state = analysis.state
        sources = np.empty((len(categories), self.config.window_samples), np.float32)
        synthesize = self.transform.synthesis(spectrum)
        for row, category in enumerate(categories):
            sources[row] = synthesize(self._mask(state, int(category)))
        return sources


class MasksAtOnce(MaskEngine):
    """A network that gives all masks wanted together with the rest."""

    @abstractmethod
    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        """Masks [B, S, L, T] and presence [B, C]; no category costs only what presence needs."""

    def _all_masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        return self._masks(log_magnitude, categories)

    def _network(
        self, log_magnitude: Float, wanted: Positions | None
    ) -> Sequence[tuple[Float, Any]]:
        if wanted is None:
            wanted = np.arange(len(self.config.categories))
        masked = self._masks(log_magnitude, wanted)
        rows = {int(category): row for row, category in enumerate(wanted)}
        return [
            (presence, (log_magnitude[i : i + 1], rows, masks))
            for i, (masks, presence) in enumerate(zip(*masked, strict=True))
        ]

    def _mask(self, state: Any, category: int) -> Float:
        log_magnitude, rows, masks = state
        if category in rows:
            mask: Float = masks[rows[category]]
            return mask
        late: Float = self._masks(log_magnitude, np.array([category])).masks[0, 0]
        return late
