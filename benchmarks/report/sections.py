"""What is told of a result: its sections, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from sgn_rt.benchmarks.report.quantities import Unit, spread, unit_for
from sgn_rt.benchmarks.report.tables import (
    flat,
    group_title,
    group_unit,
    grouped,
    scenario_title,
    scenarios,
)
from sgn_rt.benchmarks.result import CONFIDENCE, Figure, Ratio, Result, Row
from sgn_rt.pages.parts import Section, Table

ABOUT: Final = {
    "offline": "All windows at hand at once, as many as can be computed in a second.",
    "single-stream": "One window after the other, each as soon as the last is done.",
    "multi-stream": "Several windows at a time, the next ones when all of them are done.",
    "server": "Windows come at random, and each has to be done within a bound.",
    "files": "From a recording on disk to stems on disk.",
    "streams": "Live streams side by side, none later than its deadline.",
    "length": "What a recording costs by its length.",
    "sources": "What a recording costs by the number of categories that are wanted.",
    "batch": "What windows cost that are computed together.",
}
"""What is measured, of the scenarios that this page knows more of than their name."""

OURS: Final = "sgn-rt's engines"
OTHERS: Final = "the others"
_ALSO: Final = "peak memory"
"""What is told in short beside a scenario's main figure, which is its first."""
_BESIDE: Final = 2
"""Cases at the most whose ratios stand beside their values, and in no table of their own."""

Column: TypeAlias = "tuple[str, dict[str, str]]"
"""Its head, and row -> cell."""


def what_values_are(result: Result) -> str:
    """And what their bounds promise."""
    passes = max((figure.passes for figure in result.figures), default=1)
    of = f"by {passes} passes through everything" if passes > 1 else "in this run"
    return (
        "Values are medians; in brackets the bounds within which they lie with "
        f"{100 * CONFIDENCE:.0f} % confidence, {of}."
    )


def sections(result: Result) -> list[Section]:
    """All that is told of a result, in the order in which it is read."""
    found = [
        Section("summary", "In short", "", tuple(_summary(result))),
        *(
            Section(scenario, scenario_title(scenario), ABOUT.get(scenario, ""), tuple(tables))
            for scenario in scenarios(result)
            if (tables := list(_scenario(result, scenario)))
        ),
        Section("limits", "What limits it", "", tuple(_limits(result))),
        Section("rows", "What was run", "", tuple(_rows(result))),
        Section("machine", "On what", "", tuple(_environment(result))),
    ]
    return [section for section in found if section.tables]


def _summary(result: Result) -> Iterator[Table]:
    """Of each case that is no point of a curve: the best of ours beside the best of the others."""
    kinds = {(row.name, row.network): row.kind for row in result.rows}
    main: dict[str, str] = {}
    for figure in result.figures:
        main.setdefault(figure.scenario, figure.name)
    rows = []
    for group in grouped(f for f in result.figures if f.x is None and f.failure is None):
        if group[0].name not in (main[group[0].scenario], _ALSO):
            continue
        unit = group_unit(group)
        for case in dict.fromkeys(figure.case for figure in group):
            sides: dict[str, list[Figure]] = {"engine": [], "competitor": []}
            for figure in group:
                if figure.case == case and figure.valid is not False:
                    sides[kinds.get((figure.row, figure.network), "engine")].append(figure)
            ours, others = (_best(side) for side in sides.values())
            if ours is None and others is None:
                continue
            first = ours or others
            assert first is not None
            what = ", ".join(filter(None, (first.scenario, case, group_title(group))))
            rows.append((
                f"{what} ({unit.name})", *_named(ours, unit), *_named(others, unit),
                _times(ours, others),
            ))  # fmt: skip
    if rows:
        yield Table(
            "The best row of each scenario",
            ("scenario", OURS, "", OTHERS, "", "times as good"),
            tuple(rows),
        )


def _best(figures: Sequence[Figure]) -> Figure | None:
    if not figures:
        return None
    choose = max if figures[0].better == "higher" else min
    return choose(figures, key=lambda figure: figure.value)


def _named(figure: Figure | None, unit: Unit) -> tuple[str, str]:
    if figure is None:
        return "-", "-"
    return figure.row, unit.spread(figure.value, figure.interval)


def _times(ours: Figure | None, others: Figure | None) -> str:
    if ours is None or others is None or not ours.value or not others.value:
        return "-"
    good = ours.better == "higher"
    return f"{ours.value / others.value if good else others.value / ours.value:.2f}"


def _scenario(result: Result, scenario: str) -> Iterator[Table]:
    of_scenario = [each for each in result.ratios if each.scenario == scenario]
    for group in grouped(figure for figure in result.figures if figure.scenario == scenario):
        first, unit = group[0], group_unit(group)
        ratios = [r for r in of_scenario if (r.name, r.network) == (first.name, first.network)]
        by_case: dict[str, list[Figure]] = {}
        for figure in group:
            by_case.setdefault(figure.case, []).append(figure)
        apart = len(by_case) > _BESIDE
        columns: list[Column] = []
        for case, figures in by_case.items():
            values = {figure.row: _value(figure, unit) for figure in figures}
            columns.append((case or unit.name, values))
            columns += _percentiles(case, figures)
            columns += [] if apart else _ratios(ratios, case)
        names = list(dict.fromkeys(figure.row for figure in group))
        title = f"{group_title(group)}{'' if unit.name == first.name else f' ({unit.name})'}"
        yield _table(f"{title}, {first.better} is better", names, columns, tuple(_notes(group)))
        if apart:
            for to in dict.fromkeys(each.to for each in ratios):
                columns = [
                    (case, cells) for case in by_case for _, cells in _ratios(ratios, case, to)
                ]
                yield _table(f"{group_title(group)}: times as good as {to}", names, columns)


