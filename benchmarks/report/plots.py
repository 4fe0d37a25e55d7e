"""Pictures of a result: rows side by side, latencies, curves, where the time goes, the roofline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from sgn_rt.benchmarks.report.quantities import Unit, unit_for
from sgn_rt.benchmarks.report.tables import group_title, group_unit, grouped
from sgn_rt.benchmarks.result import Figure, Limits, Result
from sgn_rt.pages.svg import INK, ROWS, SOFT, Plot, as_svg, drawing

_PITCH, _AROUND, _CURVE = 0.27, 0.75, 2.6
"""Heights, inches: of a row, of what is around rows, of a curve's axes."""
_WIDE: Final = 15.0
"""How many times the least is the most from where on an axis is logarithmic."""
_MARKS: Final = "osD^vP"
_LINES: Final = ("-", "--", ":")
_X: Final = {
    "batch": "windows in a batch",
    "length": "length of the recording",
    "sources": "categories that are wanted",
    "streams": "streams",
    "multi-stream": "windows at a time",
}
"""What x stands for, by scenario."""

Style = Callable[[str], dict[str, Any]]


def styles(names: Sequence[str]) -> Style:
    """Colour, line and mark of each row, the same in every picture."""
    order = list(dict.fromkeys(names))

    def style(name: str) -> dict[str, Any]:
        index = order.index(name)
        again = index // len(ROWS)
        return {
            "color": ROWS[index % len(ROWS)],
            "marker": _MARKS[index % len(_MARKS)],
            "linestyle": _LINES[again % len(_LINES)],
        }

    return style


def plots(result: Result) -> dict[str, list[Plot]]:
    """Section's key, as in `sgn_rt.benchmarks.report.tables` -> its pictures."""
    style = styles([*(f.row for f in result.figures), *(each.row for each in result.limits)])
    found: dict[str, list[Plot]] = {}
    drawn = (plot for group in grouped(result.figures) for plot in _of_group(group, style))
    for number, (key, draw) in enumerate((*drawn, *_of_limits(result, style))):
        found.setdefault(key, []).append(draw(f"plot-{number}"))
    return found


Draw = Callable[[str], Plot]


def _of_group(group: Sequence[Figure], style: Style) -> Iterator[tuple[str, Draw]]:
    scenario = group[0].scenario
    good = [figure for figure in group if figure.failure is None and math.isfinite(figure.value)]
    curve = [figure for figure in good if figure.x is not None]
    if len({figure.x for figure in curve}) > 1:
        yield scenario, partial(_curves, curve, style)
    rest = [figure for figure in good if figure.x is None]
    for case in dict.fromkeys(figure.case for figure in rest):
        of_case = [figure for figure in rest if figure.case == case]
        if any(figure.percentiles for figure in of_case):
            yield scenario, partial(_latencies, of_case, style)
        if not (any(figure.percentiles for figure in of_case) and of_case[0].unit == "s"):
            yield scenario, partial(_values, of_case, style)


def _titled(group: Sequence[Figure], what: str) -> str:
    first = group[0]
    title = ": ".join(filter(None, (first.case if first.x is None else "", what)))
    return title[:1].upper() + title[1:]


def _height(rows: int) -> float:
    return _AROUND + _PITCH * rows


def _values(group: Sequence[Figure], style: Style, prefix: str) -> Plot:
    """Each row's figure with its interval; where better is stands at the axis."""
    unit = group_unit(group)
    title = _titled(group, group_title(group))
    with drawing(_height(len(group))) as (figure, axes):
        for place, each in enumerate(group):
            value = each.value / unit.size
            if each.interval is not None:
                low, high = (bound / unit.size for bound in each.interval)
                axes.plot([low, high], [place, place], color=style(each.row)["color"],
                          linewidth=5, alpha=0.45, solid_capstyle="round")  # fmt: skip
            axes.plot(value, place, **style(each.row) | {"linestyle": ""}, markersize=6)
        _name_rows(axes, [each.row for each in group])
        _scale(axes, "x", [each.value / unit.size for each in group])
        axes.set_xlabel(f"{unit.name}, {group[0].better} is better")
        return as_svg(figure, title, prefix)


