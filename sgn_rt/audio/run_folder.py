"""The folder that a run owns: it holds what one run wrote, whole and all together, or nothing."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from sgn_rt._atomic import sync_folder, write_whole
from sgn_rt._temporary import remove_leftovers, temporary_folder
from sgn_rt.audio.exchange import exchange
from sgn_rt.audio.file_names import safe_name
from sgn_rt.audio.run_manifest import RUN_MANIFEST, RunManifest, Source, is_plain
from sgn_rt.audio.source import printable, reason
from sgn_rt.audio.writer import AudioWriter, writing
from sgn_rt.errors import AudioError

_NOBODYS = frozenset({"Thumbs.db", "desktop.ini"})
"""What file managers leave, beside hidden files; no sound is called so."""


STEMS: Final = "stems"
"""Key of the facts of a run under which it writes down source -> file name."""


class RunFolder:
    """The folder of one recording's stems. Use `claim`, then as a context manager.

    Inside, files are made in `work` and put into place by `commit`. Leaving without a commit leaves
    the folder as it was; also when the process is killed, but for hidden files, which the next run
    to the same folder removes.

    Attributes
    ----------
    path
        The folder.
    source
        The recording.
    earlier
        What an earlier run wrote there; None if none has.
    """

    def __init__(self, path: Path, source: Path, earlier: RunManifest | None) -> None:
        self.path, self.source, self.earlier = path, source, earlier
        try:
            self._source_stat = source.stat()
            self._made_of = Source.of(source, path)
        except (OSError, ValueError) as error:  # ValueError: what no path can be
            missing = isinstance(error, FileNotFoundError)
            raise AudioError(
                f"{printable(source)}: got {'no such file' if missing else reason(error)}, "
                "expected an audio file. Check the name."
            ) from error
        self._work: Path | None = None
        self._made: list[Path] = []
        self._stack = ExitStack()

    @classmethod
    def claim(cls, output: Path, source: Path, name: str | None = None) -> RunFolder:
        """Find the folder of a recording in ``output``, and whether a run may have it.

        Without a name it is called as the recording is, without its ending; with its ending where
        that folder is another recording's. Nothing is written.

        Parameters
        ----------
        output
            Folder of folders; it need not be there.
        source
            The recording.
        name
            Of the folder, such as `safe_name` makes.

        Raises
        ------
        AudioError
            If the folder cannot be written, is a link, is another recording's, or holds what no
            run wrote.
        """
        folder = cls._found(output / (name or safe_name(source.stem)), source)
        if name is None and folder._is_anothers():
            folder = cls._found(output / safe_name(source.name), source)
        with writing(folder.path):
            folder._expect_own()
        return folder

    @classmethod
    def _found(cls, path: Path, source: Path) -> RunFolder:
        _expect_writable(path)
        return cls(path, source, _read(path))

    @property
    def work(self) -> Path:
        """Where files are made: a folder of this run alone, on the file system of `path`."""
        assert self._work is not None, "only inside the with block"
        return self._work

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether an earlier run's files are all there, of this recording, and of these facts.

        Parameters
        ----------
        facts
            Of those given to `commit`: all of them have to be the same.
        """
        earlier = self.earlier
        if earlier is None or not earlier.complete or earlier.source != self._made_of:
            return False
        try:
            there = {name: _size(self.path / name) for name in earlier.files}
        except OSError:
            return False
        told = json.loads(json.dumps(dict(facts)))
        return there == earlier.files and all(
            earlier.facts.get(key, _MISSING) == told[key] for key in told
        )

    def stems(self) -> dict[str, Path] | None:
        """What an earlier run wrote down as `STEMS`; None if that is no list of its files."""
        if self.earlier is None:
            return None
        stems = self.earlier.facts.get(STEMS)
        if not isinstance(stems, dict) or not all(
            isinstance(file, str) and file in self.earlier.files for file in stems.values()
        ):
            return None
        return {name: self.path / file for name, file in stems.items()}

    def __enter__(self) -> Self:
        self._made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        self._stack.callback(self._remove_made)
        with writing(self.path):
            try:
                _make(self.path)
                self._work = self._stack.enter_context(temporary_folder(self.path))
                self._expect_alone()
                self.earlier = _read(self.path)  # another run may have come and gone since
                self._expect_own()
            except BaseException:
                self._stack.close()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        self._work = None

    def writer(self, name: str, sample_rate: int, channels: int, frames: int) -> AudioWriter:
        """Begin an audio file of that name in `work`; see `AudioWriter`."""
        return AudioWriter(self.work / name, sample_rate, channels, frames, place=self.path)

    def commit(self, files: Mapping[str, Path], facts: Mapping[str, Any]) -> dict[str, Path]:
        """Put finished files into place: all of them, instead of all of an earlier run, or none.

        The order makes a run that is killed here one that the next run knows: a manifest of all the
        names, marked as not complete, is there before the first of them changes.

        Parameters
        ----------
        files
            Name -> file in `work`. Without any, what an earlier run wrote is removed.
        facts
            Written down beside them (`RunManifest.facts`); JSON types.

        Returns
        -------
        dict
            Name -> where it is now.

        Raises
        ------
        AudioError
            If they cannot be put into place; all is as it was then.
        """
        with writing(self.path):
            self._expect_own()
            sizes = {}
            for name, file in files.items():
                assert is_plain(name), name
                sizes[name] = _synced(file)
            before = {} if self.earlier is None else dict(self.earlier.files)
            made_of = self._made_of
            begun = RunManifest(source=made_of, files=before | sizes, complete=False, facts={})
            done = RunManifest(source=made_of, files=sizes, complete=True, facts=facts)
            aside = self.work / ".replaced"
            aside.mkdir()
            exchange(
                self.path, list(before), files, aside=aside, note=self.path / RUN_MANIFEST,
                begun=begun.to_bytes(), done=done.to_bytes() if files else None,
            )  # fmt: skip
            sync_folder(self.path)
        if not files and self.earlier is not None:
            self._made = [self.path]
        self.earlier = done if files else None
        return {name: self.path / name for name in files}

    def _is_anothers(self) -> bool:
        """Whether the folder holds the stems of a recording that is called otherwise."""
        return self.earlier is not None and self.earlier.source.name != self.source.name

    def _expect_own(self) -> None:
        """Raise AudioError for anything in the folder that this recording's runs did not write."""
        _expect_no_link(self.path)
        earlier = self.earlier
        known = set() if earlier is None else {*earlier.files, RUN_MANIFEST}
        for entry in sorted(self.path.iterdir() if self.path.exists() else ()):
            if entry.name.startswith(".") or entry.name in _NOBODYS:
                continue
            if entry.exists() and os.path.samestat(entry.stat(), self._source_stat):
                raise AudioError(
                    f"{self.path}: got a folder in which {entry} is the input itself, expected "
                    "another. Name another output folder."
                )
            if entry.name not in known or (entry.is_dir() and not entry.is_symlink()):
                raise _not_ours(self.path, entry.name)
        if earlier is not None and (
            self._is_anothers() or earlier.source.is_another(self.source, self.path)
        ):
            raise AudioError(
                f"{self.path}: got stems of another recording, {earlier.source.place} from there, "
                f"expected earlier ones of {self.source}. Name another output folder."
            )

    def _expect_alone(self) -> None:
        if any(place != self.work for place in remove_leftovers(self.path)):
            raise AudioError(
                f"{self.path}: got a folder in which another run is at work, expected one of this "
                "run's own. Wait for it, or name another output folder."
            )

    def _remove_made(self) -> None:
        for path in self._made:
            with suppress(OSError):  # it is not empty, or gone
                path.rmdir()


