"""An engine measured against the reference, stage by stage (`sgn_rt.model.stages`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float, Separated
from sgn_rt.engines.base import Engine, MaskEngine
from sgn_rt.errors import ParityError
from sgn_rt.model.contract import Precision
from sgn_rt.model.probe import Probe
from sgn_rt.model.stages import PRESENCE_THRESHOLD, Stage, StageResult, decision_margin, limit_for
from sgn_rt.model.transform import Transform
from sgn_rt.parity.metrics import relative, share, si_sdr
from sgn_rt.parity.resampling import resampling

_ORDER: Final = tuple(Stage)
_AT_ONCE: Final = 16
"""Sources that are held at a time where all are asked for."""


def _sounding(probe: Probe, window: int) -> list[int]:
    """Columns of the probe's categories that the reference hears; all where it hears none."""
    present = probe.presence[window, probe.categories[window]] > PRESENCE_THRESHOLD
    sounding = np.flatnonzero(present & (np.abs(probe.sources[window]).max(axis=-1) > 0))
    return sounding.tolist() or list(range(probe.categories.shape[1]))


def _energy_weighted(estimates: list[Float], references: list[Float]) -> float:
    """SI-SDR of each source, weighted by the reference's energy, dB."""
    weights = np.array([float(np.sum(np.square(r, dtype=np.float64))) for r in references])
    if weights.sum() == 0.0:
        return math.inf if not any(np.any(e) for e in estimates) else -math.inf
    pairs = zip(estimates, references, weights, strict=True)
    ratios = [(si_sdr(e, r), w) for e, r, w in pairs if w > 0.0]
    if any(ratio == math.inf for ratio, _ in ratios):
        ratios = [(min(ratio, 200.0), w) for ratio, w in ratios]
    return float(np.average([r for r, _ in ratios], weights=[w for _, w in ratios]))


def _seen(engine: Engine, probe: Probe) -> Iterable[tuple[Stage, float]]:
    """What can be seen of an engine's two steps, each alone."""
    apart = engine.apart
    if isinstance(engine, MaskEngine):
        masks = [
            engine.masks(x[None, None], categories).masks[0]
            for x, categories in zip(probe.log_magnitude, probe.categories, strict=True)
        ]
        yield from _masks((Stage.NETWORK, Stage.NETWORK_MAX), masks, probe)
        if engine.shows_assignment and probe.assignment is not None:
            yield Stage.ASSIGNMENT, assignment(engine, probe.log_magnitude, probe.assignment)
        masks = [
            engine.masks_of(mixture, categories)
            for mixture, categories in zip(probe.mixture, probe.categories, strict=True)
        ]
        yield from _masks((Stage.ANALYSIS, Stage.ANALYSIS_MAX), masks, probe)
        yield Stage.SYNTHESIS, _synthesis(engine.transform, engine.transform.synthesize, probe)
    elif apart is not None:
        masks = [apart.masks(*each) for each in zip(probe.mixture, probe.categories, strict=True)]
        yield from _masks((Stage.ANALYSIS, Stage.ANALYSIS_MAX), masks, probe)
        synthesis = apart.sources
        yield (
            Stage.SYNTHESIS,
            _synthesis(Transform(engine.config), lambda s, m: synthesis(s, m[None])[0], probe),
        )


def assignment(engine: MaskEngine, log_magnitude: Float, expected: Float) -> float:
    """Largest difference of an assignment [W, C, P] (stage ``assignment``)."""
    found = np.stack([engine.signals(window).assignment for window in log_magnitude])
    return float(np.abs(found - expected).max())


def _masks(
    stages: tuple[Stage, Stage], masks: list[Float], probe: Probe
) -> Iterable[tuple[Stage, float]]:
    pairs = zip(masks, probe.masks, strict=True)
    error = np.concatenate([np.abs(mask - reference).ravel() for mask, reference in pairs])
    error /= max(1.0, float(np.abs(probe.masks).max()))  # of complex ones, which may be larger
    yield stages[0], float(np.quantile(error, 0.999))
    yield stages[1], float(error.max())


def _synthesis(
    transform: Transform, synthesize: Callable[[NDArray[np.complex64], Float], Float], probe: Probe
) -> float:
    estimates, references = [], []
    for window in range(probe.windows):
        spectrum = transform.stft(probe.mixture[window])
        for column in _sounding(probe, window):
            estimates.append(synthesize(spectrum, probe.masks[window, column]))
            references.append(probe.sources[window, column])
    return _energy_weighted(estimates, references)


def _pairs(results: list[Separated], probe: Probe) -> tuple[list[Float], list[Float]]:
    """Sources that sound: the engine's, and the reference's."""
    places = [(w, c) for w in range(len(results)) for c in _sounding(probe, w)]
    return (
        [results[w].sources[0, c] for w, c in places],
        [probe.sources[w, c] for w, c in places],
    )


def whole(results: list[Separated], probe: Probe) -> float:
    """SI-SDR of an engine's sources against the reference's, dB (stage ``whole``)."""
    return _energy_weighted(*_pairs(results, probe))


