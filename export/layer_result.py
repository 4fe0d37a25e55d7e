"""What a comparison of layers says of one: how far it is from the checkpoint, and what holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sgn_rt.model.contract import Precision

WEIGHT = "Weight"
"""In the place of an operator."""

WEIGHT_LIMITS: Final = {Precision.FP32: 120.0, Precision.FP16: 70.0, Precision.INT8: 30.0}
"""Least SNR of a weight, dB, against the checkpoint's rounded to its type. They are the same bits
where they were computed on the same machine; one in a thousand rounded the other way is 150 and 90,
one percent on all of them is 40."""

LIMITS: Final = {Precision.FP32: 70.0, Precision.FP16: 40.0, Precision.INT8: 15.0}
"""Least SNR of a layer, dB, with all that the layers before it did. The published graphs show 50 to
75 dB in float16, least behind softmaxes, and 82 dB in float32, at the logarithm of what is silent;
float32 products rounded to 10 bits (TF32) stay below 70 dB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResult:
    """How far a layer is from the checkpoint.

    Attributes
    ----------
    layer, operator
        Name of the value in the graph, and what computes it; `WEIGHT` for one that nothing does.
    shape
        Of the value, for one window.
    snr
        Signal-to-noise ratio, dB, the least of all probes; nan for numbers that are not finite.
    limit
        Least that holds, dB.
    """

    layer: str
    operator: str
    shape: tuple[int, ...]
    snr: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether it is within the limit; never for nan."""
        return self.snr >= self.limit

    def __str__(self) -> str:
        return f"{self.layer} ({self.operator}): {self.snr:.1f} dB (at least {self.limit:g} dB)"

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; ratios that are not finite (equal, or not numbers) as null."""
        return {
            "layer": self.layer,
            "operator": self.operator,
            "shape": list(self.shape),
            "snr_db": round(self.snr, 2) if np.isfinite(self.snr) else None,
            "limit_db": self.limit,
            "passed": self.passed,
        }


def first_departure(results: list[LayerResult]) -> LayerResult | None:
    """The first layer, in the graph's order, that is beyond its limit."""
    return next((result for result in results if not result.passed), None)
