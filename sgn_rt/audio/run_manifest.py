"""What a run writes down beside its stems: which files are its own, and what they were made of."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

RUN_MANIFEST: Final = "sgn-rt.json"
_SCHEMA = 1
_LIMIT = 4 << 20
"""Bytes; what is larger, no run wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The recording that a folder's stems were made of.

    Attributes
    ----------
    name
        Its file name.
    place
        Its path from the folder, so that both can be moved together.
    size
        Bytes.
    modified_ns
        When it was last changed, nanoseconds since 1970.
    """

    name: str
    place: str
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path, folder: Path) -> Source:
        """A recording as it is now.

        Raises
        ------
        OSError
            If there is none.
        """
        found = path.stat()
        place = os.path.relpath(path.resolve(), folder.resolve())
        return cls(name=path.name, place=place, size=found.st_size, modified_ns=found.st_mtime_ns)

    def is_another(self, path: Path, folder: Path) -> bool:
        """Whether this recording still is where it was, and is not the one at ``path``."""
        try:
            return not path.samefile(folder / self.place)
        except (OSError, ValueError):  # ValueError: what no path can be
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest:
    """What is known of the run that wrote a folder.

    Attributes
    ----------
    source
        What was separated.
    files
        File name -> bytes.
    complete
        Whether the run came to its end: false while its files are being put into place.
    facts
        What else the run wrote down: model, options, report; JSON types.
    """

    source: Source
    files: Mapping[str, int]
    complete: bool
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> RunManifest | None:
        """The manifest in a folder; None where there is none.

        Raises
        ------
        ValueError, OSError
            If there is something of that name that no run wrote.
        """
        try:
            handle = os.open(
                folder / RUN_MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except (FileNotFoundError, NotADirectoryError):
            return None
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ValueError("no regular file")
            content = file.read(_LIMIT)
        try:
            return cls._of(json.loads(content))
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"no manifest of a run: {error!r}") from error

    @classmethod
    def _of(cls, found: dict[str, Any]) -> RunManifest:
        found = dict(found)
        if found.pop("schema") != _SCHEMA:
            raise ValueError("a manifest of another version")
        files = {str(name): int(size) for name, size in dict(found.pop("files")).items()}
        for name in files:
            if not is_plain(name) or name == RUN_MANIFEST:
                raise ValueError(f"a file name that is none: {name!r}")
        source = found.pop("source")
        return cls(
            source=Source(
                name=str(source["name"]),
                place=str(source["place"]),
                size=int(source["bytes"]),
                modified_ns=int(source["modified_ns"]),
            ),
            files=files,
            complete=found.pop("complete") is True,
            facts=found,
        )

    def to_bytes(self) -> bytes:
        """As JSON, in ASCII: a name that is no UTF-8 comes back as it was."""
        content = {
            "schema": _SCHEMA,
            "complete": self.complete,
            "source": {
                "name": self.source.name,
                "place": self.source.place,
                "bytes": self.source.size,
                "modified_ns": self.source.modified_ns,
            },
            "files": dict(self.files),
        }
        return (json.dumps(dict(self.facts) | content, indent=2, allow_nan=False) + "\n").encode()


def is_plain(name: str) -> bool:
    """Whether a name is one of a file in the folder itself, and not hidden."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return bool(name) and not name.startswith(".") and not set(name) & {"/", "\\", "\0"}
