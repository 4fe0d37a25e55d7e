"""Recordings one after another: one that fails keeps none of the others from being separated."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
import numpy as np

from sgn_rt.audio.recording import open_recording
from sgn_rt.audio.run_folder import add_to_run
from sgn_rt.cli.common import console, progress_bar, writing_file
from sgn_rt.cli.process import say
from sgn_rt.cli.separation_report import show
from sgn_rt.errors import AudioError, EngineError, SgnError
from sgn_rt.report import SeparationFiles
from sgn_rt.separator import Separator
from sgn_rt.serving.recording_report import as_json
from sgn_rt.streaming.choices import Progress
from sgn_rt.streaming.presence import PresenceRule

log = logging.getLogger(__name__)

PICTURE = "overview.png"
_READING = ("start_s", "duration_s", "salvage")
"""Options that say which part of a recording is separated."""


class Status(StrEnum):
    """What became of a recording."""

    SEPARATED = "separated"
    SKIPPED = "skipped"
    SILENT = "silent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a recording, and what is told of it.

    Attributes
    ----------
    path
        The recording.
    status
        What became of it.
    report
        As JSON types; of one that failed, its error.
    files
        What was made of it, if it was separated.
    error
        Why it failed.
    """

    path: Path
    status: Status
    report: Mapping[str, Any] = field(default_factory=dict)
    files: SeparationFiles | None = None
    error: SgnError | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {"input": str(self.path), "status": str(self.status), **self.report}


class Overview:
    """The picture that goes with stems; see `sgn_rt.serving.folders.one.Addition`."""

    name = PICTURE

    def __call__(
        self, separator: Separator, path: Path, files: SeparationFiles, options: Mapping[str, Any]
    ) -> bytes:
        """Draw it, as PNG."""
        from sgn_rt.cli.plot import as_png, draw_overview

        rule = PresenceRule.of(separator.config, options["threshold"])
        count = len(separator.categories)
        limits = np.broadcast_to(np.atleast_1d(rule.thresholds), count).tolist()
        figure = draw_overview(
            open_recording(path, **{key: options[key] for key in _READING}),
            files,
            title=path.name,
            model=separator.bundle.name,
            highest_hz=separator.config.sample_rate / 2,
            thresholds=dict(zip(separator.categories, limits, strict=True)),
        )
        return as_png(figure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of every recording.

    Attributes
    ----------
    output
        Folder of the folders of stems.
    options
        Of `Separator.separate_to`.
    plot
        Whether a picture is wanted, too.
    skip_existing
        Whether a recording whose stems, and picture if wanted, are there, whole and of the same
        model and options, is left out.
    """

    output: Path
    options: Mapping[str, Any]
    plot: bool = False
    skip_existing: bool = False

    def of(self, separator: Separator, path: Path, progress: Progress) -> Outcome:
        """Separate a recording.

        Raises
        ------
        SgnError
            As `Separator.separate_to`.
        """
        if self.skip_existing:
            there = separator.finished(path, self.output, **self.options)
            if there is not None and self._is_drawn(there):
                stems = {name: str(stem) for name, stem in there.items()}
                return Outcome(path=path, status=Status.SKIPPED, report={"stems": stems})
        checked = separator.checked_windows
        files = separator.separate_to(path, self.output, progress=progress, **self.options)
        if files.peak == 0.0 and not files.stems:
            return Outcome(path=path, status=Status.SILENT, report={"stems": {}})
        if self.plot and files.stems:
            self._draw(path, files, separator)
        report = as_json(str(path), files, separator, checked)
        return Outcome(path=path, status=Status.SEPARATED, report=report, files=files)

    def _is_drawn(self, stems: Mapping[str, Path]) -> bool:
        """Whether no picture is missing beside stems."""
        return not self.plot or all((stem.parent / PICTURE).is_file() for stem in stems.values())

    def _draw(self, path: Path, files: SeparationFiles, separator: Separator) -> None:
        """Add a picture to the stems."""
        picture = Overview()(separator, path, files, self.options)
        add_to_run(next(iter(files.stems.values())).parent, PICTURE, picture)

    def attempt(self, separator: Separator, path: Path, progress: Progress) -> Outcome:
        """Separate a recording, or tell why it failed; also where the fault is this package's."""
        try:
            return self.of(separator, path, progress)
        except SgnError as error:
            failure = error
        except Exception as error:
            log.exception("%s", path)
            failure = EngineError(
                f"{path}: got {type(error).__name__}: {error}, expected no such error. "
                "Please report it, with what -v tells."
            )
        return Outcome(
            path=path, status=Status.FAILED, report={"error": str(failure)}, error=failure
        )


class JsonLines:
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
            click.echo(json.dumps(dict(value), allow_nan=False))
            return
        with writing_file(self._path):
            line = json.dumps(dict(value), ensure_ascii=False, allow_nan=False) + "\n"
            rest = line.encode(errors="backslashreplace")  # of names that are no UTF-8
            while rest:
                rest = rest[self._file.write(rest) :]


def run_batch(
    separator: Separator,
    inputs: Sequence[Path],
    wanted: Wanted,
    lines: JsonLines | None,
    *,
    tables: bool,
) -> list[Outcome]:
    """Separate recordings, and tell of each when it is done.

    Parameters
    ----------
    separator
        By which.
    inputs
        The recordings.
    wanted
        Of each.
    lines
        Gets a line for each.
    tables
        Whether stdout is for people.

    Raises
    ------
    SgnError
        If it is a single one, and that fails or is digital silence: then there is nothing else to
        go on with.
    """
    outcomes = []
    for number, path in enumerate(inputs, 1):
        counter = f"[{number}/{len(inputs)}] " if len(inputs) > 1 else ""
        with progress_bar(f"{counter}{path.name}") as progress:
            outcome = wanted.attempt(separator, path, progress)
        if len(inputs) == 1 and outcome.status is Status.SILENT:
            outcome = _silence(path)
        outcomes.append(outcome)
        if lines is not None:
            lines.write(outcome.to_dict())
        if outcome.error is not None:
            if len(inputs) == 1:
                raise outcome.error
            say("error", f"{counter}{outcome.error}")
        elif tables:
            _tell(f"{counter}{path}", outcome)
    if tables and len(inputs) > 1:
        counts = Counter(outcome.status for outcome in outcomes)
        told = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
        console().print(f"{len(inputs)} recordings: {told}")
    return outcomes


def _silence(path: Path) -> Outcome:
    error = AudioError(
        f"{path}: got digital silence, expected sound. "
        "Name --categories to have silent stems of it."
    )
    return Outcome(path=path, status=Status.FAILED, report={"error": str(error)}, error=error)


def _tell(title: str, outcome: Outcome) -> None:
    if outcome.files is not None:
        show(title, outcome.files)
    elif outcome.status is Status.SKIPPED:
        console().print(f"{title}  skipped: its stems are there")
    else:
        console().print(f"{title}  digital silence: no stems")
