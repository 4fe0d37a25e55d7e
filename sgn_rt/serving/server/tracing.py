"""Spans of OpenTelemetry where it is installed; nothing where it is not."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_NAME = "sgn_rt"


@functools.cache
def _api() -> tuple[Any, Any] | None:
    """OpenTelemetry's modules for spans and for their contexts in headers."""
    try:
        from opentelemetry import propagate, trace
    except ImportError:
        return None
    return trace, propagate


@contextmanager
def span(
    name: str, headers: Mapping[str, str] | None = None, **attributes: str | float
) -> Iterator[None]:
    """A span around what is done inside; a child of the one that a client's headers name."""
    api = _api()
    if api is None:
        yield
        return
    trace, propagate = api
    context = None if headers is None else propagate.extract(headers)
    tracer = trace.get_tracer(_NAME)
    with tracer.start_as_current_span(name, context, attributes=_named(attributes)):
        yield


def past_span(name: str, seconds: float, **attributes: str | float) -> None:
    """A span of what has just ended, and took so long."""
    api = _api()
    if api is not None:
        end = time.time_ns()
        begun = (
            api[0]
            .get_tracer(_NAME)
            .start_span(name, start_time=end - round(seconds * 1e9), attributes=_named(attributes))
        )
        begun.end(end)


def _named(attributes: Mapping[str, str | float]) -> dict[str, str | float]:
    return {f"sgn_rt.{key}": value for key, value in attributes.items()}
