"""What became of each recording of a run, on the disk: many processes and machines keep it at once.

A recording has one file, ``<folder>/.sgn-rt-state/ab/<SHA-256 of its key>.json``, put there by a
rename when all else is done. A try is a file beside it from its beginning to its end: it is made
empty, as a name that nobody else has (which NFS promises, too; no lock is needed), and in the end
the outcome is written to it and it is renamed. So whatever kills a process leaves its try, which is
how a recording that kills every process is found out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from sgn_rt._atomic import sync_folder
from sgn_rt.audio.source import printable
from sgn_rt.audio.writer import writing
from sgn_rt.errors import StateWarning
from sgn_rt.model.bundle import Bundle
from sgn_rt.separator import facts_of_run
from sgn_rt.serving.folders.entry import Entry, Row, Status
from sgn_rt.streaming.choices import RecordingOptions
from sgn_rt.streaming.recording_run import Choices

STATE_FOLDER: Final = ".sgn-rt-state"
"""In the output folder. No leftover is called so (`sgn_rt._temporary`)."""

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the state of a recording as it is now lies.

    Attributes
    ----------
    record
        The file of its outcome.
    made_of
        Digest of all that the outcome depends on: file, model and options. None if there is no
        such file.
    """

    record: Path
    made_of: str | None

    def a_try(self, number: int) -> Path:
        """The file of a try while it lasts."""
        return self.record.with_suffix(f".{(self.made_of or 'missing')[:16]}.{number}")


def fingerprint_of(bundle: Bundle, options: Mapping[str, Any]) -> str:
    """Of a model and of options of `Separator.separate_to`; it is the same on every machine.

    Raises
    ------
    AudioError, CategoryError, ConfigError
        For what is not known, or cannot be had.
    """
    more = {name: options[name] for name in options if name not in ("categories", "format")}
    choices = Choices.of(bundle.config, options.get("categories"), cast("RecordingOptions", more))
    return _digest(facts_of_run(bundle, choices, options.get("format", "wav")))


