"""Values as people read them: few digits, one unit for all that stand together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_SCALES: Final[dict[str, tuple[tuple[float, str], ...]]] = {
    "s": ((1e-3, "ms"), (1.0, "s")),
    "B": ((1e6, "MB"), (1e9, "GB")),
    "bytes": ((1e6, "MB"), (1e9, "GB")),
    "B/s": ((1e6, "MB/s"), (1e9, "GB/s"), (1e12, "TB/s")),
    "FLOP/s": ((1e9, "GFLOP/s"), (1e12, "TFLOP/s")),
}
"""Unit of a figure -> sizes and names of what it is shown in, the smallest first."""
_COUNTS: Final = ("streams",)
"""Units of which there are no parts."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What values are shown in.

    Attributes
    ----------
    name
        Such as ``ms``.
    size
        Of it in the unit of the figures.
    """

    name: str
    size: float = 1.0

    def number(self, value: float) -> str:
        """A value of the figures' unit, as it is shown."""
        if self.name in _COUNTS and math.isfinite(value):
            return f"{value:.0f}"
        return number(value / self.size)

    def spread(self, value: float, interval: Sequence[float] | None) -> str:
        """The same with its interval."""
        if self.name in _COUNTS and interval is None:
            return self.number(value)
        scaled = None if interval is None else [bound / self.size for bound in interval]
        return spread(value / self.size, scaled)


def unit_for(unit: str, values: Iterable[float]) -> Unit:
    """The unit in which most of some values have few digits."""
    scales = _SCALES.get(unit)
    if scales is None:
        return Unit(unit)
    known = sorted(abs(value) for value in values if math.isfinite(value) and value)
    middle = known[len(known) // 2] if known else 0.0
    size, name = next(((s, n) for s, n in reversed(scales) if middle >= s), scales[0])
    return Unit(name, size)


def number(value: float) -> str:
    """Three digits, or all before the point; ``-`` of what is no number."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.{_decimals(value)}f}"


def spread(value: float, interval: Sequence[float] | None) -> str:
    """A value, and in brackets the bounds of its interval, with the value's number of digits."""
    shown = number(value)
    if interval is None or not math.isfinite(value):
        return shown
    decimals = _decimals(value)
    low, high = (f"{bound:.{decimals}f}" for bound in interval)
    return f"{shown} ({low} to {high})"


def _decimals(value: float) -> int:
    size = abs(value)
    if size == 0.0:
        return 0
    if size >= 1.0:
        return max(0, 2 - math.floor(math.log10(size)))
    return min(6, 2 - math.floor(math.log10(size)))
