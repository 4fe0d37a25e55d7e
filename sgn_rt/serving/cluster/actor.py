"""What runs on the nodes of a cluster: an engine in a process of its own, and recordings."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sgn_rt import __version__
from sgn_rt.errors import EngineError, SgnError
from sgn_rt.model.bundle import Bundle
from sgn_rt.separator import Separator
from sgn_rt.serving.folders.desk import Work
from sgn_rt.serving.folders.entry import Entry, Row
from sgn_rt.serving.folders.one import is_settled, separate_one

log = logging.getLogger(__name__)

ENTRY: Final = "entry"
ROW: Final = "row"
"""Columns of what goes to actors and of what comes back: JSON texts."""

UNFIT: Final = "unfit"
"""Status of a row that tells not of a recording, but why its actor can separate none."""


class SeparatingActor:
    """Separates recordings; Ray Data makes one in each process, and calls it with batches of one.

    An actor that cannot work says so in place of its first answer: what Ray tells of an error in
    ``__init__`` is no message for a user.

    Parameters
    ----------
    opening
        Of `Separator.open`, the bundle's path among them.
    work
        What is wanted of each recording.
    expected
        What has to be the same here as where the run was started: see `conditions`.
    """

    def __init__(self, opening: Mapping[str, Any], work: Work, expected: Mapping[str, Any]) -> None:
        self._work = work
        self._unfit: str | None = None
        try:
            self._open(opening, expected)
        except SgnError as error:
            self._unfit = str(error)
        except Exception as error:
            self._unfit = _unforeseen(error)

    def _open(self, opening: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        _expect(expected)
        bundle = Bundle.open(opening["bundle"])
        if bundle.identity != expected["model"]:
            raise EngineError(
                f"{bundle.root}: got another model than where the run was started, expected the "
                "same on every node. Put the bundle on storage that all nodes share."
            )
        state = self._work.state()
        assert state is not None, "a cluster's run keeps state"
        self._state = state
        self._separator = Separator.open(**{**opening, "bundle": bundle})

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Answer each entry with what became of it."""
        return {ROW: [json.dumps(self._answer(json.loads(text))) for text in batch[ENTRY]]}

    def _answer(self, told: Mapping[str, Any]) -> Row:
        if self._unfit is None:
            try:
                return self._row(entry_of(told))
            except SgnError as error:  # no recording's: its own is in its row
                self._unfit = str(error)
            except Exception as error:
                self._unfit = _unforeseen(error)
        return {"status": UNFIT, "error": f"node {socket.gethostname()}: {self._unfit}"}

    def _row(self, entry: Entry) -> Row:
        work = self._work
        # What was lost on its way back, with a node, is not computed again.
        kept = self._state.done(entry)
        if kept is not None and is_settled(kept, work.tries):
            return kept
        return separate_one(
            self._separator, entry, work.output, work.options, self._state, work.tries,
            skip_existing=work.skip_existing, addition=work.addition,
        )  # fmt: skip


def _unforeseen(error: Exception) -> str:
    log.error("an actor", exc_info=error)
    return f"got {type(error).__name__}: {error}, expected no such error. Please report it."


def conditions(entries: Sequence[Entry], output: Path, marker: Path, model: str) -> dict[str, Any]:
    """What has to be on every node as it is here, as JSON types.

    Parameters
    ----------
    entries
        What is to be separated.
    output
        Folder of the folders of stems.
    marker
        A file in it that was not there before the run.
    model
        Identity of the bundle.
    """
    parents = {entry.path.parent for entry in entries}
    tops = [folder for folder in parents if not parents & set(folder.parents)]
    return {
        "version": __version__,
        "folders": [str(folder) for folder in sorted(tops)[:_MOST_FOLDERS]],
        "output": str(output),
        "marker": str(marker),
        "model": model,
    }


_MOST_FOLDERS: Final = 100
"""Of recordings, that each actor looks for: more would take longer than it tells."""


def _expect(expected: Mapping[str, Any]) -> None:
    if __version__ != expected["version"]:
        raise EngineError(
            f"sgn-rt: got version {__version__}, expected {expected['version']}, as where the run "
            "was started. Install the same one; `sgn-rt ray-job` takes it along."
        )
    if not Path(expected["marker"]).exists():
        raise EngineError(
            f"{expected['output']}: got another folder than where the run was started, or none, "
            "expected the same. Name a folder on storage that all nodes share, by one path."
        )
    if not os.access(expected["output"], os.W_OK | os.X_OK):
        raise EngineError(
            f"{expected['output']}: got no permission to write there, expected it. Let the user "
            "that Ray runs as write there."
        )
    for folder in expected["folders"]:
        if not Path(folder).is_dir():
            raise EngineError(
                f"{folder}: got no such folder, expected the recordings that are there where the "
                "run was started. Put them on storage that all nodes share, by one path."
            )


def entry_of(told: Mapping[str, Any]) -> Entry:
    """What `told_of` was made of."""
    return Entry(**{**told, "path": Path(told["path"])})


def told_of(entry: Entry) -> dict[str, Any]:
    """An entry as JSON types."""
    return {
        "path": str(entry.path),
        "key": entry.key,
        "folder": entry.folder,
        "options": dict(entry.options),
    }
