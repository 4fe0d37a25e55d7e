"""What a caller may choose of a run: categories; sample rate and channels, see `audio.limits`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sgn_rt.audio.limits import checked_channels as checked_channels
from sgn_rt.audio.limits import checked_rate as checked_rate
from sgn_rt.errors import CategoryError, ConfigError
from sgn_rt.model.config import ModelConfig

MOST_GAIN_DB: Final = 120.0
"""What lies between full scale and the quietest sound of 20 bits."""


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


def checked_gain(gain_db: float) -> float:
    """The gain, dB.

    Raises
    ------
    ConfigError
        If it is none that a recording needs.
    """
    if not -MOST_GAIN_DB <= gain_db <= MOST_GAIN_DB:  # also of nan
        raise ConfigError(
            f"gain: got {gain_db} dB, expected at most {MOST_GAIN_DB:g} dB up or down. "
            "Check the unit: 20 dB are a factor of 10."
        )
    return float(gain_db)
