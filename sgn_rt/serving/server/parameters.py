"""Parameters of ``POST /separate``: one table, which the code reads and OpenAPI shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sgn_rt.errors import CategoryError, ConfigError, SgnError
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.choices import checked_categories, checked_level
from sgn_rt.streaming.output import RESIDUAL


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of them: its name, JSON schema, meaning, and how its text is read."""

    name: str
    schema: dict[str, Any]
    description: str
    parse: Callable[[str], Any]

    def to_openapi(self) -> dict[str, Any]:
        """As OpenAPI has it."""
        array = {"style": "form", "explode": False} if self.schema.get("type") == "array" else {}
        return {"name": self.name, "in": "query", "required": False, "schema": self.schema,
                "description": self.description, **array}  # fmt: skip


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise CategoryError(
            f"categories: got {text!r:.60}, expected names separated by commas. Name some, or "
            "leave the parameter out."
        )
    return names


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or not text.isascii() or "_" in text:
        raise ValueError
    return number


def _not_negative(text: str) -> float:
    number = _number(text)
    if number < 0:
        raise ValueError
    return number


def _positive(text: str) -> float:
    number = _number(text)
    if number <= 0:
        raise ValueError
    return number


def _share(text: str) -> float:
    number = _number(text)
    if not 0 <= number <= 1:
        raise ValueError
    return number


def _truth(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


def _format(text: str) -> str:
    return {"wav": "wav", "flac": "flac"}[text]


def _level(text: str) -> Any:
    try:
        return checked_level(_number(text))
    except ValueError as error:
        if isinstance(error, SgnError):
            raise
        return checked_level(text)


PARAMETERS: Final = {
    each.name: each
    for each in (
        Parameter("categories", {"type": "array", "items": {"type": "string"}, "minItems": 1},
                  "Names, separated by commas; all that are present if left out.", _names),
        Parameter("threshold", {"type": "number", "minimum": 0, "maximum": 1},
                  "Presence from which a category may count as present.", _share),
        Parameter("residual", {"type": "boolean", "default": False},
                  "Also give what is left: all stems and it add up to the mixture.", _truth),
        Parameter("format", {"type": "string", "enum": ["wav", "flac"], "default": "wav"},
                  "Of the stems: float32 WAV, or FLAC of 24 bits.", _format),
        Parameter("level", {"anyOf": [{"type": "string", "enum": ["auto", "off"]},
                                      {"type": "number", "minimum": -120, "maximum": 120}],
                            "default": "auto"},
                  "Gain before the network, undone in the stems: auto, off, or dB.", _level),
        Parameter("start", {"type": "number", "minimum": 0, "default": 0},
                  "Begin there, seconds.", _not_negative),
        Parameter("duration", {"type": "number", "exclusiveMinimum": 0},
                  "Take so much, seconds; all that follows if left out.", _positive),
        Parameter("stem", {"type": "string"},
                  "A category, or residual: the answer is that one's audio file alone.", str),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants.

    Attributes
    ----------
    options
        Of `Separator.separate_to`, its categories among them.
    stem
        The only one that is wanted; None for all.
    """

    options: dict[str, Any]
    stem: str | None

    @property
    def format(self) -> str:
        """Of the stems."""
        return str(self.options["format"])

    @classmethod
    def of(cls, query: Sequence[tuple[str, str]], config: ModelConfig) -> Wanted:
        """What a query says.

        Raises
        ------
        CategoryError, ConfigError
            For what is not known, said twice, or cannot be had.
        """
        said: dict[str, Any] = {"format": "wav"}
        seen: set[str] = set()
        for name, text in query:
            if name not in PARAMETERS or name in seen:
                times = " twice" if name in seen else ""
                raise ConfigError(
                    f"query: got {name!r:.60}{times}, expected each once of "
                    f"{', '.join(PARAMETERS)}. Correct its name."
                )
            seen.add(name)
            said[name] = _parsed(PARAMETERS[name], text)
        for name in ("start", "duration"):
            if name in said:
                said[f"{name}_s"] = said.pop(name)
        categories = said.get("categories")
        if categories is not None:
            checked_categories(config, categories)
        stem = said.pop("stem", None)
        if stem is not None:
            _want_alone(stem, said, config)
        return cls(said, stem)


def _want_alone(stem: str, said: dict[str, Any], config: ModelConfig) -> None:
    """Have one stem separated, whatever else is."""
    if stem == RESIDUAL and RESIDUAL not in config.categories:
        said["residual"] = True
        return
    checked_categories(config, [stem])
    if said.setdefault("categories", [stem]).count(stem) == 0:
        raise CategoryError(
            f"stem: got {stem!r}, expected one of the categories {', '.join(said['categories'])}. "
            "Leave the categories out, or add it."
        )


def _parsed(parameter: Parameter, text: str) -> Any:
    try:
        return parameter.parse(text)
    except (ValueError, KeyError) as error:
        if isinstance(error, SgnError):
            raise
        raise ConfigError(
            f"{parameter.name}: got {text!r:.60}, expected {_told(parameter.schema)}. "
            "See /openapi.json."
        ) from error


def _told(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(schema["enum"])
    if schema["type"] == "boolean":
        return "true or false"
    if "maximum" in schema:
        return f"a number from {schema['minimum']} to {schema['maximum']}"
    return "a positive number" if "exclusiveMinimum" in schema else "a number, not negative"
