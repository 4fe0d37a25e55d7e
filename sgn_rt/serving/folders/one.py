"""One recording of many, from its try to its outcome: the same here, in a worker and on a node."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

from sgn_rt.audio.run_folder import add_to_run
from sgn_rt.audio.source import printable
from sgn_rt.errors import AudioError, CancelledError, EngineError, SgnError, StorageError
from sgn_rt.report import SeparationFiles
from sgn_rt.separator import Separator
from sgn_rt.serving.folders.entry import Entry, Row, Status
from sgn_rt.serving.folders.state import State
from sgn_rt.serving.recording_report import as_json
from sgn_rt.streaming.choices import Progress

log = logging.getLogger(__name__)

TRIES: Final = 3
"""Of a recording, unless somebody says otherwise."""


class Addition(Protocol):
    """A file that goes with the stems, such as a picture. It can be pickled.

    Attributes
    ----------
    name
        Of the file.
    """

    name: str

    def __call__(
        self, separator: Separator, path: Path, files: SeparationFiles, options: Mapping[str, Any]
    ) -> bytes:
        """Its content."""
        ...


def separate_one(
    separator: Separator,
    entry: Entry,
    output: Path,
    options: Mapping[str, Any],
    state: State | None = None,
    tries: int = TRIES,
    *,
    skip_existing: bool = False,
    addition: Addition | None = None,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Row:
    """Separate a recording, and tell what became of it, also where it failed.

    Parameters
    ----------
    separator
        By which.
    entry
        The recording.
    output
        Folder of the folders of stems.
    options
        Of `Separator.separate_to`, for all; those of the entry come before them.
    state
        That is told of the try and its outcome.
    tries
        After so many that failed, or ended their process, there is none.
    skip_existing
        Whether stems that are there, whole and of the same model and options, do.
    addition
        Goes with the stems.
    progress, cancel
        As `RecordingOptions`.

    Returns
    -------
    Row
        ``key``, ``input``, ``status`` (`Status`), ``tries``, ``stems`` (category -> file, relative
        to ``output``), and its report or its ``error``.

    Raises
    ------
    CancelledError
        If ``cancel`` was set; the try does not count then.
    StorageError
        If the storage takes nothing more: every other recording would fail as well.
    AudioError
        If the state cannot be written.
    """
    number = 1 if state is None else state.begin(entry)
    try:
        if number > tries:
            told = _failure(_given_up(entry, number - 1))
        else:
            wanted = {**options, **entry.options}
            told = _attempt(
                separator, entry, output, wanted, skip_existing=skip_existing, addition=addition,
                progress=progress, cancel=cancel,
            )  # fmt: skip
    except BaseException:
        if state is not None:
            state.withdraw(entry)
        raise
    row = {"key": entry.key, "input": str(entry.path), "tries": min(number, tries), **told}
    if state is not None:
        state.finish(entry, row)
    return row


def is_settled(row: Row, tries: int = TRIES) -> bool:
    """Whether an outcome of an earlier run is the last word: no failure that may be tried again."""
    return row["status"] != Status.FAILED or int(row["tries"]) >= tries


def folder_of(entry: Entry, output: Path) -> tuple[Path, str | None]:
    """Where the stems of a recording go, as `Separator.separate_to` takes it: folder and name."""
    if not entry.folder:
        return output, None
    within = PurePosixPath(entry.folder)
    return output / within.parent, within.name


def _attempt(
    separator: Separator,
    entry: Entry,
    output: Path,
    wanted: Mapping[str, Any],
    *,
    skip_existing: bool,
    addition: Addition | None,
    progress: Progress | None,
    cancel: threading.Event | None,
) -> Row:
    """Separate a recording; or tell why it failed, also where the fault is this package's."""
    folder, name = folder_of(entry, output)
    try:
        if skip_existing:
            there = separator.finished(entry.path, folder, name=name, **wanted)
            if there is not None and _has(there, addition):
                return {"status": Status.SKIPPED, "stems": _relative(there, output)}
        checked = separator.checked_windows
        files = separator.separate_to(
            entry.path, folder, name=name, progress=progress, cancel=cancel, **wanted
        )
        if files.peak == 0.0 and not files.stems:
            return {"status": Status.SILENT, "stems": {}}
        if addition is not None and files.stems:
            place = next(iter(files.stems.values())).parent
            add_to_run(place, addition.name, addition(separator, entry.path, files, wanted))
    except (CancelledError, StorageError):
        raise
    except SgnError as error:
        return _failure(error)
    except Exception as error:
        log.exception("%s", entry.path)
        return _failure(
            EngineError(
                f"{printable(entry.path)}: got {type(error).__name__}: {error}, expected no such "
                "error. Please report it, with what -v tells."
            )
        )
    report = as_json(str(entry.path), files, separator, checked)
    return {**report, "status": Status.SEPARATED, "stems": _relative(files.stems, output)}


def _failure(error: SgnError) -> Row:
    return {"status": Status.FAILED, "error": str(error), "stems": {}}


def _given_up(entry: Entry, tries: int) -> AudioError:
    return AudioError(
        f"{printable(entry.path)}: got {tries} tries that failed or ended their process (a crash, "
        "too little memory), expected an end. It is given up: separate it alone with -v, or "
        "--fresh to try again."
    )


def _relative(stems: Mapping[str, Path], output: Path) -> dict[str, str]:
    return {name: Path(os.path.relpath(stem, output)).as_posix() for name, stem in stems.items()}


def _has(stems: Mapping[str, Path], addition: Addition | None) -> bool:
    """Whether no addition is missing beside stems."""
    return addition is None or all(
        (stem.parent / addition.name).is_file() for stem in stems.values()
    )
