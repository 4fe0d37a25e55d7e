"""Optimization profiles: shapes that an engine takes, and those that its kernels are chosen for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import GRAPH_INPUTS, Kind, Tensor, axes_of
from sgn_rt.model.shapes import inputs_of, shape_of

LIVE_BATCH: Final = 4
"""Windows in a call of live streams, at most: a few channels, or streams that share a call."""
_BEST_SOURCES: Final = 4
"""Categories that kernels are chosen for: as many as sound at a time."""
_LARGEST: Final = (1 << 31) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Smallest, best and largest shape of an input."""

    smallest: tuple[int, ...]
    best: tuple[int, ...]
    largest: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = list(zip(self.smallest, self.best, self.largest, strict=True))
        if not all(1 <= low <= best <= high <= _LARGEST for low, best, high in sizes):
            raise ValueError(f"a profile of {sizes!r:.100}, not 1 <= smallest <= best <= largest")


Profiles = tuple[Mapping[str, Profile], ...]
"""Input -> shapes, for each profile; the last takes the largest batch."""


def profiles_for(kind: Kind, config: ModelConfig, max_batch: int, max_sources: int) -> Profiles:
    """Profiles of an engine that takes any batch and number of sources up to the largest.

    A recording comes in batches of the largest, a live stream in single windows that must not wait
    for others: kernels that are best for the one are chosen badly for the other. So there are two
    profiles, ``live`` (1 to `LIVE_BATCH` windows, best for 1) and ``bulk`` (1 to the largest, best
    for the largest), or just one where the largest is a live stream's batch.
    """

    def profile(best: int, largest: int) -> dict[str, Profile]:
        sizes = ((1, 1), (best, min(_BEST_SOURCES, max_sources)), (largest, max_sources))

        def shapes(name: Tensor) -> Profile:
            smallest, favoured, most = (
                shape_of(kind, name, config, batch=batch, sources=sources)
                for batch, sources in sizes
            )
            return Profile(smallest=smallest, best=favoured, largest=most)

        return {str(name): shapes(name) for name in inputs_of(kind, config)}

    if max_batch <= LIVE_BATCH:
        return (profile(max_batch, max_batch),)
    return profile(1, LIVE_BATCH), profile(max_batch, max_batch)


def profiles_to_json(profiles: Profiles) -> list[dict[str, dict[str, list[int]]]]:
    """As JSON types."""
    return [
        {
            name: {key: list(getattr(shapes, key)) for key in ("smallest", "best", "largest")}
            for name, shapes in profile.items()
        }
        for profile in profiles
    ]


def profiles_from_json(kind: Kind, values: Any) -> Profiles:
    """From `profiles_to_json`; KeyError, TypeError or ValueError for anything else."""
    profiles = tuple(_profile(kind, profile) for profile in values)
    if not profiles:
        raise ValueError("no profile")
    return profiles


def _profile(kind: Kind, values: Mapping[str, Any]) -> dict[str, Profile]:
    """Of the inputs that engines of this kind have, each of its number of axes."""
    profile = {
        str(name): Profile(**{key: tuple(map(_whole, sizes)) for key, sizes in shapes.items()})
        for name, shapes in values.items()
    }
    axes = {str(name): len(axes_of(kind, name)) for name in GRAPH_INPUTS[kind]}
    found = {name: len(shapes.largest) for name, shapes in profile.items()}
    if found != axes:
        raise ValueError(f"profiles of {found!r:.100} for a graph of kind {kind}")
    return profile


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r:.100} instead of int")
    return value