def level(results: list[Separated], probe: Probe) -> float:
    """Largest error of a source's gain (stage ``level``)."""
    errors = [0.0]
    for estimate, reference in zip(*_pairs(results, probe), strict=True):
        r = reference.astype(np.float64)
        if np.any(r):
            errors.append(abs(1.0 - float(r @ estimate.astype(np.float64)) / float(r @ r)))
    return float(np.max(errors))  # max() would lose a nan


def shares(engine: Engine, mixture: Float) -> Float:
    """Share of a window [N] that each category's source has, shape = (C,), float32.

    Raises
    ------
    EngineError
        If the engine fails.
    """
    known = np.arange(len(engine.config.categories))
    (analysis,) = engine.analyze(mixture[None], known)
    parts = np.split(known, range(_AT_ONCE, len(known), _AT_ONCE))
    found = [share(s, mixture) for part in parts for s in engine.synthesize(analysis, part)]
    return np.array(found, np.float32)


def presence(results: list[Separated], probe: Probe) -> float:
    """Largest relative difference of a presence (stage ``presence``)."""
    found = np.concatenate([result.presence for result in results])
    return relative(found, probe.presence[: len(found)])


def decision(results: list[Separated], probe: Probe, margin: float) -> float:
    """Categories that the engine hears and the reference does not, or the other way round.

    A presence within ``margin`` of the threshold decides nothing.
    """
    differing = 0
    for result, reference in zip(results, probe.presence, strict=False):
        decided = np.abs(reference - PRESENCE_THRESHOLD) > margin
        other = (result.presence[0] > PRESENCE_THRESHOLD) != (reference > PRESENCE_THRESHOLD)
        differing += int(np.count_nonzero(decided & other))
    return float(differing)


def quality(results: list[Separated], probe: Probe) -> float | None:
    """Mean loss of SI-SDR against the true stems, dB; None where the probes hold no stems."""
    losses = [
        si_sdr(probe.sources[w, c], probe.stems[w, c])
        - si_sdr(results[w].sources[0, c], probe.stems[w, c])
        for w in range(len(results))
        for c in np.flatnonzero(probe.stem_known[w])
    ]
    return float(np.mean(losses)) if losses else None


def _more(engine: Engine, probe: Probe, results: list[Separated]) -> Iterable[tuple[Stage, float]]:
    """What a start-up has no time for."""
    yield Stage.PRESENCE, presence(results, probe)
    if probe.shares is not None:
        found = np.stack([shares(engine, mixture) for mixture in probe.mixture])
        yield Stage.SHARES, relative(found, probe.shares)
    yield Stage.RESAMPLING, resampling(engine.resampler, probe.mixture[0], engine.config)
    loss = quality(results, probe)
    if loss is not None:
        yield Stage.QUALITY, loss


def measure(
    engine: Engine,
    probe: Probe,
    *,
    quick: bool = False,
    inside: bool = True,
    precision: Precision | None = None,
) -> list[StageResult]:
    """Measure every stage that an engine lets be seen.

    ``network`` and ``assignment`` need an engine that takes a log-magnitude: it is given the
    reference's. That one,
    and one that has the STFT in it and comes apart behind the network, shows ``analysis``, what it
    makes of the waveform itself; of the latter masks computed here, of its guide and basis maps.
    ``synthesis`` is what either makes of the reference's spectrum and masks, the latter by way of a
    basis map that is the mask's logit. Of all others only the whole can be seen from outside.

    Parameters
    ----------
    engine, probe
        What is measured, and on what.
    quick
        Only ``whole``, ``level`` and ``decision``, on the first window: the start-up probe.
    inside
        Whether the engine's two steps are looked at, each alone: the probe needs masks for it.
    precision
        Whose limits hold; None for the engine's.

    Raises
    ------
    EngineError
        If the engine fails on a probe.
    """
    precision = precision or engine.precision
    epsilon = engine.config.log_epsilon
    figures: list[tuple[Stage, float]] = []
    if inside and not quick:
        figures += _seen(engine, probe)
    windows = range(1 if quick else probe.windows)
    results = [engine.separate(probe.mixture[w : w + 1], probe.categories[w]) for w in windows]
    figures += [
        (Stage.WHOLE, whole(results, probe)),
        (Stage.LEVEL, level(results, probe)),
        (Stage.DECISION, decision(results, probe, decision_margin(precision, epsilon))),
    ]
    if not quick:
        figures += _more(engine, probe, results)
    return [
        StageResult(stage=stage, figure=figure, limit=limit_for(stage, precision, epsilon))
        for stage, figure in sorted(figures, key=lambda each: _ORDER.index(each[0]))
    ]


def require(engine: Engine, probe: Probe) -> list[StageResult]:
    """The start-up probe.

    Raises
    ------
    ParityError
        Naming the first stage beyond its limit.
    """
    results = measure(engine, probe, quick=True)
    for result in results:
        if not result.passed:
            raise ParityError(
                f"{engine.name}: parity stage {result.stage}: got {result.figure:.4g} "
                f"{result.limit.unit}, expected {result.limit}. "
                "Run `sgn-rt parity` for all stages, or choose another engine."
            )
    return results
