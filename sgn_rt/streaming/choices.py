"""What a caller may choose: categories, gain, and how a recording is read and separated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict, TypeVar, get_args

from sgn_rt._types import SampleFormat
from sgn_rt.audio.limits import is_real
from sgn_rt.errors import CategoryError, ConfigError
from sgn_rt.model.config import ModelConfig

T = TypeVar("T", bound=str)

MOST_GAIN_DB: Final = 120.0
"""What lies between full scale and the quietest sound of 20 bits."""

Progress = Callable[[float], object]
"""Called now and then with the part that is done, 0 to 1. What it raises ends the work."""

Level = Literal["auto", "off"] | float
"""How the network hears a recording: ``auto``, ``off``, or a gain in dB."""

_LEVELS: Final = ("auto", "off")


class RecordingOptions(TypedDict, total=False):
    """What may be said of a recording beside its categories.

    Attributes
    ----------
    threshold
        Presence from which a window speaks for a category, 0 to 1, for all or by name; 0.5 if left
        out. What counts as present over time: `sgn_rt.streaming.presence.PresenceRule`.
    residual
        Whether what is left of the mixture without the categories is wanted, too: all of them add
        up to it.
    level
        ``auto`` (if left out): where what sounds in the recording lies outside of the levels that
        the model was trained on, the network hears it as loud as it should be, and the sources
        come back at the recording's own level; ``off``; or a gain in dB.
    start_s, duration_s
        The part of the recording that is wanted, seconds.
    salvage
        Whether a damaged file is read as far as it goes; the report says what is missing.
    most_seconds, most_channels
        The most that a recording may have; for services, whose files come from strangers.
    progress
        Told how much is done, 0 to 1; what it raises ends the work.
    cancel
        Set it, from another thread, to end the work by a CancelledError.
    """

    threshold: float | Mapping[str, float] | None
    residual: bool
    level: Level
    start_s: float
    duration_s: float | None
    salvage: bool
    most_seconds: float | None
    most_channels: int | None
    progress: Progress | None
    cancel: threading.Event | None


READING: Final = ("start_s", "duration_s", "salvage", "most_seconds", "most_channels")
"""Of the options, those of reading a recording."""


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


def checked_gain(gain_db: Any) -> float:
    """The gain, dB.

    Raises
    ------
    ConfigError
        If it is none that a recording needs.
    """
    if not is_real(gain_db) or not -MOST_GAIN_DB <= gain_db <= MOST_GAIN_DB:
        raise ConfigError(
            f"gain: got {gain_db!s:.40} dB, expected at most {MOST_GAIN_DB:g} dB up or down. "
            "Check the unit: 20 dB are a factor of 10."
        )
    return float(gain_db)


def checked_level(level: Any) -> Level:
    """The level.

    Raises
    ------
    ConfigError
        If it is neither a word that is known nor a gain.
    """
    if is_real(level):
        return checked_gain(level)
    for word in _LEVELS:
        if isinstance(level, str) and level == word:
            return word
    raise ConfigError(
        f"level: got {level!r:.40}, expected auto, off or a gain in dB. Choose one of them."
    )


def checked_sample_format(name: Any) -> SampleFormat:
    """The format.

    Raises
    ------
    ConfigError
        If it is none of those that there are.
    """
    form: SampleFormat = one_of("sample format", name, get_args(SampleFormat))
    return form


def one_of(what: str, name: Any, known: tuple[T, ...]) -> T:
    """The name, if it is one of those known.

    Raises
    ------
    ConfigError
        If it is none of them.
    """
    for each in known:
        if isinstance(name, str) and name == each:
            return each
    raise ConfigError(f"{what}: got {name!r:.40}, expected {', '.join(known)}. Choose one of them.")


def checked_options(options: RecordingOptions) -> RecordingOptions:
    """The options, as they are.

    Raises
    ------
    TypeError
        For one that there is not, as Python does.
    """
    unknown = sorted(set(options) - set(RecordingOptions.__annotations__))
    if unknown:
        raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}")
    return options
