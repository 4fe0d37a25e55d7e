"""What is run later, kept where nobody else can write: folders of the user's own in the cache."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from sgn_rt._atomic import CACHE_VARIABLE, cache_root

_HAS_OWNERS: Final = hasattr(os, "geteuid")


def private_root() -> Path:
    """The user's cache folder.

    Raises
    ------
    OSError
        If there is none, or it is named relative to wherever the program happens to be started.
    """
    root = cache_root()
    if not root.is_absolute():
        raise OSError(f"a relative path, {root}: set {CACHE_VARIABLE} to an absolute one")
    return root


def private_folder(*names: str) -> Path:
    """A folder in the cache, made where it is missing, that nobody else can write to.

    Parameters
    ----------
    names
        Of the folders below the cache's, from the outermost to the one that is wanted.

    Raises
    ------
    OSError
        If it cannot be made, or somebody else's hand may have been in it.
    """
    folder = private_root()
    folder.parent.mkdir(parents=True, exist_ok=True)
    for path in _steps(folder, names):
        path.mkdir(mode=0o700, exist_ok=True)
        _expect_own(path, stat.S_ISDIR)
    return folder.joinpath(*names)


def expect_private(*names: str) -> Path:
    """A file in the cache that nobody else has written, nor could, as little as its folders.

    Raises
    ------
    OSError
        If it is missing, no regular file, or somebody else's hand may have been in it.
    """
    *folders, path = _steps(private_root(), names)
    for folder in folders:
        _expect_own(folder, stat.S_ISDIR)
    _expect_own(path, stat.S_ISREG)
    return path


def open_lock(path: Path) -> int:
    """A file descriptor to be locked; what is there already is neither emptied nor followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, 0o600)


def _steps(root: Path, names: tuple[str, ...]) -> list[Path]:
    # The root may be a link of the user's own, to a larger disk; what is in it may not.
    steps = [root.resolve()]
    for name in names:
        steps.append(steps[-1] / name)
    return steps


def _expect_own(path: Path, is_right: object) -> None:
    status = path.lstat()
    if not callable(is_right) or not is_right(status.st_mode):
        raise OSError(f"{path} of another kind (a link, perhaps): delete it")
    if not _HAS_OWNERS:
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise OSError(f"{path} of user {status.st_uid}, not yours: delete it, or name another")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{path} that others can write to: run `chmod go-w` on it, or name another")
