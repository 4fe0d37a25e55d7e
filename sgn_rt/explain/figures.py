"""Numbers about embeddings and masks: how alike categories are, and whether embeddings cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sgn_rt._optional import installed_version, require
from sgn_rt._types import Float

Points = NDArray[np.float64]
"""Of a map, shape = (points, 2)."""


def require_figures() -> None:
    """Raise DependencyError, before any work, if figures cannot be computed."""
    require("sklearn", extra="explain", purpose="explain")


def similarity(embedding: Float) -> Float:
    """Cosine between the embeddings of categories in the same window, the mean of all windows.

    Parameters
    ----------
    embedding
        shape = (W, C, D).

    Returns
    -------
    ndarray
        shape = (C, C), float32, -1 to 1.
    """
    unit = _unit(embedding)
    return np.asarray(np.mean(unit @ unit.transpose(0, 2, 1), axis=0), np.float32)


def overlap(masks: NDArray[Any], power: Float) -> Float:
    """Of the power that a mask (row) lets through, the part that another one (column) does, too.

    Parameters
    ----------
    masks
        shape = (S, L, K), 0 to 1.
    power
        Of the mixture, shape = (L, K).

    Returns
    -------
    ndarray
        shape = (S, S), float32, 0 to 1; rows of what lets nothing through are 0.
    """
    taken = [np.square(mask, dtype=np.float64) for mask in masks]
    out = np.zeros((len(taken), len(taken)), np.float32)
    for row, one in enumerate(taken):
        whole = float(np.sum(one * power))
        for column, other in enumerate(taken):
            shared = float(np.sum(np.minimum(one, other) * power))
            out[row, column] = shared / whole if whole > 0.0 else 0.0
    return out


def taken_from(masks: NDArray[Any], stems: Float) -> Float:
    """Of the power that a mask lets through of the true stems, the part of each stem.

    Parameters
    ----------
    masks
        shape = (S, L, K), 0 to 1.
    stems
        Power of the true stems, shape = (M, L, K).

    Returns
    -------
    ndarray
        shape = (S, M), float32; rows sum to 1, or are 0 where nothing goes through.
    """
    taken = np.stack(
        [np.sum(np.square(mask, dtype=np.float64) * stems, axis=(1, 2)) for mask in masks]
    )
    whole = taken.sum(axis=1, keepdims=True)
    shares = np.divide(taken, whole, out=np.zeros_like(taken), where=whole > 0)
    return np.asarray(shares, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """How well points with labels lie together.

    Attributes
    ----------
    silhouette
        Mean silhouette by cosine distance, -1 to 1: above 0 points are closer to those of their own
        label than to those of the next one. None where there are not two labels and more points.
    nearest
        Part of the points whose nearest other point, by cosine, has the same label, 0 to 1; of
        points that have their label in another group, where there are groups.
    points, labels
        How many there are.
    """

    silhouette: float | None
    nearest: float | None
    points: int
    labels: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def clusters(points: Float, labels: Sequence[str], groups: Sequence[int] | None = None) -> Clusters:
    """Measure how points [N, D] cluster by label.

    Parameters
    ----------
    points, labels
        What is measured.
    groups
        Of points such as windows of one recording, which are near to each other anyway: the
        nearest is looked for in other groups. None where every point is its own.

    Raises
    ------
    DependencyError
        If scikit-learn is not installed.
    """
    named = np.asarray(labels)
    known = np.unique(named)
    if not (2 <= len(known) < len(named)):
        return Clusters(silhouette=None, nearest=None, points=len(named), labels=len(known))
    metrics = require("sklearn.metrics", extra="explain", purpose="explain")
    distances = metrics.pairwise.cosine_distances(points.astype(np.float64))
    silhouette = float(metrics.silhouette_score(distances, named, metric="precomputed"))
    group = np.arange(len(named)) if groups is None else np.asarray(groups)
    apart = group[:, None] != group
    could = ((named[:, None] == named) & apart).any(axis=1)
    same = named[np.argmin(np.where(apart, distances, np.inf), axis=1)] == named
    return Clusters(
        silhouette=silhouette,
        nearest=float(np.mean(same[could])) if could.any() else None,
        points=len(named),
        labels=len(known),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatMap:
    """Points laid on a plane.

    Attributes
    ----------
    method
        How.
    points
        shape = (N, 2).
    kept
        Part of the variance that the two axes keep, 0 to 1; None for umap, which keeps neighbours.
    """

    method: Literal["pca", "umap"]
    points: Points
    kept: float | None = None


def flat_maps(points: Float) -> list[FlatMap]:
    """Points [N, D] by PCA and, where umap-learn is installed and they are enough, by UMAP.

    Raises
    ------
    DependencyError
        If scikit-learn is not installed.
    """
    decomposition = require("sklearn.decomposition", extra="explain", purpose="explain")
    values = points.astype(np.float64)
    if len(values) < 3:
        return []
    pca = decomposition.PCA(n_components=2, svd_solver="full")
    flat = pca.fit_transform(values)
    kept = float(np.nansum(pca.explained_variance_ratio_))
    maps = [FlatMap(method="pca", points=flat, kept=kept)]
    if len(values) >= UMAP_LEAST and installed_version("umap-learn") is not None:
        maps.append(FlatMap(method="umap", points=_umap(values)))
    return maps


UMAP_LEAST = 16
"""Points that UMAP is asked for: it looks at the 15 nearest of each."""


def _umap(values: NDArray[np.float64]) -> Points:
    import warnings

    umap = require("umap", extra="explain", purpose="explain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba, and that a seed takes one thread
        laid = umap.UMAP(metric="cosine", random_state=0, n_jobs=1).fit_transform(values)
    return np.asarray(laid, np.float64)


def _unit(embedding: Float) -> NDArray[np.float64]:
    values = embedding.astype(np.float64)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(length, 1e-30), np.float64)
