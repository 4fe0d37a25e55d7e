"""Files that appear whole or not at all, and the folder for what can be made again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "SGN_RT_CACHE_DIR"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in the place of the one that is there, whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind then.
    """
    handle, temporary = tempfile.mkstemp(prefix=".sgn-rt-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
