"""Intervals and differences. Items are drawn anew: sources of one are not independent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy import stats

from sgn_rt._types import Float

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1000
SIGNIFICANT: Final = 0.05

Pool = Callable[[Float], Any]
"""Values, shape = (..., items, most of an item), NaN where none is -> shape = (...,)."""
FEWEST: Final = 3
"""Items from which an interval says something."""
_AT_A_TIME: Final = 50


def interval(values: Float, pool: Pool, seed: int = 0) -> tuple[float, float] | None:
    """Bounds of a pooled figure by the bootstrap over items (percentiles); None of too few."""
    if len(values) < FEWEST:
        return None
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(values), size=(RESAMPLES, len(values)))
    parts = np.split(drawn, range(_AT_A_TIME, RESAMPLES, _AT_A_TIME))
    found = np.concatenate([pool(values[rows]) for rows in parts])
    tail = 100.0 * (1.0 - CONFIDENCE) / 2.0
    low, high = np.percentile(found, (tail, 100.0 - tail))
    return float(low), float(high)


def deviation(values: Float) -> float:
    """Standard deviation over all sources of all items."""
    return float(np.nanstd(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of two systems on the same items.

    Attributes
    ----------
    system, than, metric
        Of what: the figure of ``system`` less that of ``than``; negative where it is worse.
    items
        That both have.
    mean, interval
        Of the items' differences, dB.
    p_value
        By Wilcoxon's signed-rank test; None where nothing differs.
    real
        Whether it is significant at 5 %.
    """

    system: str
    than: str
    metric: str
    items: int
    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    real: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def difference(
    system: str, than: str, metric: str, first: Sequence[float], second: Sequence[float]
) -> Difference:
    """Compare two systems, item by item."""
    gaps = np.asarray(first, float) - np.asarray(second, float)
    p_value = None
    if np.any(gaps != 0.0):
        p_value = float(stats.wilcoxon(gaps).pvalue)
    return Difference(
        system=system, than=than, metric=metric, items=len(gaps), mean=float(gaps.mean()),
        interval=interval(gaps[:, None], _mean), p_value=p_value,
        real=p_value is not None and p_value < SIGNIFICANT,
    )  # fmt: skip


def _mean(values: Float) -> Any:
    return values.mean(axis=(-2, -1))
