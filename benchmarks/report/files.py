"""A result as a file: read only where it is what the published schema says."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from sgn_rt._optional import require
from sgn_rt.benchmarks.result import SCHEMA, Figure, Result
from sgn_rt.errors import ConfigError, DependencyError

SCHEMA_FILE: Final = "bench.schema.json"


@cache
def schema() -> dict[str, Any]:
    """The published schema, draft 2020-12 of JSON schema."""
    text = resources.files("sgn_rt.benchmarks.report").joinpath(SCHEMA_FILE).read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def problem(told: Any) -> str | None:
    """What keeps JSON from being a result, with the place; None of a good one.

    Raises
    ------
    DependencyError
        If jsonschema is not installed.
    """
    jsonschema: Any = require("jsonschema", extra="bench", purpose="reading a result of bench")
    checker = jsonschema.Draft202012Validator(schema())
    worst = jsonschema.exceptions.best_match(checker.iter_errors(told))
    return _twice(told) if worst is None else f"{worst.message} at {worst.json_path}"


def _twice(told: dict[str, Any]) -> str | None:
    """What no schema can say: a figure is told once."""
    keys = [Figure(**each).key for each in told["figures"]]
    twice = next((key for key, count in Counter(keys).items() if count > 1), None)
    return None if twice is None else f"the figure {', '.join(filter(None, twice))} twice"


def told_and_checked(result: Result) -> tuple[dict[str, Any], str | None]:
    """A result as JSON types, and what is wrong with it by the schema.

    It is None, too, where jsonschema is not installed: to write, nobody needs it.
    """
    told = result.to_dict()
    try:
        return told, problem(told)
    except DependencyError:
        return told, None


def read_result(path: Path) -> Result:
    """The run that a file of ``sgn-rt bench --json`` holds.

    Raises
    ------
    ConfigError
        If it holds none.
    DependencyError
        If jsonschema is not installed.
    """
    expected = "expected a file of `sgn-rt bench --json`"
    try:
        told = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: got {error.strerror or error}, {expected}. Check the name."
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{path}: got no JSON ({error}), {expected}. Give another, or run it again."
        ) from error
    made_by = told.get("schema") if isinstance(told, dict) else None
    if isinstance(made_by, int) and made_by != SCHEMA:
        raise ConfigError(
            f"{path}: got schema {made_by}, expected {SCHEMA}. Run the benchmark again with this "
            "version, or read it with the version that wrote it."
        )
    found = problem(told)
    if found is not None:
        raise ConfigError(f"{path}: got {_short(found)}, {expected}. Give another.")
    return Result.from_dict(told)


def _short(text: str, most: int = 300) -> str:
    """Without the whole of a large value in the middle of a message."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
