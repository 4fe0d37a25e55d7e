"""The first message of a live stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from sgn_rt.audio.limits import checked_channels, is_real
from sgn_rt.audio.pcm import PcmFormat, checked_pcm_format
from sgn_rt.errors import ConfigError
from sgn_rt.serving.server.problems import HttpError

_DEFAULTS: Final[dict[str, Any]] = {
    "sample_rate": None,
    "channels": 1,
    "categories": None,
    "latency_s": None,
    "residual": False,
    "gain_db": 0.0,
    "threshold": None,
    "sample_format": "f32le",
}


@dataclass(frozen=True, slots=True)
class Start:
    """What a client wants of a live stream.

    Attributes
    ----------
    options
        Of the hub's `open`.
    sample_format
        Of what comes and of what goes.
    """

    options: dict[str, Any]
    sample_format: PcmFormat

    @classmethod
    def of(cls, message: dict[str, Any], most_channels: int) -> Start:
        """What a message says; whether it can be had is the hub's to say.

        Raises
        ------
        AudioError, ConfigError
            For what is not known, or of the wrong type.
        """
        unknown = sorted(set(message) - set(_DEFAULTS) - {"type"})
        if unknown:
            raise ConfigError(
                f"start: got {unknown[0]!r:.60}, expected {', '.join(_DEFAULTS)}. Correct its name."
            )
        said = {**_DEFAULTS, **{key: message[key] for key in _DEFAULTS if key in message}}
        sample_format = checked_pcm_format(said.pop("sample_format"))
        checked_channels(said["channels"], most_channels)
        categories, threshold = said["categories"], said["threshold"]
        names = isinstance(categories, list) and all(isinstance(each, str) for each in categories)
        if categories is not None and not (names and categories):
            raise _wrong("categories", categories, "a list of names, or null for all")
        if said["latency_s"] is not None and not is_real(said["latency_s"]):
            raise _wrong("latency_s", said["latency_s"], "seconds, or null")
        if not isinstance(said["residual"], bool):
            raise _wrong("residual", said["residual"], "true or false")
        if threshold is not None and not is_real(threshold) and not isinstance(threshold, dict):
            raise _wrong("threshold", threshold, "a number, one by category, or null")
        return cls(said, sample_format)


def parsed(text: str) -> dict[str, Any]:
    """A text message.

    Raises
    ------
    HttpError
        If it is no object of JSON with a type.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise HttpError(400, "ConfigError", f"message: got {text!r:.60}, expected a JSON object "
                        "with a type. See /openapi.json.", close_code=1003)  # fmt: skip
    return message


def unexpected(kind: str, expected: str) -> HttpError:
    """What is told of a message that is not the one to come."""
    return HttpError(400, "ConfigError", f"message: got {kind:.60}, expected {expected}. "
                   "See /openapi.json.", close_code=1003)  # fmt: skip


def _wrong(name: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"start: {name}: got {value!r:.60}, expected {expected}. Correct it.")
