"""What a server answers at which path: handlers, each beside what OpenAPI says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from sgn_rt import __version__
from sgn_rt.serving.server.answers import MEDIA_TYPES
from sgn_rt.serving.server.backend import Backend
from sgn_rt.serving.server.metrics import Metrics
from sgn_rt.serving.server.openapi import document, failures, json_answer
from sgn_rt.serving.server.options import ServerOptions
from sgn_rt.serving.server.parameters import PARAMETERS
from sgn_rt.serving.server.separate import Separate

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LATENCY_RATE = 44100
"""Hz, for which ``/model`` tells the least latency."""


class Endpoint(NamedTuple):
    """A path, its method, who answers, and OpenAPI's operation."""

    path: str
    method: str
    handler: Callable[..., Any]
    operation: dict[str, Any]


def endpoints(
    backend: Backend, options: ServerOptions, metrics: Metrics, separate: Separate
) -> list[Endpoint]:
    """All but the WebSocket and the page."""
    from starlette.responses import JSONResponse
    from starlette.responses import Response as Plain

    async def healthz(request: Request) -> Response:
        del request
        return JSONResponse({"status": "alive"})

    async def readyz(request: Request) -> Response:
        del request
        problem = backend.unready()
        if problem is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse(problem.to_dict(), problem.status, headers=problem.headers)

    async def model(request: Request) -> Response:
        del request
        with backend.working() as (separator, _):
            return JSONResponse(
                {
                    "name": separator.bundle.name,
                    "categories": list(separator.categories),
                    "sample_rate": separator.config.sample_rate,
                    "engine": separator.engine.name,
                    "least_latency_s": separator.least_latency_s(LATENCY_RATE),
                    "limits": {
                        "max_bytes": options.max_upload,
                        "max_seconds": options.max_seconds,
                        "max_channels": options.max_channels,
                        "max_streams": options.max_streams,
                        "time_limit_s": options.time_limit_s,
                    },
                    "version": __version__,
                }
            )

    async def figures(request: Request) -> Response:
        text, media_type = metrics.text(request.headers.get("accept", ""))
        return Plain(text, media_type=media_type)

    async def openapi(request: Request) -> Response:
        del request
        return JSONResponse(document(made))

    made = [
        Endpoint("/healthz", "GET", healthz, HEALTHZ),
        Endpoint("/readyz", "GET", readyz, READYZ),
        Endpoint("/model", "GET", model, MODEL),
        Endpoint("/separate", "POST", separate, SEPARATE),
        Endpoint("/metrics", "GET", figures, METRICS),
        Endpoint("/openapi.json", "GET", openapi, OPENAPI),
    ]
    return made


_FREE: dict[str, Any] = {"security": []}

HEALTHZ = {
    "summary": "Whether the process lives",
    "responses": {"200": json_answer("It does.", {"status": {"const": "alive"}})},
    **_FREE,
}
READYZ = {
    "summary": "Whether work is taken",
    "description": "Only when the engine is open and has passed its parity probe, and not while "
    "the server drains.",
    "responses": {"200": json_answer("It is.", {"status": {"const": "ready"}}), **failures(503)},
    **_FREE,
}
MODEL = {
    "summary": "The model that is served, and the limits",
    "responses": {
        "200": json_answer(
            "Both.",
            {
                "name": {"type": "string"},
                "categories": {"type": "array", "items": {"type": "string"}},
                "sample_rate": {"type": "integer", "description": "Of the model, Hz."},
                "engine": {"type": "string", "description": "In service."},
                "least_latency_s": {
                    "type": "number",
                    "description": f"Of a live stream of {LATENCY_RATE} Hz, seconds.",
                },
                "limits": {"type": "object", "additionalProperties": {"type": "number"}},
                "version": {"type": "string"},
            },
        ),
        **failures(401, 503),
    },
}
SEPARATE = {
    "summary": "Separate a recording",
    "description": "The body is the file itself, of any type that the server reads, or a form with "
    "it as `file`. The zip holds `CATEGORY.FORMAT` for each stem, and `report.json`.",
    "parameters": [parameter.to_openapi() for parameter in PARAMETERS.values()],
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    },
    "responses": {
        "200": {
            "description": "The stems: a zip; the same as parts where `multipart/mixed` is "
            "accepted; one audio file where `stem` names it.",
            "content": {
                "application/zip": {},
                "multipart/mixed": {},
                **{media_type: {} for media_type in MEDIA_TYPES.values()},
            },
        },
        **failures(400, 401, 403, 408, 411, 413, 415, 429, 500, 503, 504),
    },
}
METRICS = {
    "summary": "Figures for Prometheus",
    "responses": {"200": {"description": "All of them.", "content": {"text/plain": {}}},
                  **failures(401)},
}  # fmt: skip
OPENAPI = {
    "summary": "This document",
    "responses": {"200": {"description": "OpenAPI 3.1.", "content": {"application/json": {}}}},
    **_FREE,
}
