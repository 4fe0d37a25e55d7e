"""The server's interface in OpenAPI's words, made from the table of its endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from sgn_rt import __version__

_MEANINGS: Final = {
    400: "A parameter, or audio, that is none.",
    401: "No token, or a wrong one.",
    403: "A page of another server, or a name that is not this machine's.",
    408: "An upload that does not go on.",
    411: "Neither a length nor chunks.",
    413: "A file that is too large.",
    415: "An encoding, or a kind of file, that is not read here.",
    429: "Too much at a time.",
    500: "The engine failed.",
    503: "Not ready yet, or not any more.",
    504: "Not done within the time limit.",
}

_STREAM: Final = """\
`/stream` is a WebSocket, which OpenAPI has no words for. Text is JSON, binary is PCM.

- The client begins: `{"type": "start", "sample_rate": 44100, "channels": 1, "categories":
  ["violin"], "latency_s": 1.0, "residual": false, "gain_db": 0, "threshold": null,
  "sample_format": "f32le"}`, or `"s16le"`; all but the rate may be left out.
- The server answers `{"type": "started", "sample_rate", "channels", "categories",
  "latency_samples", "sample_format"}`.
- The client sends interleaved PCM, in messages of whole frames; the server sends PCM whose channels
  are those of the first category, then of the second, and so on.
- The server tells `{"type": "presence", "kind": "appeared" or "disappeared", "category", "time_s",
  "probability"}`, `{"type": "overload", "kind", "count"}`, and, before it closes,
  `{"type": "error", "error": {"type", "message"}}`.
- `{"type": "reset"}` begins anew, as another `started` says. After `{"type": "end"}`
  the server sends the rest, then `{"type": "ended", "samples": n}`, and closes by 1000.
- Codes of errors: 1003 a message that is none of these, 1007 PCM that is not whole frames or not
  finite, 1008 a start that cannot be had, 1009 a message that is too large, 1011 the engine failed,
  1012 the server ends, 1013 too many streams.

A browser names a token as `new WebSocket(url, ["bearer", TOKEN])`.
"""


class _Operation(Protocol):
    """What is told of an endpoint."""

    @property
    def path(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def operation(self) -> dict[str, Any]: ...


def document(endpoints: Iterable[_Operation]) -> dict[str, Any]:
    """The whole of it."""
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        name = endpoint.path.strip("/").partition(".")[0]
        operation = {"operationId": name, **endpoint.operation}
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "sgn-rt", "version": __version__, "description": _STREAM},
        "paths": paths,
        "security": [{}, {"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["type", "message"],
                            "properties": {
                                "type": {"type": "string"},
                                "message": {"type": "string"},
                            },
                        }
                    },
                }
            },
        },
    }


def json_answer(description: str, properties: dict[str, Any]) -> dict[str, Any]:
    """An answer of JSON that has all of some properties."""
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def failures(*statuses: int) -> dict[str, Any]:
    """Answers that are a problem."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {str(each): {"description": _MEANINGS[each], "content": content} for each in statuses}
