"""Files of a folder from anywhere: regular ones, inside of it, nothing that hangs."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from sgn_rt.errors import BundleError

_FLAGS = (
    os.O_RDONLY
    # A pipe would wait for its writer; of what was checked nothing is a link any more.
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_contained(root: Path, name: str) -> BinaryIO:
    """Open a regular file of a folder to be read; links may lead to other files of the folder.

    Parameters
    ----------
    root
        The folder.
    name
        The file, relative to it.

    Raises
    ------
    BundleError
        If it is a link that leaves the folder; nothing is opened then.
    OSError
        If it cannot be read, or is a folder, pipe, socket or device.
    """
    try:
        target = (root / name).resolve()
    except RuntimeError as error:  # a link to itself, until Python 3.12
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    if not target.is_relative_to(root.resolve()):
        raise BundleError(
            f"{root}: {name}: got a link to {target}, expected a file inside the bundle. "
            "Copy the file into the bundle."
        )
    _expect_regular(target.stat())  # opening a device may already do something
    descriptor = os.open(target, _FLAGS)
    try:
        _expect_regular(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _expect_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file")
