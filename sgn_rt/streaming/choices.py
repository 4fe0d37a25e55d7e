"""What a caller may choose of a run: categories, sample rate, channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sgn_rt.errors import AudioError, CategoryError
from sgn_rt.model.config import ModelConfig

RATES: Final = (1_000, 768_000)
"""Sample rates that are taken, Hz."""

MOST_CHANNELS: Final = 1024
"""libsndfile's own limit; an array with more of them has its axes the wrong way round."""


def checked_categories(config: ModelConfig, categories: Sequence[str] | None) -> tuple[str, ...]:
    """The names chosen; all that the model knows for None.

    Raises
    ------
    CategoryError
        For one that the model does not know, or one named twice.
    """
    if categories is None:
        return config.categories
    if isinstance(categories, str):
        raise CategoryError(
            f"categories: got the text {categories!r}, expected a sequence of names. "
            f"Write [{categories!r}]."
        )
    chosen = tuple(categories)
    for name in chosen:
        if name not in config.categories:
            raise CategoryError(
                f"category: got {name!r}, expected one of {', '.join(config.categories)}. "
                "Choose from these, or open another bundle."
            )
        if chosen.count(name) > 1:
            raise CategoryError(f"category: got {name!r} twice, expected it once. Name it once.")
    return chosen


def checked_rate(sample_rate: float) -> int:
    """The rate, Hz.

    Raises
    ------
    AudioError
        If it is no whole number, or one that no recording has.
    """
    low, high = RATES
    if not low <= sample_rate <= high or int(sample_rate) != sample_rate:
        raise AudioError(
            f"sample rate: got {sample_rate} Hz, expected a whole number from {low} to {high}. "
            "Convert the recording."
        )
    return int(sample_rate)


def checked_channels(channels: int) -> int:
    """The number of channels.

    Raises
    ------
    AudioError
        If there are none, or more than a recording has.
    """
    if not 1 <= channels <= MOST_CHANNELS:
        raise AudioError(
            f"channels: got {channels}, expected 1 to {MOST_CHANNELS}. "
            "Put channels first, samples second."
        )
    return channels
