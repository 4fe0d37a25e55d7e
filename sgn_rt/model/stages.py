"""What a bundle promises: the stages of parity, and their one table of limits.

An error at the STFT moves masks much more than its own size: the logarithm's slope near silence is
1 / log_epsilon. So each stage starts from the reference's own input of that stage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sgn_rt.model.contract import Precision

PRESENCE_THRESHOLD = 0.5
"""Presence above which a category counts as sounding, unless the user sets another."""


class Stage(StrEnum):
    """What is compared."""

    NETWORK = "network"
    NETWORK_MAX = "network-max"
    SYNTHESIS = "synthesis"
    WHOLE = "whole"
    LEVEL = "level"
    DECISION = "decision"
    QUALITY = "quality"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Bound of a figure; ``at_least`` where more is better."""

    value: float
    unit: str
    at_least: bool = False

    def holds(self, figure: float) -> bool:
        """Whether a figure is within; never for nan."""
        return figure >= self.value if self.at_least else figure <= self.value

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.value:g} {self.unit}".strip()


LIMITS: dict[Stage, dict[Precision, Limit]] = {
    # Masks on the reference's log-magnitude, 99.9th percentile of |difference|: rounding alone.
    Stage.NETWORK: {
        Precision.FP32: Limit(value=1e-5, unit=""),
        Precision.FP16: Limit(value=3e-3, unit=""),
    },
    # The largest difference; a sigmoid's slope of 1/4 on a few badly conditioned points.
    Stage.NETWORK_MAX: {
        Precision.FP32: Limit(value=1e-3, unit=""),
        Precision.FP16: Limit(value=2e-2, unit=""),
    },
    # Sources from the reference's masks: only FFT rounding (float32 on the CPU at either precision,
    # as the engines that can be probed here synthesise in float32).
    Stage.SYNTHESIS: {
        Precision.FP32: Limit(value=100.0, unit="dB", at_least=True),
        Precision.FP16: Limit(value=60.0, unit="dB", at_least=True),
    },
    # Sources from the waveform: the logarithm's amplification of FFT rounding, then the network's.
    Stage.WHOLE: {
        Precision.FP32: Limit(value=80.0, unit="dB", at_least=True),
        Precision.FP16: Limit(value=50.0, unit="dB", at_least=True),
    },
    # Gain of the sources, |1 - projection on the reference's|: SI-SDR sees no gain, and masks that
    # are scaled as a whole would pass. float32 shows 2e-6, float16 1.5e-4 on the published model.
    Stage.LEVEL: {
        Precision.FP32: Limit(value=1e-4, unit=""),
        Precision.FP16: Limit(value=5e-3, unit=""),
    },
    # Categories on the other side of the threshold. A presence closer to it than the margin decides
    # nothing: rounding may take it across.
    Stage.DECISION: {
        Precision.FP32: Limit(value=0.0, unit="categories"),
        Precision.FP16: Limit(value=0.0, unit="categories"),
    },
    # SI-SDR against the true stems, lost in comparison with the reference's.
    Stage.QUALITY: {
        Precision.FP32: Limit(value=0.01, unit="dB"),
        Precision.FP16: Limit(value=0.05, unit="dB"),
    },
}
DECISION_MARGIN = {Precision.FP32: 1e-4, Precision.FP16: 1e-2}


def checked_parity(values: object) -> dict[str, dict[str, Any]]:
    """Stage -> what `StageResult.to_dict` has written of it, as read from a file.

    Raises
    ------
    TypeError, ValueError
        For anything else; what later versions may add is left alone.
    """
    if not isinstance(values, dict):
        raise TypeError(f"parity {values!r:.100}")
    for stage, entry in values.items():
        if not (isinstance(entry, dict) and stage.isprintable()):
            raise TypeError(f"parity of {stage!r:.100}: {entry!r:.100}")
        figure, unit = entry.get("figure"), entry.get("unit")
        number = figure is None or (isinstance(figure, int | float) and abs(figure) < math.inf)
        if not (number and isinstance(unit, str) and unit.isprintable()):
            raise ValueError(f"parity of {stage!r:.100}: {figure!r:.100} {unit!r:.100}")
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A measured figure and its limit."""

    stage: Stage
    figure: float
    limit: Limit

    @property
    def passed(self) -> bool:
        """Whether the figure is within its limit."""
        return self.limit.holds(self.figure)

    def __str__(self) -> str:
        return f"{self.stage}: {self.figure:.4g} {self.limit.unit}".rstrip() + f" ({self.limit})"

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; figures to four digits, infinite ones (no error at all) as null."""
        figure = float(f"{self.figure:.4g}") if math.isfinite(self.figure) else None
        return {
            "figure": figure,
            "limit": self.limit.value,
            "better": "higher" if self.limit.at_least else "lower",
            "unit": self.limit.unit,
            "passed": self.passed,
        }