def _table(
    title: str, names: Sequence[str], columns: Sequence[Column], notes: tuple[str, ...] = ()
) -> Table:
    """Of columns that know their cells by row; a row without any is left out."""
    return Table(
        title,
        ("row", *(head for head, _ in columns)),
        tuple(
            (name, *(cells.get(name, "") for _, cells in columns))
            for name in names
            if any(name in cells for _, cells in columns)
        ),
        notes,
    )


def _ratios(ratios: Sequence[Ratio], case: str, to: str | None = None) -> Iterator[Column]:
    of_case = [each for each in ratios if each.case == case and to in (None, each.to)]
    for other in dict.fromkeys(each.to for each in of_case):
        cells = {r.row: spread(r.value, r.interval) for r in of_case if r.to == other}
        yield _of_case(case, f"x {other}"), cells


def _of_case(case: str, what: str) -> str:
    return f"{case}: {what}" if case else what


def _value(figure: Figure, unit: Unit) -> str:
    if figure.failure is not None:
        return "FAILED"
    shown = unit.spread(figure.value, figure.interval)
    return f"{shown} INVALID" if figure.valid is False else shown


def _percentiles(case: str, figures: Sequence[Figure]) -> Iterator[Column]:
    known = {figure.row: figure.percentiles for figure in figures if figure.percentiles}
    unit = unit_for("s", [value for each in known.values() for value in each.values()])
    for which in dict.fromkeys(name for each in known.values() for name in each):
        cells = {name: unit.number(each[which]) for name, each in known.items() if which in each}
        yield _of_case(case, f"{which} {unit.name}"), cells


def _notes(group: Sequence[Figure]) -> Iterator[str]:
    """What was said of figures, that of several rows once."""
    said: dict[str, list[str]] = {}
    for figure in group:
        for text in filter(None, (figure.failure, figure.note)):
            where = f"{figure.row}, {figure.case}" if figure.case else figure.row
            said.setdefault(text, []).append(where)
    for text, places in said.items():
        everywhere = len(places) == len(group) and len(group) > 1
        yield text if everywhere else f"{'; '.join(places)}: {text}"


def _limits(result: Result) -> Iterator[Table]:
    if not result.limits:
        return
    kinds = list(dict.fromkeys(kind for each in result.limits for kind in each.roofline))
    shares = list(dict.fromkeys(part for each in result.limits for part in each.shares))
    needs = [bound["need_s"] for each in result.limits for bound in each.roofline.values()]
    unit = unit_for("s", needs)
    rows = [
        (
            _with_network(each.row, each.network),
            *(f"{100 * each.shares[part]:.0f} %" if part in each.shares else "" for part in shares),
            *(unit.number(each.roofline[k]["need_s"]) if k in each.roofline else "" for k in kinds),
            next((unit.number(b["took_s"]) for b in each.roofline.values() if "took_s" in b), ""),
            each.words,
        )
        for each in result.limits
    ]
    bounds = (*(f"least {unit.name} by {kind}" for kind in kinds), f"{unit.name} it took")
    notes = {
        f"{kind}: {_peak(bound)}": None
        for each in result.limits
        for kind, bound in each.roofline.items()
        if _peak(bound)
    }
    columns = ("row", *shares, *bounds, "in words")
    yield Table("Where the time goes, and the least that a window takes", columns, tuple(rows),
                tuple(notes))  # fmt: skip


def _peak(bound: dict[str, Any]) -> str:
    peak = bound.get("peak")
    if peak is None:
        return str(bound.get("how") or "")
    unit = unit_for(bound.get("unit", ""), (peak,))
    return ", ".join(filter(None, (f"{unit.number(peak)} {unit.name}".strip(), bound.get("how"))))


def _with_network(name: str, network: str) -> str:
    return name if network == "published" else f"{name} ({network})"


def _rows(result: Result) -> Iterator[Table]:
    here = [row for row in result.rows if row.failure is None]
    failed = [row for row in result.rows if row.failure is not None and not row.absent]
    absent = [row for row in result.rows if row.absent]
    if here:
        yield Table(
            "Rows, each within every limit of parity before it was timed",
            ("row", "kind", "precision", "parity", "what ran"),
            tuple(
                (
                    _with_network(r.name, r.network),
                    r.kind,
                    r.precision,
                    _accuracy(r),
                    r.detail or "",
                )
                for r in here
            ),
        )
    if failed:
        yield Table(
            "Rows that FAILED, and have no figures",
            ("row", "kind", "why"),
            tuple((_full_name(r), r.kind, r.failure or "") for r in failed),
        )
    if absent:
        yield Table(
            "Rows that are not to be had here",
            ("row", "why", "what installs it"),
            tuple((_full_name(r), r.failure or "", r.command or "-") for r in absent),
        )


def _full_name(row: Row) -> str:
    return _with_network(row.name, row.network)


def _accuracy(row: Row) -> str:
    if not row.accuracy:
        return "-"
    held = sum(stage.get("passed") is True for stage in row.accuracy.values())
    return f"{held} of {len(row.accuracy)} stages hold"


def _environment(result: Result) -> Iterator[Table]:
    for title, part in (
        ("Machine", result.machine),
        ("Model", result.model),
        ("Plan", result.plan),
    ):
        rows = (*(("begun", result.made),) * (title == "Machine"), *flat(part))
        yield Table(title, ("what", "value"), tuple(rows))
