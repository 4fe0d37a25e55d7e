"""An explanation: what was heard in one recording, and every figure about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.explain.figures import (
    Clusters,
    FlatMap,
    clusters,
    flat_maps,
    overlap,
    similarity,
    taken_from,
)
from sgn_rt.explain.hearing import Hearing
from sgn_rt.explain.occlusion import Occlusion

NOT_THERE = "not there"
"""Label of an embedding whose category does not sound."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """What is told of a recording.

    Attributes
    ----------
    title
        Name of the recording.
    model, network
        Name of the model, and what was looked into.
    hearing
        The signals.
    thresholds
        Presence from which a window speaks for each category, shape = (C,).
    mixture
        At the model's rate, shape = (samples,).
    sources
        Category shown, or ``residual`` -> shape = (samples,), at the model's rate.
    gain_db
        By which the network heard it louder, dB.
    present
        Categories that count as present over time.
    occlusions
        Of categories shown.
    labels
        Categories that truly sound; None where nobody says.
    stems
        Of those, the true sound, where it is known: category -> shape = (samples,).
    start_s
        Second of the file at which the recording begins.
    """

    title: str
    model: str
    network: str
    hearing: Hearing
    thresholds: Float
    mixture: Float
    sources: Mapping[str, Float]
    gain_db: float
    present: frozenset[str]
    occlusions: tuple[Occlusion, ...]
    labels: frozenset[str] | None
    stems: Mapping[str, Float]
    start_s: float = 0.0

    @property
    def highest(self) -> Float:
        """Highest presence of every category in a separation's own windows, shape = (C,)."""
        return np.asarray(self.hearing.presence[self.hearing.windows.own].max(axis=0))

    @property
    def is_heard(self) -> NDArray[np.bool_]:
        """Which categories some of those windows speak for, shape = (C,)."""
        return np.asarray(self.highest >= self.thresholds)

    @cached_property
    def similarity(self) -> Float:
        """Between embeddings of all categories, shape = (C, C)."""
        return similarity(self.hearing.embedding)

    @cached_property
    def overlap(self) -> Float:
        """Between masks of categories shown, shape = (S, S)."""
        return overlap(self.hearing.masks, self.hearing.power)

    @cached_property
    def taken(self) -> Float | None:
        """Of what masks let through, the part of each stem, shape = (S, M); None without stems."""
        if not self.stems:
            return None
        stems = np.stack([self.hearing.power_of(stem) for stem in self.stems.values()])
        return taken_from(self.hearing.masks, stems)

    @cached_property
    def maps(self) -> list[FlatMap]:
        """Embeddings of categories shown, in every window, on a plane: windows first."""
        return flat_maps(self._points)

    @cached_property
    def clusters(self) -> Clusters:
        """How embeddings of categories shown cluster by category."""
        return clusters(self._points, self._categories)

    @cached_property
    def true_clusters(self) -> Clusters | None:
        """The same by truth, those of what does not sound being one label; None without labels."""
        if self.labels is None:
            return None
        true = [name if name in self.labels else NOT_THERE for name in self._categories]
        return clusters(self._points, true)

    @property
    def _points(self) -> Float:
        """Shape = (S * W, D): category by category."""
        shown = self.hearing.embedding[:, list(self.hearing.shown)]
        return shown.transpose(1, 0, 2).reshape(-1, shown.shape[-1])

    @property
    def _categories(self) -> list[str]:
        return [name for name in self.hearing.names for _ in self.hearing.windows.starts]