def _latencies(group: Sequence[Figure], style: Style, prefix: str) -> Plot:
    """Distribution of each row's latencies, with its percentiles on it."""
    known = [each for each in group if each.percentiles]
    every = [value for each in known for value in (each.percentiles or {}).values()]
    unit = unit_for("s", every)
    names = list(dict.fromkeys(name for each in known for name in each.percentiles or {}))
    marks = dict(zip(names, "|D>oxs", strict=False))
    values = [value / unit.size for value in every]
    logarithmic = _is_wide(values)
    title = _titled(group, "latencies" if group[0].unit == "s" else f"latencies at {group[0].name}")
    with drawing(_height(len(known)) + 0.25) as (figure, axes):
        for place, each in enumerate(known):
            colour = style(each.row)["color"]
            _distribution(axes, each, unit, place, colour, logarithmic)
            of_row = {name: value / unit.size for name, value in (each.percentiles or {}).items()}
            axes.plot([*of_row.values()], [place] * len(of_row), color=colour, linewidth=1.2)
            for name, value in of_row.items():
                axes.plot(value, place, marks.get(name, "."), color=colour, markersize=6,
                          markeredgewidth=1.6 if marks.get(name) == "|" else 1)  # fmt: skip
        for name, mark in marks.items():
            axes.plot([], [], mark, color=SOFT, markersize=6, markeredgewidth=1.6, label=name)
        _name_rows(axes, [each.row for each in known])
        if logarithmic:
            _log(axes, "x", values)
        axes.set_xlabel(f"{unit.name}, lower is better")
        figure.legend(loc="outside lower center", ncols=len(marks), handletextpad=0.2)
        return as_svg(figure, title, prefix)


def _distribution(
    axes: Any, figure: Figure, unit: Unit, place: int, colour: str, logarithmic: bool
) -> None:
    """How often which latency came, as a body around the row's line."""
    values = np.asarray([v for v in figure.values if v > 0], float) / unit.size
    if figure.unit != "s" or len(values) < 20 or values.min() == values.max():
        return
    low, high = np.percentile(values, (0, 99.5))
    edges = (np.geomspace if logarithmic else np.linspace)(low, high, 25)
    counts, _ = np.histogram(values, edges)
    body = np.repeat(0.42 * counts / counts.max(), 2)
    axes.fill_between(np.repeat(edges, 2)[1:-1], place - body, place + body, color=colour,
                      alpha=0.25, linewidth=0)  # fmt: skip


