"""The course of each figure from run to run, as a page.

A line joins runs of one machine and one model; where another begins, so does another line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from sgn_rt.benchmarks.report.comparison import changes, others
from sgn_rt.benchmarks.report.plots import Style, from_zero, styles
from sgn_rt.benchmarks.report.quantities import Unit, unit_for
from sgn_rt.benchmarks.report.tables import group_title, scenario_title
from sgn_rt.benchmarks.result import CONFIDENCE, Figure, Result
from sgn_rt.pages.document import document
from sgn_rt.pages.parts import Section, Table
from sgn_rt.pages.svg import SOFT, Plot, as_svg, drawing

GENERATOR: Final = "sgn-rt bench --history"
_HEIGHT: Final = 2.4
"""Inches, of a picture's axes."""
_MOST_LABELS: Final = 6


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of one of the runs, by its number."""

    run: int
    figure: Figure


def time_of(result: Result) -> datetime:
    """When a run began."""
    return datetime.fromisoformat(result.made)


def course_page(runs: Sequence[Result]) -> str:
    """The course of every figure of some runs, the oldest first, as one page."""
    style = styles([figure.row for run in reversed(runs) for figure in run.figures])
    starts = [0, *(i for i in range(1, len(runs)) if others(runs[i - 1], runs[i]))]
    found: dict[str, list[Plot]] = {}
    for number, points in enumerate(_series(runs)):
        scenario = points[0].figure.scenario
        found.setdefault(scenario, []).append(_course(runs, points, starts, style, f"c{number}"))
    names = list(dict.fromkeys(found))
    parts = [
        Section("runs", "Runs", "", (_runs(runs),)),
        *(Section(name, scenario_title(name), "", ()) for name in names),
    ]
    return document(
        title="The course of each figure",
        lead="Runs are numbered by their time. Values are medians of rounds; around them, paler, "
        f"the bounds within which they lie with {100 * CONFIDENCE:.0f} % confidence. A line breaks "
        "where another machine or model begins.",
        parts=parts,
        pictures=found,
        generator=GENERATOR,
    )


def _series(runs: Sequence[Result]) -> list[list[Point]]:
    """What stands in one picture: a scenario's case and figure, all rows of all runs."""
    found: dict[tuple[str, ...], list[Point]] = {}
    for number, run in enumerate(runs):
        for each in run.figures:
            if each.failure is None:
                key = (each.scenario, each.case, each.network, each.name, each.unit)
                found.setdefault(key, []).append(Point(number, each))
    return list(found.values())


def _runs(runs: Sequence[Result]) -> Table:
    rows = []
    for number, run in enumerate(runs):
        new = []
        if number:
            new = [*others(runs[number - 1], run), *changes(runs[number - 1], run)]
        rows.append((
            str(number + 1), run.made, str(run.machine["cpu"]),
            str(run.machine.get("commit") or "-")[:12], run.model["name"], "; ".join(new) or "-",
        ))  # fmt: skip
    columns = (
        "run",
        "begun",
        "processor",
        "commit",
        "model",
        "what is different from the last one",
    )
    return Table("Runs, the latest first", columns, tuple(reversed(rows)))


def _course(
    runs: Sequence[Result],
    points: Sequence[Point],
    starts: Sequence[int],
    style: Style,
    prefix: str,
) -> Plot:
    first = points[0].figure
    unit = unit_for(first.unit, (point.figure.value for point in points))
    rows = list(dict.fromkeys(point.figure.row for point in points))
    title = ": ".join(filter(None, (first.case, group_title([first]))))
    with drawing(_HEIGHT + 0.21 * len(rows)) as (figure, axes):
        for row in rows:
            of_row = [point for point in points if point.figure.row == row]
            _draw_row(axes, of_row, starts, unit, style(row), row)
        for start in starts[1:]:
            axes.axvline(start - 0.5, color=SOFT, linewidth=0.8, linestyle=":")
        step = -(-len(runs) // _MOST_LABELS)
        shown = range(len(runs))[::step]
        axes.set_xticks([*shown], [f"{n + 1}\n{time_of(runs[n]):%d %b %y}" for n in shown])
        axes.set_xlim(-0.5, len(runs) - 0.5)
        from_zero(axes, [point.figure for point in points], unit)
        axes.set_ylabel(f"{unit.name}, {first.better} is better")
        axes.yaxis.label.set_color(SOFT)
        figure.legend(loc="outside lower left", ncols=1)
        return as_svg(figure, title[:1].upper() + title[1:], prefix)


def _draw_row(
    axes: Any,
    points: Sequence[Point],
    starts: Sequence[int],
    unit: Unit,
    style: dict[str, Any],
    label: str,
) -> None:
    for number, part in enumerate(_parts(points, starts)):
        x = [point.run for point in part]
        axes.plot(x, [p.figure.value / unit.size for p in part], **style, markersize=4,
                  linewidth=1.5, label="" if number else label)  # fmt: skip
        known = [point for point in part if point.figure.interval is not None]
        if known:
            values = np.array([p.figure.value for p in known])
            bounds = np.array([p.figure.interval for p in known]).T
            # A sampled median may lie outside of bounds that are of all values.
            errors = np.maximum([values - bounds[0], bounds[1] - values], 0) / unit.size
            axes.errorbar([p.run for p in known], values / unit.size, errors, fmt="none",
                          ecolor=style["color"], alpha=0.4, elinewidth=3)  # fmt: skip


def _parts(points: Sequence[Point], starts: Sequence[int]) -> Iterator[list[Point]]:
    for index, start in enumerate(starts):
        end = starts[index + 1] if index + 1 < len(starts) else None
        part = [p for p in points if p.run >= start and (end is None or p.run < end)]
        if part:
            yield part
