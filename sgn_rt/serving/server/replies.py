"""How a problem is told, also to a client that is still sending."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from sgn_rt.serving.server.problems import HttpError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Send

_LINGER_S: Final = 2.0
_LINGER_BYTES: Final = 64 << 20


def encoded(problem: HttpError) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A problem's body and headers."""
    body = json.dumps(problem.to_dict()).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= problem.headers
    return body, [(name.lower().encode(), value.encode()) for name, value in headers.items()]


async def reply(request: Request, problem: HttpError, send: Send) -> None:
    """Tell a problem, and close the connection.

    A client that is still sending reads the answer only if the connection is not cut at once: what
    it sends meanwhile is thrown away, for a while.
    """
    body, headers = encoded(problem)
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    size = 0
    try:
        async with asyncio.timeout(_LINGER_S):
            more = not _is_over(request)
            while more and size < _LINGER_BYTES:
                message = await request.receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
                size += len(message.get("body", b""))
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _is_over(request: Request) -> bool:
    """Whether nothing more is to come."""
    headers = request.headers
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