class State:
    """The state of one output folder.

    Parameters
    ----------
    folder
        Where the folders of stems are.
    fingerprint
        Of the model and the options of the run, see `fingerprint_of`; `Entry.options` count, too.
    place
        Where the state is kept, if not in ``folder``.

    Raises
    ------
    AudioError
        By its methods, if the state cannot be written.
    """

    def __init__(self, folder: Path, fingerprint: str, place: Path | None = None) -> None:
        self._folder, self._fingerprint = folder, fingerprint
        self._records = (place or folder) / STATE_FOLDER
        self._begun: dict[str, tuple[_Place, int]] = {}

    def done(self, entry: Entry) -> Row | None:
        """The outcome of an earlier run, of whatever status, that still holds; None without one.

        It holds for the same model and options, the same recording as far as its size and time of
        change tell, and stems that are as long as they were. A damaged file is no outcome, and is
        told of by a StateWarning.
        """
        place = self._place(entry)
        kept = _read(place.record, entry.key)
        if kept is None or kept["made_of"] != place.made_of:
            return None
        there = {stem: _size(self._folder / stem) for stem in kept["files"]}
        row: Row = kept["row"]
        return row if there == kept["files"] else None

    def begin(self, entry: Entry) -> int:
        """Begin a try; it is on the disk when this returns.

        Returns
        -------
        int
            Its number, from 1. Those before it failed, or ended with their process; they were of
            the same recording, model and options, since it was last separated.
        """
        place = self._place(entry)
        number = _failures(place, entry.key) + 1
        with writing(place.record.parent):
            shard = place.record.parent
            if not shard.is_dir():
                shard.mkdir(parents=True, exist_ok=True)
                sync_folder(self._records.parent)
                sync_folder(shard.parent)
            while True:
                with suppress(FileExistsError):
                    os.close(_created(place.a_try(number)))
                    break
                number += 1
            sync_folder(shard)
        self._begun[entry.key] = place, number
        return number

    def finish(self, entry: Entry, row: Row) -> None:
        """Keep an outcome, whole or not at all, and end the try; to be called last of all."""
        if entry.key not in self._begun:
            self.begin(entry)
        place, number = self._begun.pop(entry.key)
        stems = [str(stem) for stem in (row.get("stems") or {}).values()]
        body = {
            "key": entry.key,
            "made_of": place.made_of,
            "tries": number,
            "files": {stem: _size(self._folder / stem) for stem in stems},
            "row": dict(row),
        }
        text = json.dumps({"version": _VERSION, "digest": _digest(body), **body}, allow_nan=False)
        mine = place.a_try(number)
        with writing(place.record.parent):
            handle = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            with open(handle, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(handle)
            os.replace(mine, place.record)
            for ended in place.record.parent.glob(f"{place.record.stem}.*"):
                if ended != place.record:
                    ended.unlink(missing_ok=True)
            sync_folder(place.record.parent)

    def withdraw(self, entry: Entry) -> None:
        """End a try that was ended from outside, as by Ctrl-C: it does not count."""
        if entry.key in self._begun:
            place, number = self._begun.pop(entry.key)
            with suppress(OSError):  # a folder that is gone; the try counts then
                place.a_try(number).unlink(missing_ok=True)

    def interrupted(self, entries: Iterable[Entry]) -> None:
        """Forget the last try of each recording that is begun and not finished, in any process.

        For who has ended the processes that were at work: theirs do not count then.
        """
        mine = {name_of(entry) for entry in entries}
        last: dict[tuple[str, ...], tuple[int, Path]] = {}
        for path in self._records.glob("??/*"):
            name, *made_of, number = path.name.split(".")
            if name in mine and number.isdecimal():
                key = (name, *made_of)
                last[key] = max(last.get(key, (0, path)), (int(number), path))
        for _, path in last.values():
            with suppress(OSError):  # finished meanwhile
                path.unlink()

    def unfinished(self) -> frozenset[str]:
        """Recordings, by `name_of`, with a try that is begun and neither finished nor withdrawn.

        Some process is at it, or was ended by it or beside it.
        """
        tries = self._records.glob("??/*.*.*")
        return frozenset(path.name.partition(".")[0] for path in tries)

    def forget(self) -> None:
        """Forget every outcome and try, so that all begins anew; stems stay.

        Raises
        ------
        AudioError
            If the state cannot be removed.
        """
        with writing(self._records), suppress(FileNotFoundError):
            shutil.rmtree(self._records)

    def _place(self, entry: Entry) -> _Place:
        name = name_of(entry)
        record = self._records / name[:2] / f"{name}.json"
        try:
            found = entry.path.stat()
        except (OSError, ValueError):  # ValueError: what no path can be
            return _Place(record, None)
        source = [found.st_size, found.st_mtime_ns]
        return _Place(record, _digest([self._fingerprint, source, dict(entry.options)]))


def name_of(entry: Entry) -> str:
    """What the files of a recording's state are called, in front."""
    return hashlib.sha256(os.fsencode(entry.key)).hexdigest()


def _failures(place: _Place, key: str) -> int:
    """Tries of a recording as it is now that an earlier outcome tells of, if it is a failure."""
    kept = _read(place.record, key)
    if (
        kept is None
        or kept["made_of"] != place.made_of
        or kept["row"].get("status") != Status.FAILED
    ):
        return 0
    return int(kept["tries"])


def _read(record: Path, key: str) -> Mapping[str, Any] | None:
    """What is in a file of state; None, and a warning, where it is damaged."""
    try:
        kept = json.loads(record.read_bytes())
        version, digest = kept.pop("version"), kept.pop("digest")
        if version != _VERSION or digest != _digest(kept) or kept["key"] != key:
            raise ValueError("other content than was written")
        return dict(kept)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        warnings.warn(
            f"{printable(record)}: got {type(error).__name__}: {error}, expected the outcome of "
            f"{printable(key)}. It counts as not done, and is written anew.",
            StateWarning,
            stacklevel=3,
        )
        return None


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _created(path: Path) -> int:
    """A new file, on the disk.

    Raises
    ------
    FileExistsError
        If there is one, whoever made it.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    os.fsync(handle)
    return handle


def _size(path: Path) -> int:
    """Bytes of a file; -1 for what is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