def _curves(group: Sequence[Figure], style: Style, prefix: str) -> Plot:
    """A line for each row, over what the cases stand for."""
    unit = group_unit(group)
    scenario = group[0].scenario
    rows = list(dict.fromkeys(figure.row for figure in group))
    with drawing(_CURVE + 0.21 * len(rows)) as (figure, axes):
        for row in rows:
            points = sorted((f for f in group if f.row == row), key=lambda f: f.x or 0.0)
            x = [point.x for point in points]
            axes.plot(x, [p.value / unit.size for p in points], **style(row), markersize=4,
                      linewidth=1.5, label=row)  # fmt: skip
            if len(points) == sum(point.interval is not None for point in points):
                bounds = np.array([point.interval for point in points]).T / unit.size
                axes.fill_between(x, *bounds, color=style(row)["color"], alpha=0.18, linewidth=0)
        at = sorted({float(point.x) for point in group if point.x is not None})
        if at[0] > 0 and at[-1] / at[0] >= 8:
            axes.set_xscale("log")
        shown = at if len(at) <= 7 else at[:: -(-len(at) // 7)]
        axes.set_xticks(shown, [_x(scenario, value) for value in shown])
        axes.minorticks_off()
        values = [figure.value / unit.size for figure in group]
        if not _scale(axes, "y", values):
            from_zero(axes, group, unit)
        axes.set_xlabel(_X.get(scenario, "x"))
        axes.set_ylabel(unit.name)
        axes.yaxis.label.set_color(SOFT)
        figure.legend(loc="outside lower left", ncols=1)
        return as_svg(figure, _titled(group, group_title(group)), prefix)


def from_zero(axes: Any, figures: Sequence[Figure], unit: Unit) -> None:
    """Have the values' axis begin at zero, with room for all of their intervals."""
    bounds = (bound for figure in figures for bound in (figure.value, *(figure.interval or ())))
    axes.set_ylim(0, 1.08 * max(*bounds, 0.0) / unit.size or 1.0)


def _x(scenario: str, value: float) -> str:
    if scenario != "length":
        return f"{value:g}"
    if value < 60:
        return f"{value:g} s"
    return f"{value / 60:g} min" if value < 3600 else f"{value / 3600:g} h"


def _of_limits(result: Result, style: Style) -> Iterator[tuple[str, Draw]]:
    shares = [each for each in result.limits if each.shares]
    if shares:
        yield "limits", partial(_shares, shares)
    roofs = [each for each in result.limits if _roof(each) is not None]
    if roofs:
        yield "limits", partial(_roofline, roofs, style)


def _label(limits: Limits) -> str:
    network = "" if limits.network == "published" else f", {limits.network}"
    return f"{limits.row}{network}"


def _shares(limits: Sequence[Limits], prefix: str) -> Plot:
    """What each row's processor time goes to, as parts of a bar."""
    parts = list(dict.fromkeys(part for each in limits for part in each.shares))
    with drawing(_height(len(limits)) + 0.25) as (figure, axes):
        start = np.zeros(len(limits))
        for index, part in enumerate(parts):
            widths = np.array([100 * each.shares.get(part, 0.0) for each in limits])
            axes.barh(range(len(limits)), widths, 0.6, start, color=ROWS[index % len(ROWS)],
                      label=part)  # fmt: skip
            start += widths
        _name_rows(axes, [_label(each) for each in limits])
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the processors' time")
        figure.legend(loc="outside lower center", ncols=len(parts), columnspacing=1,
                      handlelength=0.8, handletextpad=0.4)  # fmt: skip
        return as_svg(figure, "Where the time goes", prefix)


def _roof(limits: Limits) -> tuple[float, float, float, float] | None:
    """Peaks (FLOP/s, B/s), and the row's place: FLOP of a byte, FLOP/s reached."""
    flops, moved = (limits.roofline.get(kind, {}) for kind in ("arithmetic", "memory"))
    told = (flops.get("peak"), moved.get("peak"), flops.get("work"), moved.get("work"))
    took = flops.get("took_s")
    if not took or not all(told) or (flops.get("unit"), moved.get("unit")) != ("FLOP/s", "B/s"):
        return None
    peak, rate, work, size = (float(each or 0) for each in told)
    return peak, rate, work / size, work / took


def _roofline(limits: Sequence[Limits], style: Style, prefix: str) -> Plot:
    """What each row reaches, below what the machine can do at its FLOP of a byte."""
    found = {_label(each): (each, _roof(each)) for each in limits}
    places = [roof for _, roof in found.values() if roof is not None]
    ridges = [peak / rate for peak, rate, _, _ in places]
    x = np.geomspace(min(*ridges, *(p[2] for p in places)) / 4,
                     max(*ridges, *(p[2] for p in places)) * 4, 60)  # fmt: skip
    with drawing(_CURVE + 0.21 * len(found)) as (figure, axes):
        for peak, rate in dict.fromkeys((peak, rate) for peak, rate, _, _ in places):
            axes.plot(x, np.minimum(peak, rate * x) / 1e9, color=INK, linewidth=1.5)
            axes.annotate(f"{peak / 1e9:.4g} GFLOP/s", (x[-1], peak / 1e9), ha="right",
                          va="bottom", color=SOFT)  # fmt: skip
            axes.annotate(f"{rate / 1e9:.3g} GB/s", (x[0], rate * x[0] / 1e9), ha="left",
                          va="center", color=SOFT, xytext=(16, 0),
                          textcoords="offset points")  # fmt: skip
        for label, (each, roof) in found.items():
            if roof is not None:
                share = roof[3] / min(roof[0], roof[1] * roof[2])
                axes.plot(roof[2], roof[3] / 1e9, **style(each.row) | {"linestyle": ""},
                          label=f"{label}: {share:.0%} of its roof")  # fmt: skip
        _log(axes, "x", [*map(float, x)])
        _log(axes, "y", [*(place[3] / 1e9 for place in places), rate * x[0] / 1e9, peak / 1e9])
        axes.set_xlabel("FLOP for each byte that is moved")
        axes.set_ylabel("GFLOP/s")
        axes.yaxis.label.set_color(SOFT)
        figure.legend(loc="outside lower left", ncols=1)
        return as_svg(figure, "Roofline of the network", prefix)


def _name_rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > _WIDE


def _scale(axes: Any, which: str, values: Sequence[float]) -> bool:
    """Make an axis logarithmic where values are far apart, or begin it at zero; which it was."""
    if _is_wide(values):
        _log(axes, which, values)
        return True
    if which == "x" and min(values) >= 0:
        axes.set_xlim(left=0)
    return False


def _log(axes: Any, which: str, values: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    decades = math.log10(max(values) / min(values))
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
