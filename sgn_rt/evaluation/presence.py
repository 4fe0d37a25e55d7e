"""How well the model tells which categories sound: figures of detection, and of probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

BINS: Final = 10
"""Of the reliability curve, equally wide."""
FEWEST: Final = 3
"""Items with a category, and as many without, from which a threshold is recommended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Figures of one category, or of all pooled.

    Attributes
    ----------
    positives, items
        In which it sounds, and all.
    precision, recall
        At the threshold; None where nothing was found, or nothing was there.
    average_precision
        Over all thresholds (the area under the precision-recall curve, by steps); None without
        positives.
    threshold
        At which precision and recall are.
    recommended
        The threshold of the best F1, halfway between the probabilities on either side; None where
        there are too few items to tell.
    """

    positives: int
    items: int
    precision: float | None
    recall: float | None
    average_precision: float | None
    threshold: float
    recommended: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def detection(truth: Sequence[bool], probability: Sequence[float], threshold: float) -> Detection:
    """Figures of one category: ``truth`` and ``probability`` by item."""
    there, p = np.asarray(truth, bool), np.asarray(probability, float)
    found = p >= threshold
    hits = int(np.sum(found & there))
    return Detection(
        positives=int(there.sum()), items=len(there),
        precision=hits / int(found.sum()) if found.any() else None,
        recall=hits / int(there.sum()) if there.any() else None,
        average_precision=average_precision(there, p), threshold=threshold,
        recommended=recommended(there, p),
    )  # fmt: skip


def average_precision(truth: Any, probability: Any) -> float | None:
    """Sum over the ranks of precision times the recall gained; equal probabilities are one rank."""
    there, p = np.asarray(truth, bool), np.asarray(probability, float)
    if not there.any():
        return None
    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(there[order])
    last = np.append(np.diff(p[order]) != 0.0, True)  # of each run of equal probabilities
    precision = hits[last] / (np.flatnonzero(last) + 1)
    gained = np.diff(np.append(0, hits[last])) / there.sum()
    return float(np.sum(precision * gained))


def recommended(truth: Any, probability: Any) -> float | None:
    """The threshold of the best F1; None where there are too few items on either side."""
    there, p = np.asarray(truth, bool), np.asarray(probability, float)
    if there.sum() < FEWEST or (~there).sum() < FEWEST:
        return None
    values = np.unique(p)
    candidates = np.append(values[:1] / 2.0, (values[1:] + values[:-1]) / 2.0)
    scores = [_f1(there, p >= candidate) for candidate in candidates]
    best = float(candidates[int(np.argmax(scores))])
    return min(max(best, 1e-6), 1.0 - 1e-6)


def _f1(there: Any, found: Any) -> float:
    hits = float(np.sum(there & found))
    return 2.0 * hits / float(there.sum() + found.sum())


def reliability(truth: Sequence[bool], probability: Sequence[float]) -> dict[str, Any]:
    """How often a category sounds that is given a probability.

    Returns
    -------
    dict
        ``bins``: of each that holds something ``low``, ``high``, ``count``, ``probability`` (mean)
        and ``frequency`` (share in which it sounds); ``error``: the expected calibration error.
    """
    there, p = np.asarray(truth, bool), np.asarray(probability, float)
    where = np.minimum((p * BINS).astype(int), BINS - 1)
    bins = []
    for at in range(BINS):
        inside = where == at
        if inside.any():
            bins.append(
                {
                    "low": at / BINS,
                    "high": (at + 1) / BINS,
                    "count": int(inside.sum()),
                    "probability": float(p[inside].mean()),
                    "frequency": float(there[inside].mean()),
                }
            )
    error = sum(b["count"] * abs(b["probability"] - b["frequency"]) for b in bins) / max(len(p), 1)
    return {"bins": bins, "error": float(error)}


def figures(
    truths: Sequence[frozenset[str]],
    presences: Sequence[Mapping[str, float]],
    thresholds: Mapping[str, float],
) -> dict[str, Any]:
    """All figures of presence.

    Parameters
    ----------
    truths
        Of each item the categories that sound.
    presences
        Of each item category -> probability, of all categories.
    thresholds
        Category -> that in use.
    """  # fmt: skip
    told: dict[str, Any] = {"categories": {}}
    everything: list[bool] = []
    chances: list[Any] = []
    for name, threshold in thresholds.items():
        truth = [name in each for each in truths]
        chance = [each[name] for each in presences]
        told["categories"][name] = detection(truth, chance, threshold).to_dict()
        everything += truth
        chances.append(np.asarray(chance) - threshold)
    shifted = np.concatenate(chances) if chances else np.zeros(0)
    pooled = detection(everything, list(shifted), 0.0).to_dict()
    raw = [each[name] for name in thresholds for each in presences]
    pooled |= {
        "average_precision": average_precision(everything, raw),
        "threshold": None, "recommended": None,
    }  # fmt: skip
    told["pooled"] = pooled
    told["reliability"] = reliability(everything, raw)
    return told


def thresholds_of(told: Mapping[str, Any]) -> dict[str, float]:
    """Category -> recommended threshold, of those that have one: for ``separate --thresholds``."""
    found = told["categories"].items()
    return {n: each["recommended"] for n, each in found if each["recommended"] is not None}