def add_to_run(folder: Path, name: str, content: bytes) -> Path:
    """Add a file to what a run wrote, so that the next run replaces it with the rest.

    Raises
    ------
    AudioError
        If it cannot be written, or is there already and no run's.
    """
    with writing(folder):
        run = _read(folder)
        path = folder / name
        if run is None or (os.path.lexists(path) and name not in run.files):
            raise _not_ours(folder, name)
        files = {**run.files, name: len(content)}
        write_whole(folder / RUN_MANIFEST, replace(run, files=files).to_bytes())
        write_whole(path, content)
    return path


_MISSING = object()


def _not_ours(folder: Path, name: str) -> AudioError:
    return AudioError(
        f"{folder}: got {name}, which no run wrote there, expected nothing but an earlier run's "
        "stems. Move it elsewhere, or name another output folder."
    )


def _read(folder: Path) -> RunManifest | None:
    try:
        return RunManifest.read(folder)
    except (OSError, ValueError) as error:
        raise _not_ours(folder, RUN_MANIFEST) from error


def _size(path: Path) -> int:
    """Bytes of a file; -1 for what is none."""
    found = path.lstat()
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _synced(path: Path) -> int:
    """Have a file on the disk; its size in bytes."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        return os.fstat(handle).st_size
    finally:
        os.close(handle)


def _make(path: Path) -> None:
    """Make a folder and those above it, also while a run beside it removes some that it made."""
    for _ in range(1000):
        try:
            path.mkdir(parents=True, exist_ok=True)
            return
        except FileNotFoundError:
            continue
    path.mkdir(parents=True, exist_ok=True)


def _expect_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise AudioError(
            f"{folder}: got a link, expected a folder. Remove the link, or name another output "
            "folder."
        )


def _expect_writable(folder: Path) -> None:
    """Find out before any work whether a folder can be written or made.

    Raises
    ------
    AudioError
        If it cannot.
    """
    with writing(folder):
        _expect_no_link(folder)
        existing = folder
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise OSError(f"something at {existing} that is no folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise OSError(f"no permission to write in {existing}")
