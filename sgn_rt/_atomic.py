"""Files and folders that appear whole or not at all, and the folder for what can be made again."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sgn_rt._temporary import remove_leftovers, temporary_file, temporary_folder

CACHE_VARIABLE: Final = "SGN_RT_CACHE_DIR"

_WRITTEN_IN_PLACE = ("/dev/", "/proc/")
"""Where names stand for something that is open already: ``/dev/stdout`` may well be a file, but the
shell that opened it would not see one put in its place."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in the place of the one that is there, whole or not at all.

    It is on the disk, not only on its way there, when this returns. A new file has the permissions
    that the user's umask gives, a replaced one keeps its own; a link is replaced, not followed.

    Raises
    ------
    OSError
        If it cannot be written, or there is something that is no file; nothing is left behind then.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        found = None
    if found is not None and not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        raise OSError(f"no regular file at {path}")
    remove_leftovers(path.parent)
    with temporary_file(path.parent) as (temporary, handle):
        with open(handle, "wb", closefd=False) as file:
            file.write(content)
        if found is not None and stat.S_ISREG(found.st_mode):
            os.fchmod(handle, stat.S_IMODE(found.st_mode))
        os.fsync(handle)
        os.replace(temporary, path)
    sync_folder(path.parent)


def write_named(path: Path, content: bytes) -> None:
    """Write a file that the user named: as `write_whole`, where it is a file.

    A device, a pipe, or a name that stands for one is written to and stays what it is; a link stays
    a link, and what it leads to is replaced.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    if is_written_in_place(path):
        with path.open("wb") as file:
            file.write(content)
    else:
        write_whole(path.resolve() if path.is_symlink() else path, content)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, whole or not at all; none is ever replaced.

    Raises
    ------
    FileExistsError
        If there is something of that name.
    OSError
        If it cannot be written, also where the file system knows no hard links.
    """
    remove_leftovers(path.parent)
    with temporary_file(path.parent) as (temporary, handle):
        with open(handle, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(handle)
        os.link(temporary, path)  # as renaming, but for what is there already
    sync_folder(path.parent)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, on the file system of ``target``, that takes its place at the end.

    After an error it is gone, and ``target`` is as it was.

    Raises
    ------
    OSError
        If it cannot be made or put there.
    """
    existing = target.parent
    while not existing.exists():
        existing = existing.parent
    remove_leftovers(existing)
    with temporary_folder(existing) as private:
        work = private / "new"  # a folder of its own, with the permissions of any new one
        work.mkdir()
        yield work
        _put_in_place(work, target)


def _put_in_place(work: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        os.rename(work, target)
        return
    # The old one steps aside first and goes only when the new one stands.
    with temporary_folder(target.parent) as aside:
        os.rename(target, aside / "old")
        try:
            os.rename(work, target)
        except BaseException:
            os.rename(aside / "old", target)
            raise


def is_written_in_place(path: Path) -> bool:
    """Whether a name stands for a device, a pipe or what is open already, not for a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    if stat.S_ISDIR(mode):
        return False
    return not stat.S_ISREG(mode) or str(path.absolute()).startswith(_WRITTEN_IN_PLACE)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where its file system can."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError:  # not every file system takes it; what is in the files is safe
        pass
    finally:
        os.close(handle)


def cache_root() -> Path:
    """``$SGN_RT_CACHE_DIR``, or ``sgn-rt`` in the user's cache folder.

    Raises
    ------
    OSError
        If the user has none, as in some containers.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sgn-rt"
    except RuntimeError as error:
        raise OSError(f"no home folder: set {CACHE_VARIABLE}") from error
