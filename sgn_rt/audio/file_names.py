"""From names of recordings and categories to names of files that every system takes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

LONGEST = 255
"""Bytes that file systems take for a name."""

ENDINGS: Final = frozenset(
    (".wav", ".wave", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff",
     ".aifc", ".au", ".snd", ".caf", ".avr", ".voc",  # libsndfile
     ".m4a", ".m4b", ".mp4", ".aac", ".mka", ".mkv", ".mov", ".webm", ".wma")  # PyAV
)  # fmt: skip
"""Of files that are taken for recordings where a folder is looked through; in small letters. What
PyAV reads is among them where it is not installed, too: such a file fails, and is not passed over.
"""

_UNSAFE = re.compile(
    r"""[<>:"/\\|?*]   # separators and wildcards of some system or other
    |^\.              # hidden, or the folder above
    |[. ]$            # dropped by Windows
    |^(?=(con|prn|aux|nul|com\d|lpt\d)(\.|$))  # its devices
    """,
    re.VERBOSE | re.IGNORECASE,
)


def safe_name(name: str, ending: str = "") -> str:
    """A file name that is like ``name``, and no path, not hidden and not too long.

    Parameters
    ----------
    name
        Anything. What is not printable is replaced, too: it would reach terminals and JSON.
    ending
        Appended as it is, such as ``.wav``.
    """
    printable = "".join(letter if letter.isprintable() else "_" for letter in name)
    room = LONGEST - len(ending.encode())
    short = _UNSAFE.sub("_", printable).encode()[:room].decode(errors="ignore").rstrip(". ")
    return (short or "_") + ending


def distinct_names(names: Iterable[str], ending: str) -> dict[str, str]:
    """The file name of each name: `safe_name`, numbered where two would be the same file.

    Also where they differ in case or composition alone, which some file systems do not tell apart.
    """
    made: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        candidate, count = safe_name(name, ending), 1
        while as_one(candidate) in taken:
            count += 1
            candidate = safe_name(name, f"-{count}{ending}")
        taken.add(as_one(candidate))
        made[name] = candidate
    return made


def as_one(name: str) -> str:
    """Equal for names that some file system takes for the same: in case and composition alike."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
