"""A result as Markdown, in the dialect that GitHub and most others show tables of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sgn_rt.benchmarks.report.sections import sections, what_values_are
from sgn_rt.benchmarks.result import Result
from sgn_rt.pages.parts import Section, Table

_MARKS: Final = "\\`*_|<>[]#~&$"


def as_markdown(result: Result, level: int = 1, extra: Sequence[Section] = ()) -> str:
    """All that is told of a result.

    Parameters
    ----------
    result
        The run.
    level
        Of its heading: 1 for a document of its own, more for a part of one.
    extra
        Sections that come first, such as a comparison's.
    """
    model, machine = result.model, result.machine
    lines = [
        f"{'#' * level} {cell(model['name'])} on {cell(machine['cpu'])}",
        "",
        f"{result.made}, {machine['threads']} of {machine['cpus']} processors. "
        f"{what_values_are(result)}",
    ]
    for section in (*extra, *sections(result)):
        lines += ["", *_section(section, level + 1)]
    return "\n".join(lines) + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {section.title}"
    if section.about:
        yield ""
        yield cell(section.about)
    for table in section.tables:
        yield ""
        yield from as_table(table)


def as_table(table: Table) -> Iterator[str]:
    """A table with its title, in lines."""
    yield f"**{cell(table.title)}**"
    yield ""
    yield f"| {' | '.join(cell(column) or ' ' for column in table.columns)} |"
    yield f"|{' --- |' * len(table.columns)}"
    for row in table.rows:
        yield f"| {' | '.join(map(cell, row))} |"
    for note in table.notes:
        yield ""
        yield cell(note)


def cell(text: str) -> str:
    """Text that is no markup, on one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{mark}" if mark in _MARKS else mark for mark in flat)
