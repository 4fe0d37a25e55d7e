"""Several passes through the benchmark as one: what a figure is, and how far it may be believed.

Rounds of one scenario lie next to each other, and a machine's pace drifts by more, in an hour, than
between them. Bounds that are to hold for another run have to be of what is repeated as a whole, so
all scenarios are gone through several times (the highest level of repetition: Kalibera and Jones,
Rigorous benchmarking in reasonable time, 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sgn_rt.benchmarks.result import Figure, median_interval


def merged(passes: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Figures of all passes, each once: medians of its passes, with bounds from them alone.

    One that failed in any pass has failed. One of a single pass stays as it is.
    """
    found: dict[tuple[str, ...], list[Figure]] = {}
    for figures in passes:
        for figure in figures:
            found.setdefault(figure.key, []).append(figure)
    return [_one(same) for same in found.values()]


def _one(same: Sequence[Figure]) -> Figure:
    failed = next((figure for figure in same if figure.failure is not None), None)
    if failed is not None or len(same) == 1:
        return failed or same[0]
    values = [figure.value for figure in same]
    valid = [figure.valid for figure in same if figure.valid is not None]
    percentiles = [figure.percentiles for figure in same if figure.percentiles]
    return replace(
        same[0],
        value=float(np.median(values)),
        values=tuple(value for figure in same for value in figure.values),
        passes=len(same),
        interval=median_interval(values),
        percentiles={name: float(np.median([each[name] for each in percentiles]))
                     for name in percentiles[0]} if percentiles else None,
        valid=all(valid) if valid else None,
        note="; ".join(dict.fromkeys(figure.note for figure in same if figure.note)) or None,
    )  # fmt: skip
