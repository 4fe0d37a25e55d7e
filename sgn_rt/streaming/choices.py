"""What a caller may choose of a run: categories; sample rate and channels, see `audio.limits`."""

from __future__ import annotations

from collections.abc import Sequence

from sgn_rt.audio.limits import checked_channels as checked_channels
from sgn_rt.audio.limits import checked_rate as checked_rate
from sgn_rt.errors import CategoryError
from sgn_rt.model.config import ModelConfig


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
