"""Thresholds of presence by category, in a file: what ``sgn-rt evaluate`` recommends."""

from __future__ import annotations

import json
from pathlib import Path

from sgn_rt.audio.limits import is_real
from sgn_rt.errors import ConfigError


def read_thresholds(path: str | Path) -> dict[str, float]:
    """Category -> presence from which a window speaks for it, as ``threshold`` takes them.

    Parameters
    ----------
    path
        A JSON object: names of categories, and numbers, 0 to 1. Categories that are not named
        keep the model's own threshold.

    Raises
    ------
    ConfigError
        If it does not read, or is no such object. Whether the model knows the names is seen where
        they are used.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=_distinct)
    except (OSError, ValueError, RecursionError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise _wrong(path, reason) from error
    if not isinstance(found, dict) or not found:
        raise _wrong(path, f"{found!r:.60}")
    for name, value in found.items():
        if not is_real(value) or not 0.0 <= value <= 1.0:
            raise _wrong(path, f"{value!r:.40} for {name!r:.60}")
    return {name: float(value) for name, value in found.items()}


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a category twice")
    return found


def _wrong(path: str | Path, got: str) -> ConfigError:
    return ConfigError(
        f"{path}: got {got}, expected a JSON object: category -> threshold, 0 to 1. Take one that "
        "`sgn-rt evaluate` has written, or correct it."
    )
