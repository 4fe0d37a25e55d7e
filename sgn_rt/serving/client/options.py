"""What a caller may choose, and how the server is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict

from sgn_rt.audio.pcm import PcmFormat
from sgn_rt.audio.writer import Format
from sgn_rt.errors import ConfigError
from sgn_rt.streaming.choices import Level


class SeparateOptions(TypedDict, total=False):
    """What may be said of a recording beside its categories.

    Attributes
    ----------
    threshold
        Presence from which a category may count as present, 0 to 1.
    residual
        Whether what is left of the mixture is wanted, too.
    level
        ``auto``, ``off``, or a gain in dB (`sgn_rt.streaming.choices.RecordingOptions`).
    start_s, duration_s
        The part of the recording that is wanted, seconds.
    """

    threshold: float | None
    residual: bool
    level: Level
    start_s: float
    duration_s: float | None


class StreamOptions(TypedDict, total=False):
    """What may be said of a live stream; as for `Separator.stream`.

    Attributes
    ----------
    sample_rate
        Hz, of input and output.
    channels
        Each is separated on its own; 1 if left out.
    categories
        Names; None for all that the model knows.
    latency_s
        The longest delay that is borne, seconds; None for least work.
    residual
        Whether what is left of the mixture is wanted, too.
    gain_db
        What the network hears is so many dB louder.
    threshold
        Presence from which a window speaks for a category.
    sample_format
        Of what is sent and comes: ``f32le`` (if left out), or ``s16le`` for half of it.
    """

    sample_rate: Required[int]
    channels: int
    categories: Sequence[str] | None
    latency_s: float | None
    residual: bool
    gain_db: float
    threshold: float | None
    sample_format: PcmFormat


def checked_url(url: str) -> str:
    """The address of a server.

    Raises
    ------
    ConfigError
        If it is none.
    """
    if not url.startswith(("http://", "https://")) or not url.partition("://")[2]:
        raise ConfigError(
            f"url: got {url!r}, expected http://HOST:PORT or https://HOST. Write it so."
        )
    return url.rstrip("/")


def query_of(
    categories: Sequence[str] | None,
    format: Format,  # noqa: A002 - the option's name
    options: SeparateOptions,
) -> dict[str, str]:
    """The options as the server has them."""
    expect_known(options, SeparateOptions)
    if isinstance(categories, str):
        raise ConfigError(
            f"categories: got the text {categories!r}, expected a sequence of names. "
            f"Write [{categories!r}]."
        )
    query: dict[str, str] = {"format": format}
    if categories is not None:
        query["categories"] = ",".join(categories)
    for name, value in options.items():
        if value is not None:
            query[name.removesuffix("_s")] = _word(value)
    return query


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def expect_known(options: Mapping[str, Any], known: type) -> None:
    """Raise TypeError for an option that there is not, as Python does."""
    unknown = sorted(set(options) - set(known.__annotations__))
    if unknown:
        raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}")
