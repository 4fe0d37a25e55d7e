"""What the items of an evaluation come to: pooled figures, intervals, differences, confusions."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.errors import AudioError
from sgn_rt.evaluation import presence
from sgn_rt.evaluation.bounds import MIXTURE
from sgn_rt.evaluation.protocols.base import Protocol
from sgn_rt.evaluation.scoring import BOUNDS, Told
from sgn_rt.evaluation.statistics import deviation, difference, interval
from sgn_rt.separator import Separator
from sgn_rt.streaming.presence import PresenceRule

SCHEMA: Final = 1
ALL: Final = "all"
"""The group of everything."""


def summary(items: Sequence[Told], protocol: Protocol, separators: Sequence[str]) -> Told:
    """What the items come to, as JSON types.

    Returns
    -------
    dict
        ``items``, ``dropped`` (reason -> number), ``figures`` (of each system, group and metric
        the value, its 95 % interval, the deviation over sources and the number of items),
        ``differences`` between systems, ``counts`` (system -> what is counted -> how often) and
        ``leaks`` (system -> estimate -> true category -> ratio of powers, mean over items).

    Raises
    ------
    AudioError
        If no item is left.
    """
    kept = [item for item in items if "systems" in item]
    dropped = Counter(item["dropped"] for item in items if "dropped" in item)
    if not kept:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in dropped.items()) or "none"
        raise AudioError(
            f"{protocol.name}: got no item that counts (dropped: {reasons}), expected some. Name "
            "data whose labels are categories of the model, or say which are with --labels."
        )
    figures = [
        {"system": system, "group": group, "metric": metric, **_pooled(values, protocol)}
        for system in (*separators, *BOUNDS)
        for (group, metric), values in values_of(kept, system).items()
    ]
    compared = [
        _difference(kept, first, second, protocol.metrics[0])
        for at, first in enumerate(separators)
        for second in (*separators[at + 1 :], MIXTURE)
    ]
    return {
        "items": len(kept),
        "dropped": dict(dropped),
        "figures": figures,
        "differences": [each for each in compared if each is not None],
        "counts": {name: found for name in separators if (found := _counts(kept, name))},
        "leaks": {name: leak for name in separators if (leak := _leaks(kept, name))},
    }


def values_of(items: Sequence[Told], system: str) -> dict[tuple[str, str], list[list[float]]]:
    """(group, metric) -> of each item that has some, its values."""
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for item in items:
        here: dict[tuple[str, str], list[float]] = defaultdict(list)
        for source in item["systems"][system]:
            for metric, value in source["figures"].items():
                if math.isfinite(value):
                    here[ALL, metric].append(value)
                    here[source["group"], metric].append(value)
        for key, values in here.items():
            found[key].append(values)
    return dict(sorted(found.items(), key=lambda entry: (entry[0][0] != ALL, entry[0])))


def _pooled(values: Sequence[Sequence[float]], protocol: Protocol) -> Told:
    table = padded(values)
    bounds = interval(table, protocol.pool)
    return {
        "value": float(protocol.pool(table)),
        "interval": None if bounds is None else list(bounds),
        "deviation": deviation(table),
        "items": len(values),
    }


def padded(values: Sequence[Sequence[float]]) -> Float:
    """Values of items of several lengths: shape = (items, most of an item), NaN where none is."""
    table = np.full((len(values), max(map(len, values))), np.nan)
    for row, each in zip(table, values, strict=True):
        row[: len(each)] = each
    return table


def mean_of(item: Told, system: str, metric: str) -> float:
    """Of an item's sources; NaN where one has no finite figure."""
    found = [s["figures"].get(metric, math.nan) for s in item["systems"][system]]
    return float(np.mean(found)) if found and all(map(math.isfinite, found)) else math.nan


def _difference(items: Sequence[Told], first: str, second: str, metric: str) -> Told | None:
    pairs = [(mean_of(item, first, metric), mean_of(item, second, metric)) for item in items]
    pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if not pairs:
        return None
    ours, theirs = zip(*pairs, strict=True)
    return difference(first, second, metric, ours, theirs).to_dict()


def _counts(items: Sequence[Told], system: str) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        for what, which in item.get("notes", {}).get(system, {}).items():
            found[what][which] += 1
    return {what: dict(sorted(counter.items())) for what, counter in found.items()}


def _leaks(items: Sequence[Told], system: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        for estimate, ratios in item.get("leaks", {}).get(system, {}).items():
            for truth, ratio in ratios.items():
                found[estimate][truth].append(ratio)
    return {
        estimate: {truth: float(np.mean(ratios)) for truth, ratios in sorted(by_truth.items())}
        for estimate, by_truth in sorted(found.items())
    }


def presence_figures(items: Sequence[Told], separator: Separator, system: str) -> Told | None:
    """Figures of presence of one system; None where data has no labels, or the model says none."""
    labelled = [item for item in items if "truth" in item and "systems" in item]
    if not labelled or not separator.config.has_presence:
        return None
    names = separator.categories
    each = np.broadcast_to(PresenceRule.of(separator.config).thresholds, len(names)).tolist()
    thresholds = dict(zip(names, each, strict=True))
    return presence.figures(
        [frozenset(item["truth"]) for item in labelled],
        [item["presence"][system] for item in labelled],
        thresholds,
    )
