"""What an evaluation found, as rows and lines of text: for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sgn_rt.evaluation.summary import ALL

PRESENCE: Final = (
    "category", "items with it", "precision", "recall", "average precision", "threshold",
    "recommended",
)  # fmt: skip


def figure_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """System, group, number of items, and of each metric the figure with its interval."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for figure in result["figures"]:
        lines.setdefault((figure["group"], figure["system"]), {})[figure["metric"]] = figure
    groups = list(dict.fromkeys(group for group, _ in lines))  # systems of one beside each other
    for (group, system), by_metric in sorted(lines.items(), key=lambda e: groups.index(e[0][0])):
        cells = [with_interval(by_metric.get(metric)) for metric in result["protocol"]["metrics"]]
        yield (system, group, str(max(f["items"] for f in by_metric.values())), *cells)


def difference_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two systems, and whether it does."""
    for gap in result["differences"]:
        how = "a real difference" if gap["real"] else "no difference that is shown to be real"
        chance = "nothing differs" if gap["p_value"] is None else f"p = {gap['p_value']:.2g}"
        mean = with_interval({"value": gap["mean"], "interval": gap["interval"]})
        yield (
            f"{gap['system']} less {gap['than']}: {gap['metric']} {mean} dB over {gap['items']} "
            f"items, {how} (Wilcoxon's signed-rank test, {chance})"
        )


def count_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """What else was counted, and what was dropped."""
    for reason, count in result["dropped"].items():
        yield f"dropped: {count} x {reason}"
    for system, counts in result["counts"].items():
        for what, found in counts.items():
            shares = (f"{which} {count / result['items']:.3f}" for which, count in found.items())
            yield f"{system}: {what}: {', '.join(shares)}"


def presence_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Of each category, and of all, the figures of presence; see `PRESENCE`."""
    keys = ("precision", "recall", "average_precision", "threshold", "recommended")
    for category, each in [*found["categories"].items(), (ALL, found["pooled"])]:
        cells = ("" if each[key] is None else f"{each[key]:.3f}" for key in keys)
        yield (category, str(each["positives"]), *cells)


def with_interval(figure: Mapping[str, Any] | None) -> str:
    """A figure with its interval, where there is one."""
    if figure is None:
        return ""
    if figure["interval"] is None:
        return f"{figure['value']:.2f}"
    low, high = figure["interval"]
    return f"{figure['value']:.2f} ({low:.2f} to {high:.2f})"
