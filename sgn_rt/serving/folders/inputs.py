"""Recordings that a run is given: files, folders and manifests, as a list of entries."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final, NamedTuple

from sgn_rt.audio.file_names import ENDINGS
from sgn_rt.audio.run_manifest import RUN_MANIFEST
from sgn_rt.audio.source import printable, reason
from sgn_rt.errors import AudioError, ConfigError
from sgn_rt.serving.folders.entry import Entry
from sgn_rt.serving.folders.manifest import Line, fault, read_manifest
from sgn_rt.serving.folders.names import FolderRule, Named

MANIFEST: Final = ".jsonl"
"""Ending of a manifest."""


def is_many(path: Path) -> bool:
    """Whether an input is a folder or a manifest, not a recording."""
    return path.suffix.lower() == MANIFEST or path.is_dir()


class _Root(NamedTuple):
    """Where the names of recordings begin: a folder, or that of a manifest.

    Attributes
    ----------
    place
        The folder; empty for files that were named.
    prefix
        Of their keys, with ``/``.
    manifest
        That names them, if one does.
    named
        Whether they were named one by one.
    """

    place: str
    prefix: str
    manifest: Path | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """A recording, as small as can be: there are a hundred thousand of them."""

    root: int
    name: str
    size: int
    output: str | None = None
    options: Mapping[str, Any] | None = None
    line: int = 0


class Listing:
    """The recordings of a run, in an order that is the same wherever they lie.

    What is kept of each is its name and size; an `Entry` is made when it is asked for.

    Parameters
    ----------
    roots, found
        As `list_inputs` comes to them.

    Attributes
    ----------
    total_bytes
        Of all recordings together.

    Raises
    ------
    ConfigError
        If two have one key, or somebody chose folders that cannot be.
    """

    def __init__(self, roots: Sequence[_Root], found: Sequence[_Found]) -> None:
        self._roots, self._found = roots, found
        self.total_bytes = sum(each.size for each in found)
        self._rule = FolderRule(self._named(each) for each in found)
        seen: dict[str, _Found] = {}
        for each in found:
            named = self._named(each)
            if self._rule.is_alone(named):
                continue
            if (other := seen.setdefault(named.key, each)) is not each:
                raise self._twice(each, other, named.key)
            if named.output is not None and (clash := self._rule.clash(named)):
                raise self._wrong(each, f"{clash} as output {named.output!r}", "one of its own")

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Entry]:
        return map(self._entry, self._found)

    def sized(self) -> Iterator[tuple[Entry, int]]:
        """Each with the bytes of its file; 0 where there is none."""
        return ((self._entry(each), each.size) for each in self._found)

    def _entry(self, found: _Found) -> Entry:
        root, named = self._roots[found.root], self._named(found)
        folder = self._rule.of(named)
        if root.named and folder == self._rule.plain(named):
            folder = ""
        return Entry(
            path=Path(root.place, found.name),
            key=named.key,
            folder=folder,
            options=found.options or {},
        )

    def _named(self, found: _Found) -> Named:
        root = self._roots[found.root]
        name = os.path.basename(found.name) if root.named else found.name
        if found.output is None:
            return Named(root.prefix + name)
        return Named(root.prefix + found.output, root.prefix + found.output)

    def _twice(self, found: _Found, other: _Found, key: str) -> ConfigError:
        if self._roots[found.root].manifest is not None and found.root == other.root:
            return self._wrong(
                found, f"{key!r} a second time (line {other.line})",
                "each once, or with an output of its own",
            )  # fmt: skip
        return ConfigError(
            f"inputs: got several called {printable(key)!r}, expected distinct names, as stems go "
            "to a folder of that name. Separate them into different folders."
        )

    def _wrong(self, found: _Found, got: str, expected: str) -> ConfigError:
        manifest = self._roots[found.root].manifest
        assert manifest is not None, "only a manifest chooses folders"
        return fault(manifest, found.line, got, expected)


def list_inputs(inputs: Sequence[Path], output: Path, patterns: Sequence[str] = ()) -> Listing:
    """Everything that is to be separated, before any of it is.

    Parameters
    ----------
    inputs
        Recordings, folders and manifests (``.jsonl``). Of several folders and manifests, each has
        a folder of its own name in the output.
    output
        Folder of the stems, left out where a folder holds it, as are all that a run wrote.
    patterns
        Of files in folders, as a shell writes them: of names, or, with a ``/``, of paths within
        the folder; `sgn_rt.audio.file_names.ENDINGS` without any.

    Raises
    ------
    AudioError
        For a folder that cannot be read, or has nothing in it.
    ConfigError
        For a wrong manifest, for recordings of one name, and for patterns without a folder.
    """
    if patterns and not any(path.is_dir() for path in inputs):
        raise ConfigError(
            f"--pattern: got {patterns[0]!r} without a folder, expected one to look through. Name "
            "a folder, or leave it out."
        )
    many = [path for path in inputs if is_many(path)]
    names = [_title(path) for path in many]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"inputs: got several folders or manifests called {name!r}, expected distinct "
                "names, as their stems go to folders of that name. Separate them one by one."
            )
    roots = [_Root("", "", named=True)]
    found: list[_Found] = []
    for path in inputs:
        if not is_many(path):
            found.append(_Found(0, str(path), _size(path)))
            continue
        before = len(found)
        prefix = f"{_title(path)}/" if len(many) > 1 else ""
        number = len(roots)
        if path.is_dir():
            roots.append(_Root(str(path), prefix))
            walk = _walk(path, output, patterns)
            found.extend(_Found(number, name, size) for name, size in walk)
        else:
            roots.append(_Root(str(path.parent), prefix, manifest=path))
            found.extend(_of_line(number, path, line) for line in read_manifest(path))
        if len(found) == before:
            raise AudioError(
                f"{printable(path)}: got no recording in it, expected some"
                f"{' of ' + ' or '.join(patterns) if patterns and path.is_dir() else ''}. "
                "Check the name, or say with --pattern what they are called."
            )
    return Listing(roots, found)


def _title(path: Path) -> str:
    """What a folder or manifest is called."""
    real = Path(os.path.abspath(path))
    return real.stem if path.suffix.lower() == MANIFEST else real.name or "root"


def _of_line(root: int, manifest: Path, line: Line) -> _Found:
    size = _size(manifest.parent / line.path)
    name = os.path.normpath(line.path)
    return _Found(root, name, size, line.output, line.options or None, line.number)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # what there is not is told when its turn comes
        return 0


def _walk(top: Path, output: Path, patterns: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Recordings in a folder and all within, sorted: name from there with ``/``, and bytes.

    Hidden ones, what runs wrote, and folders that lead back to where they are from stay out.
    """
    try:
        theirs = os.stat(output)
        left_out = {(theirs.st_dev, theirs.st_ino)}
    except OSError:  # not there yet
        left_out = set()
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while pending:
        within, above = pending.pop()
        here = os.stat(top / within)
        ways = above | {(here.st_dev, here.st_ino)}
        folders: list[tuple[str, frozenset[tuple[int, int]]]] = []
        for entry in _listed(top / within):
            name = within + entry.name
            found = _stat(entry)
            if found is None:
                continue
            if stat.S_ISREG(found.st_mode) and _is_wanted(name, patterns):
                yield name, found.st_size
            elif stat.S_ISDIR(found.st_mode):
                ours = os.path.lexists(os.path.join(entry.path, RUN_MANIFEST))
                if (found.st_dev, found.st_ino) not in left_out | ways and not ours:
                    folders.append((f"{name}/", ways))
        pending += reversed(folders)


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Of what a name leads to; None for what is hidden, and where it leads nowhere."""
    try:
        return None if entry.name.startswith(".") else entry.stat()
    except OSError:
        return None


def _listed(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise AudioError(
            f"{printable(folder)}: got {reason(error)}, expected a folder to look through. "
            "Check its permissions."
        ) from error


def _is_wanted(name: str, patterns: Sequence[str]) -> bool:
    path = PurePath(name)
    if not patterns:
        return path.suffix.lower() in ENDINGS
    return any(
        fnmatch.fnmatchcase(name if "/" in pattern else path.name, pattern) for pattern in patterns
    )
