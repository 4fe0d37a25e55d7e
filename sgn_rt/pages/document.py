"""A page of HTML with its pictures and sounds in it: nothing beside it, nothing from a network."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Final

from sgn_rt.pages.parts import Section, Sounds, Table
from sgn_rt.pages.svg import Plot, clean

_BAD: Final = re.compile(r"\b(FAILED|INVALID|WORSE|LOST)\b")
_ICON: Final = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"
"""An empty one, so that no browser asks for another."""


def document(
    *,
    title: str,
    lead: str,
    parts: Sequence[Section],
    pictures: Mapping[str, Sequence[Plot | Sounds]],
    generator: str,
) -> str:
    """A page of sections, each with its pictures or sounds, by its key."""
    style = resources.files("sgn_rt.pages").joinpath("page.css").read_text("utf-8")
    links = "".join(f'<li><a href="#{p.key}">{text(p.title)}</a></li>' for p in parts)
    body = "\n".join(line for part in parts for line in _section(part, pictures.get(part.key, ())))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="{generator}">
<title>{text(title)}</title>
<link rel="icon" href="{_ICON}">
<style>
{style}</style>
</head>
<body>
<header>
<h1>{text(title)}</h1>
<p class="quiet">{text(lead)}</p>
<nav aria-label="Parts of this page"><ul>{links}</ul></nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def _section(part: Section, pictures: Sequence[Plot | Sounds]) -> Iterator[str]:
    yield f'<section aria-labelledby="{part.key}">'
    yield f'<h2 id="{part.key}">{text(part.title)}</h2>'
    if part.about:
        kind = "verdict" + (" bad" if part.about.startswith("NOT JUDGED") else "")
        yield f'<p class="{kind if part.key == "comparison" else "quiet"}">{text(part.about)}</p>'
    yield '<div class="parts">'
    for each in pictures:
        shown = each.svg if isinstance(each, Plot) else "".join(_players(each))
        yield f"<figure><figcaption>{text(each.title)}</figcaption>{shown}</figure>"
    for number, table in enumerate(part.tables):
        yield from _table(table, f"{part.key}-table-{number}")
    yield "</div></section>"


def _players(sounds: Sounds) -> Iterator[str]:
    for label, uri in sounds.sounds:
        said = html.escape(clean(f"{sounds.title}: {label}"), quote=True)
        yield f'<div class="sound"><span>{text(label)}</span>'
        yield f'<audio controls preload="none" aria-label="{said}" src="{uri}"></audio></div>'


def _table(table: Table, key: str) -> Iterator[str]:
    # May be wider than a telephone: then it can be scrolled, also by the keyboard.
    long = any(len(cell) > 40 for row in table.rows for cell in row[1:])
    kind = ' class="prose"' if long else ""
    yield f'<div class="part"><h3 id="{key}">{text(table.title)}</h3>'
    yield f'<div class="table" role="group" aria-labelledby="{key}" tabindex="0">'
    yield f'<table{kind} aria-labelledby="{key}">'
    yield f"<thead><tr>{''.join(_head(column) for column in table.columns)}</tr></thead><tbody>"
    for first, *others in table.rows:
        yield f'<tr><th scope="row">{text(first)}</th>{"".join(map(_cell, others))}</tr>'
    yield "</tbody></table></div>"
    if table.notes:
        yield f'<ul class="notes">{"".join(f"<li>{text(note)}</li>" for note in table.notes)}</ul>'
    yield "</div>"


def _head(column: str) -> str:
    # An empty header says nothing to who hears the table: then it is a cell.
    return f'<th scope="col">{text(column)}</th>' if column else "<td></td>"


def _cell(content: str) -> str:
    kinds: Iterable[str] = (
        name
        for name, holds in (
            ("bad", _BAD.search(content) is not None),
            ("good", content == "better"),
            ("number", len(content) <= 30),
        )
        if holds
    )
    joined = " ".join(kinds)
    return f'<td class="{joined}">{text(content)}</td>' if joined else f"<td>{text(content)}</td>"


def text(content: str) -> str:
    """Text that is no markup, without what HTML does not take."""
    return html.escape(clean(content))
