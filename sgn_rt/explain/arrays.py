"""All arrays of an explanation in one NPZ file, for those who go on."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt.explain.axes import token_grid
from sgn_rt.explain.explanation import Explanation


def arrays(explanation: Explanation) -> dict[str, NDArray[Any]]:
    """Name -> array, as docs/explain.md lists them."""
    hearing = explanation.hearing
    found: dict[str, NDArray[Any]] = {
        "categories": np.array(hearing.config.categories),
        "shown": np.array(hearing.shown, np.int64),
        "window_start_s": hearing.start_s,
        "window_is_own": hearing.windows.own,
        "presence": hearing.presence,
        "threshold": explanation.thresholds,
        "embedding": hearing.embedding,
        "assignment": hearing.assignment,
        "claims": hearing.claims,
        "token_grid": np.array(token_grid(hearing.config), np.int64),
        "column_s": hearing.column_s,
        "row_hz": hearing.row_hz,
        "log_magnitude": hearing.log_magnitude,
        "masks": hearing.masks,
        "similarity": explanation.similarity,
        "mask_overlap": explanation.overlap,
        "sample_rate": np.array(hearing.config.sample_rate, np.int64),
        "mixture": explanation.mixture,
    }
    for laid in explanation.maps:
        found[f"map_{laid.method}"] = laid.points
    if explanation.occlusions:
        found["occlusion_category"] = np.array([o.category for o in explanation.occlusions])
        found["occlusion_window"] = np.array([o.window for o in explanation.occlusions])
        found["occlusion_fall"] = np.stack([o.fall for o in explanation.occlusions])
    if explanation.taken is not None:
        found["stem_names"] = np.array(list(explanation.stems))
        found["taken_from"] = explanation.taken
    found["source_names"] = np.array(list(explanation.sources))
    found["sources"] = np.stack(list(explanation.sources.values()))
    return found


def as_npz(explanation: Explanation) -> bytes:
    """As an NPZ file, compressed, without pickles."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays(explanation))
    return file.getvalue()
