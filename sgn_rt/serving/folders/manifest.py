"""A manifest: recordings in JSON Lines, an object a line, and what is wanted of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sgn_rt.audio.file_names import safe_name
from sgn_rt.audio.limits import is_real
from sgn_rt.audio.source import printable, reason
from sgn_rt.errors import ConfigError, SgnError
from sgn_rt.streaming.choices import checked_level

LONGEST_LINE: Final = 1 << 20
"""Bytes; what is longer is no line of a manifest."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a manifest.

    Attributes
    ----------
    number
        From 1.
    path
        Of the recording, as it is written.
    output
        Where its stems go, relative; None for the rule (`sgn_rt.serving.folders.names`).
    options
        Of `Separator.separate_to`.
    """

    number: int
    path: str
    output: str | None
    options: Mapping[str, Any]


def read_manifest(manifest: Path) -> Iterator[Line]:
    """The lines of a manifest, one at a time; empty ones are passed over.

    Raises
    ------
    ConfigError
        For what cannot be read, is no JSON, or has keys or values that there are not; it names
        file and line.
    """
    try:
        with manifest.open("rb") as file:
            number = 0
            while text := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(text) > LONGEST_LINE:
                    raise fault(manifest, number, f"more than {LONGEST_LINE} bytes", "a line")
                if text.strip():
                    yield _line(manifest, number, text)
    except OSError as error:
        raise ConfigError(
            f"{printable(manifest)}: got {reason(error)}, expected a manifest. Check the name and "
            "its permissions."
        ) from error


def fault(manifest: Path, number: int, got: str, expected: str) -> ConfigError:
    """The error of a line that is none."""
    return ConfigError(
        f"{printable(manifest)}: line {number}: got {got}, expected {expected}. "
        "Mend the line; nothing was separated."
    )


def _line(manifest: Path, number: int, text: bytes) -> Line:
    try:
        found = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSON's own among them
        raise fault(manifest, number, str(error), "an object in JSON") from error
    if not isinstance(found, dict):
        raise fault(manifest, number, f"{found!r:.40}", 'an object, such as {"path": "a.wav"}')
    path, output = found.pop("path", None), found.pop("output", None)
    if not isinstance(path, str) or not path or "\0" in path:
        raise fault(manifest, number, f"{path!r:.40} as path", "the name of a file")
    if output is not None and not _is_folder(output):
        raise fault(
            manifest, number, f"{output!r:.60} as output",
            "a folder within that of the output, of names that every system takes",
        )  # fmt: skip
    for key, value in found.items():
        if key not in _OPTIONS:
            known = ", ".join(("path", "output", *_OPTIONS))
            raise fault(manifest, number, f"the key {key!r:.40}", f"one of {known}")
        takes, expected = _OPTIONS[key]
        if not takes(value):
            raise fault(manifest, number, f"{value!r:.40} as {key}", expected)
    return Line(number, path, output, found)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _is_folder(output: Any) -> bool:
    """Whether it is a relative path that leads nowhere else on any system."""
    if not isinstance(output, str):
        return False
    parts = PurePosixPath(output).parts
    return "/".join(parts) == output != "" and all(safe_name(part) == part for part in parts)


def _is_level(value: Any) -> bool:
    try:
        checked_level(value)
    except SgnError:
        return False
    return True


def _are_names(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and all(isinstance(name, str) for name in value)
    )


def _is_threshold(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_share, value.values()))
    return value is None or _is_share(value)


def _is_share(value: Any) -> bool:
    return is_real(value) and bool(0.0 <= value <= 1.0)


_OPTIONS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "categories": (_are_names, "a list of names, or null"),
    "threshold": (_is_threshold, "0 to 1, for all or by name"),
    "level": (_is_level, "auto, off or a gain in dB"),
    "start_s": (lambda value: is_real(value) and value >= 0, "seconds, 0 or more"),
    "duration_s": (
        lambda value: value is None or (is_real(value) and value > 0),
        "seconds, more than 0, or null",
    ),
    "residual": (lambda value: isinstance(value, bool), "true or false"),
    "salvage": (lambda value: isinstance(value, bool), "true or false"),
    "format": (lambda value: value in ("wav", "flac"), "wav or flac"),
}
"""Of the options of a recording, those that a line may have: whether one takes a value, and what it
takes in words."""
