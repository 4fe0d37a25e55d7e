"""Windows on which an engine is compared with another one, and the worst of them for each stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import Piece
from sgn_rt.engines.base import Engine, MaskEngine
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Precision
from sgn_rt.model.probe import Probe
from sgn_rt.model.stages import PRESENCE_THRESHOLD, Stage, StageResult
from sgn_rt.parity.measure import measure, shares

MOST_SOURCES: Final = 4
"""Of a window that are compared: those with a stem, those that sound, and one that does not."""

_COARSENESS: Final = (Precision.FP32, Precision.FP16, Precision.INT8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A window, and what the reference makes of it.

    Attributes
    ----------
    file
        Where it is from.
    second
        Where it begins there.
    probe
        Of one window.
    """

    file: str
    second: float
    probe: Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The window that is worst for a stage.

    Attributes
    ----------
    result
        Its figure.
    excerpt
        The window.
    category
        Whose source, share or presence is furthest off.
    expected, found
        The reference's source of it, and the engine's, shape = (N,); None where the probe holds no
        source of it.
    """

    result: StageResult
    excerpt: Excerpt
    category: str
    expected: Float | None
    found: Float | None

    def __str__(self) -> str:
        return f"{self.excerpt.file} at {self.excerpt.second:.2f} s, {self.category}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        second = round(self.excerpt.second, 3)
        return {"file": self.excerpt.file, "second": second, "category": self.category}


def of_probe(probe: Probe, name: str = "probe") -> Iterator[Excerpt]:
    """The windows of a bundle's probe."""
    for w in range(probe.windows):
        arrays = {field.name: getattr(probe, field.name) for field in fields(probe)}
        one: dict[str, Any] = {k: None if a is None else a[w : w + 1] for k, a in arrays.items()}
        yield Excerpt(file=f"{name} {w}", second=0.0, probe=Probe(**one))


def of_music(pieces: Iterable[Piece], reference: Engine) -> Iterator[Excerpt]:
    """All of some music, window by window; the last of a piece ends where it does."""
    config = reference.config
    for piece in pieces:
        samples = len(piece.mixture)
        last = max(0, samples - config.window_samples)
        for start in sorted({*range(0, last + 1, config.window_samples), last}):
            stems = {
                name: _window(stem, start, config)
                for name, stem in piece.stems.items()
                if name in config.categories
            }
            mixture = _window(piece.mixture, start, config)
            yield Excerpt(
                file=piece.name,
                second=start / config.sample_rate,
                probe=golden(reference, mixture, stems),
            )


def golden(reference: Engine, mixture: Float, stems: Mapping[str, Float]) -> Probe:
    """A probe of one window, its truth an engine's.

    Parameters
    ----------
    reference
        The engine. Where it takes no log-magnitude the probe's masks are zeros.
    mixture
        shape = (N,).
    stems
        Category -> shape = (N,), as far as known.

    Raises
    ------
    EngineError
        If the engine fails.
    """
    config = reference.config
    known = np.arange(len(config.categories))
    presence = reference.separate(mixture[None], known[:0]).presence
    chosen = _chosen(presence[0], [config.categories.index(name) for name in stems])
    plane = (len(chosen), config.frequency_bins, config.frames)
    log_magnitude, masks = np.zeros(plane[1:], np.float32), np.zeros(plane, np.float32)
    if isinstance(reference, MaskEngine):
        log_magnitude = reference.transform.log_magnitude(reference.transform.stft(mixture))[0]
        masks = reference.masks(log_magnitude[None, None], chosen).masks[0]
    silence = np.zeros_like(mixture)
    true = np.stack([stems.get(config.categories[i], silence) for i in chosen])
    return Probe(
        mixture=mixture[None],
        categories=chosen[None],
        log_magnitude=log_magnitude[None],
        masks=masks[None],
        sources=reference.separate(mixture[None], chosen).sources,
        presence=presence,
        stems=true[None],
        stem_known=np.array([[bool(stem.any()) for stem in true]]),
        shares=shares(reference, mixture)[None],
    )


def _chosen(presence: Float, with_stem: Sequence[int]) -> np.ndarray:
    order = np.argsort(-presence, kind="stable")
    sounding = [int(i) for i in order if presence[i] > PRESENCE_THRESHOLD]
    wanted = [*dict.fromkeys([*with_stem, *sounding])][: MOST_SOURCES - 1]
    return np.array([*dict.fromkeys([*wanted, int(order[-1])])], np.int64)


def _window(signal: Float, start: int, config: ModelConfig) -> Float:
    window = np.zeros(config.window_samples, np.float32)
    part = signal[start : start + config.window_samples]
    window[: len(part)] = part
    return window


def coarser(one: Precision, other: Precision) -> Precision:
    """That of two precisions whose limits are the wider ones."""
    return max(one, other, key=_COARSENESS.index)


def worst_of(
    engine: Engine,
    excerpts: Iterable[Excerpt],
    *,
    inside: bool = True,
    precision: Precision | None = None,
    tell: Callable[[int], object] | None = None,
) -> dict[Stage, Worst]:
    """Every stage of an engine, measured on each window alone: the worst figure, and where.

    Parameters
    ----------
    engine, inside, precision
        As `measure`.
    excerpts
        The windows.
    tell
        Told how many are done.

    Raises
    ------
    EngineError
        If the engine fails.
    """
    found: dict[Stage, tuple[StageResult, Excerpt]] = {}
    for count, excerpt in enumerate(excerpts, start=1):
        for result in measure(engine, excerpt.probe, inside=inside, precision=precision):
            before = found.get(result.stage)
            if before is None or _error(result) > _error(before[0]):
                found[result.stage] = (result, excerpt)
        if tell is not None:
            tell(count)
    ordered = (stage for stage in Stage if stage in found)
    return {stage: _described(engine, *found[stage]) for stage in ordered}


def _error(result: StageResult) -> float:
    """The larger, the worse."""
    if math.isnan(result.figure):
        return math.inf
    return -result.figure if result.limit.at_least else result.figure


def _described(engine: Engine, result: StageResult, excerpt: Excerpt) -> Worst:
    probe, names = excerpt.probe, engine.config.categories
    categories = probe.categories[0]
    answer = engine.separate(probe.mixture, categories)
    errors = np.sum(np.square(answer.sources[0] - probe.sources[0], dtype=np.float64), axis=1)
    column = int(np.argmax(errors))
    category = int(categories[column])
    if result.stage in (Stage.PRESENCE, Stage.DECISION):
        differences = np.abs(answer.presence[0] - probe.presence[0])
        if result.stage == Stage.PRESENCE:
            differences = differences / np.maximum(probe.presence[0], 1e-5)
        category = int(np.argmax(differences))
    elif result.stage == Stage.SHARES and probe.shares is not None:
        given, right = shares(engine, probe.mixture[0]), probe.shares[0]
        category = int(np.argmax(np.abs(given - right) / np.maximum(np.abs(right), 1e-5)))
    held = np.flatnonzero(categories == category)
    column = int(held[0]) if len(held) else -1
    return Worst(
        result=result,
        excerpt=excerpt,
        category=names[category],
        expected=None if column < 0 else probe.sources[0, column],
        found=None if column < 0 else answer.sources[0, column],
    )
