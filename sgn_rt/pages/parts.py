"""What pages, Markdown and the terminal show alike: sections of plain tables; and sounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows and columns; the first column names the row, the others are figures or words."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """What belongs together.

    Attributes
    ----------
    key
        Of this section alone; the page puts its plots beside it.
    title, about
        Its heading, and what to know before reading.
    tables
        None of them is empty.
    """

    key: str
    title: str
    about: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Sounds:
    """Sounds that belong together: a label and a ``data:`` address of each."""

    title: str
    sounds: tuple[tuple[str, str], ...]
