"""One recording of many, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias


class Status(StrEnum):
    """What became of a recording."""

    SEPARATED = "separated"
    SKIPPED = "skipped"
    SILENT = "silent"
    FAILED = "failed"


Row: TypeAlias = Mapping[str, Any]
"""What became of a recording, in JSON types: ``key``, ``status`` (`Status`), ``stems`` (category ->
file), ``error`` of one that failed, ``tries``, and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A recording among those of a run.

    Attributes
    ----------
    path
        The file.
    key
        Its name in the run: relative, with ``/``, and no other's.
    folder
        Where its stems go, relative to the output folder; empty for where a recording goes that is
        separated alone.
    options
        What is wanted of this one beside what is wanted of all.
    """

    path: Path
    key: str
    folder: str
    options: Mapping[str, Any]
