"""Temporary files and folders that go when their owner ends, however it ends.

Each has an owner: the process that holds a lock on it. The system lets go of a lock when its holder
ends, killed or not, so whoever comes to the same folder next can tell what a dead owner left, also
one in another container. Where the file system has no locks, nobody is taken for dead.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = ".sgn-rt-"
"""What every temporary file and folder is called, in front."""

_FILE, _OWNER = ".part", ".owner"
"""Endings: a file is its own lock; a folder's lock is a file beside it, which is made before the
folder and goes after it."""


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder in ``parent`` that no other user can look into, removed at the end.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    lock, handle = _claimed(parent, _OWNER, 0o600)
    folder = lock.with_suffix("")
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def temporary_file(parent: Path) -> Iterator[tuple[Path, int]]:
    """An empty file in ``parent`` and its handle, open for writing; removed at the end.

    What has been renamed by then stays, of course. Its permissions are those of any new file.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    path, handle = _claimed(parent, _FILE, 0o666)
    try:
        yield path, handle
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def remove_leftovers(parent: Path) -> list[Path]:
    """Remove what dead owners left in a folder.

    Returns
    -------
    list of Path
        Those whose owner lives.
    """
    living = []
    for entry in os.scandir(parent):
        if not entry.name.startswith(PREFIX) or not entry.name.endswith((_FILE, _OWNER)):
            continue
        path = Path(entry.path)
        handle = _opened(path)
        if handle is None:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            living.append(path.with_suffix("") if path.suffix == _OWNER else path)
        except OSError:  # a file system without locks
            pass
        else:
            if _is_there(path, handle):
                if path.suffix == _OWNER:
                    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)
    return living


def _claimed(parent: Path, ending: str, mode: int) -> tuple[Path, int]:
    """A new file, locked by this process."""
    while True:
        path = parent / f"{PREFIX}{secrets.token_hex(6)}{ending}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with suppress(OSError):  # a file system without locks, or it is being removed
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_there(path, handle):
            return path, handle
        os.close(handle)  # taken for a leftover before it was locked: once more


def _opened(path: Path) -> int | None:
    """A handle of a file of this user's own; None for anything else."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        return handle
    os.close(handle)
    return None


def _is_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False
