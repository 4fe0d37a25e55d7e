"""JSON Lines that grow as a command goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any, Self

import click

from sgn_rt._process import Closes
from sgn_rt.cli.common import writing_file
from sgn_rt.cli.process import make_way


class JsonLines(Closes):
    """A file that gets a line of JSON whenever there is something to tell; ``-`` is stdout.

    What was in it is lost. Use as a context manager.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def __enter__(self) -> Self:
        if str(self._path) != "-":
            with writing_file(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("wb", buffering=0)
        return self

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def write(self, value: Mapping[str, Any]) -> None:
        """Add a line; it is in the file when this returns.

        Raises
        ------
        AudioError
            If it cannot be written.
        """
        if self._file is None:
            make_way()
            click.echo(json.dumps(dict(value), allow_nan=False))
            return
        with writing_file(self._path):
            line = json.dumps(dict(value), ensure_ascii=False, allow_nan=False) + "\n"
            rest = line.encode(errors="backslashreplace")  # of names that are no UTF-8
            while rest:
                rest = rest[self._file.write(rest) :]
