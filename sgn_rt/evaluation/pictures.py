"""Pictures of an evaluation: boxes by category, leaks, reliability, quality by sources."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from sgn_rt.evaluation.bounds import IDEAL, MIXTURE
from sgn_rt.evaluation.summary import ALL, values_of
from sgn_rt.pages.svg import INK, ROWS, SOFT, Plot, as_svg, drawing

MOST_GROUPS: Final = 12
"""Groups that are drawn: the worst ones."""
FAINT_DB: Final = -40.0
"""Leaks below that are left white."""
_COUNT: Final = re.compile(r"(\d+) sources?")


def colours(systems: Sequence[str]) -> dict[str, str]:
    """Of each system and bound, the same in every picture."""
    names = (*systems, MIXTURE, IDEAL)
    return {name: ROWS[at % len(ROWS)] for at, name in enumerate(names)}


def boxes(items: Sequence[Mapping[str, Any]], systems: Sequence[str], metric: str) -> Plot:
    """Quartiles by group, whiskers of the 5th and 95th percentile, and the mean."""
    shades = colours(systems)
    values = {
        (system, group): np.concatenate([np.asarray(each) for each in found])
        for system in shades
        for (group, name), found in values_of([dict(i) for i in items], system).items()
        if name == metric
    }
    groups = [group for system, group in values if system == systems[0]]
    medians = {group: float(np.median(values[systems[0], group])) for group in groups}
    shown = sorted((g for g in groups if g != ALL), key=lambda g: medians[g])[:MOST_GROUPS]
    shown = [ALL, *shown]
    left_out = len(groups) - len(shown)
    title = f"{metric} by category" + (f", the worst {MOST_GROUPS}" if left_out > 0 else "")
    with drawing(1.2 + 0.17 * len(shown) * (len(shades) + 1)) as (figure, axes):
        ticks = []
        for row, group in enumerate(shown):
            base = row * (len(shades) + 1)
            ticks.append(base + (len(shades) - 1) / 2)
            for at, (system, colour) in enumerate(shades.items()):
                if (system, group) in values:
                    _box(axes, values[system, group], base + at, colour)
        for system, colour in shades.items():
            axes.plot([], [], color=colour, linewidth=5, alpha=0.5, label=system)
        axes.set_yticks(ticks, [f"{g} ({len(values[systems[0], g])})" for g in shown])
        axes.invert_yaxis()
        axes.set_xlabel(f"{metric}, dB, higher is better")
        axes.grid(False, axis="y")
        figure.legend(loc="outside lower left", ncols=2)
        return as_svg(figure, title, "boxes")


def _box(axes: Any, values: Any, place: float, colour: str) -> None:
    low, first, middle, third, high = np.percentile(values, (5, 25, 50, 75, 95))
    axes.plot([low, high], [place, place], color=colour, linewidth=1)
    axes.barh(place, third - first, 0.7, left=first, color=colour, alpha=0.45)
    axes.plot([middle, middle], [place - 0.35, place + 0.35], color=INK, linewidth=1.5)
    axes.plot(np.mean(values), place, "o", color=INK, markersize=2.5)


def leaks(found: Mapping[str, Mapping[str, float]], system: str, number: int) -> Plot:
    """Of each true category (row), how much is in each estimate (column), dB."""
    truths = sorted({truth for ratios in found.values() for truth in ratios})
    columns = sorted(found)
    with drawing(1.3 + 0.3 * len(truths)) as (figure, axes):
        for y, truth in enumerate(truths):
            for x, estimate in enumerate(columns):
                if truth not in found[estimate]:
                    continue
                level = 10.0 * math.log10(max(found[estimate][truth], 1e-9))
                strength = min(max(1.0 - level / FAINT_DB, 0.0), 1.0)
                own = truth == estimate
                axes.barh(y, 1.0, 0.94, left=x - 0.5, color=ROWS[2 if own else 1],
                          alpha=0.75 * strength)  # fmt: skip
                axes.text(x, y, f"{level:.0f}", ha="center", va="center", color=INK, fontsize=8)
        axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
        axes.set_yticks(range(len(truths)), truths)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(truths) - 0.5, -0.5)
        axes.set_xlabel("estimate of")
        axes.set_ylabel("true")
        axes.grid(False)
        title = f"{system}: how much of a true source is in an estimate, dB"
        return as_svg(figure, title, f"leaks-{number}")


def reliability(presence: Mapping[str, Mapping[str, Any] | None]) -> Plot:
    """How often a category sounds that is given a probability; right where on the diagonal."""
    with drawing(3.0) as (figure, axes):
        axes.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=1, label="calibrated")
        for colour, (system, found) in zip(ROWS, presence.items(), strict=False):
            if found is not None:
                bins = found["reliability"]["bins"]
                x, y = ([b[key] for b in bins] for key in ("probability", "frequency"))
                axes.plot(x, y, "-", color=colour, linewidth=1.2, label=system)
                sizes = [8.0 + 12.0 * math.log10(b["count"]) for b in bins]
                axes.scatter(x, y, sizes, color=colour)  # by how many there are
        axes.set_xlabel("probability that the model gives")
        axes.set_ylabel("share in which it sounds")
        figure.legend(loc="outside lower left", ncols=2)
        return as_svg(figure, "Reliability of presence", "reliability")


def by_sources(result: Mapping[str, Any], metric: str) -> Plot | None:
    """Quality against the number of sources; None where items are not grouped by it."""
    found: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for figure in result["figures"]:
        match = _COUNT.fullmatch(figure["group"])
        if match and figure["metric"] == metric:
            found.setdefault(figure["system"], []).append((int(match[1]), figure))
    counts = sorted({count for points in found.values() for count, _ in points})
    if len(counts) < 2:
        return None
    shades = colours(list(result["engines"]))
    with drawing(2.8) as (figure, axes):
        for system, points in found.items():
            points.sort(key=lambda point: point[0])
            x, y = [count for count, _ in points], [each["value"] for _, each in points]
            bounds = [each["interval"] or (each["value"],) * 2 for _, each in points]
            axes.plot(x, y, "o-", color=shades[system], markersize=4, label=system)
            axes.fill_between(x, *zip(*bounds, strict=True), color=shades[system], alpha=0.2,
                              linewidth=0)  # fmt: skip
        axes.set_xticks(counts)
        axes.set_xlabel("sources in the mixture")
        axes.set_ylabel(f"{metric}, dB")
        figure.legend(loc="outside lower left", ncols=2)
        return as_svg(figure, f"{metric} by the number of sources", f"sources-{metric}")
