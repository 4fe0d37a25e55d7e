"""An item's figures: what each system's estimates come to, beside what leaks into what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.evaluation.bounds import IDEAL, MIXTURE
from sgn_rt.evaluation.protocols import protocol_named
from sgn_rt.evaluation.protocols.base import Dropped, Item
from sgn_rt.evaluation.sound import SILENT

Told = dict[str, Any]
BOUNDS: Final = (MIXTURE, IDEAL)


@dataclass(frozen=True, slots=True, eq=False)
class Separated:
    """An item with what is to be scored.

    Attributes
    ----------
    item
        Or why it does not count.
    estimates
        System -> label of the source -> what it gave.
    told
        What is known beside figures: presence by system, what truly sounds.
    """

    item: Item | Dropped
    estimates: dict[str, dict[str, Float]]
    told: Told


def score(protocol: str, separated: Separated) -> Told:
    """Figures of an item: of each system the scores of its sources, or why it is dropped.

    An item that one system is dropped of counts for none, so that all are of the same items.
    """
    item = separated.item
    if isinstance(item, Dropped):
        return {"name": item.name, "dropped": item.reason}
    rules = protocol_named(protocol)
    told: Told = {"name": item.name, "systems": {}, **separated.told}
    for system, found in separated.estimates.items():
        scores = rules.score(item, found)
        if isinstance(scores, Dropped):
            of = f" ({system})" if system in BOUNDS else ""
            return {"name": item.name, "dropped": scores.reason + of}
        told["systems"][system] = [
            {"source": s.source, "group": s.group, "figures": s.figures} for s in scores
        ]
        if notes := rules.notes(item, found):
            told.setdefault("notes", {})[system] = notes
        if system != MIXTURE and (leaked := leaks(item, found)):
            told.setdefault("leaks", {})[system] = leaked
    return told


def leaks(item: Item, estimates: Mapping[str, Float]) -> dict[str, dict[str, float]]:
    """How much of each true source is in each estimate, as a ratio of powers.

    Each estimate is put together from all true sources by least squares, a gain for each: 1 is
    the whole of a source, 0 none of it.

    Returns
    -------
    dict
        Category of the estimate -> true category -> ratio; empty where fewer than two sound.
    """
    sounding = [n for n, signal in item.sources.items() if np.abs(signal).sum() > SILENT]
    labelled = [name for name in sounding if name in item.categories]
    if len(labelled) < 2:
        return {}
    sources = np.stack([item.sources[name].ravel() for name in sounding]).astype(np.float64)
    found: dict[str, dict[str, float]] = {}
    for label in labelled:
        if label not in estimates:
            continue
        gains, *_ = np.linalg.lstsq(sources.T, estimates[label].ravel(), rcond=None)
        by_name = dict(zip(sounding, gains, strict=True))
        found[item.categories[label]] = {
            item.categories[name]: float(by_name[name] ** 2) for name in labelled
        }
    return found
