"""Who may come: hosts, origins and tokens; and what browsers are told to keep to."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sgn_rt.serving.server.options import ServerOptions, is_loopback
from sgn_rt.serving.server.problems import HttpError
from sgn_rt.serving.server.replies import encoded, reply

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SUBPROTOCOL: Final = "bearer"
"""How a browser names a token for a WebSocket: ``Sec-WebSocket-Protocol: bearer, TOKEN``."""

GUARDED: Final = frozenset({"/model", "/separate", "/stream", "/metrics"})
"""What needs the token. Probes of an orchestrator have none, and the page and the description of
the interface are the same for all who have installed it."""

_SECURITY: Final = tuple(
    (name.lower().encode(), value.encode())
    for name, value in {
        "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }.items()
)


class Access:
    """Lets in who may come.

    Parameters
    ----------
    app
        What is behind it.
    options
        The server's.
    """

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self._app, self._options = app, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                cached = any(name == b"cache-control" for name, _ in given)
                caching = () if cached else ((b"cache-control", b"no-store"),)
                message = {**message, "headers": [*given, *_SECURITY, *caching]}
            await send(message)

        problem = self._refused(scope)
        if problem is None:
            await self._app(scope, receive, with_headers)
        elif scope["type"] == "http":
            from starlette.requests import Request

            await reply(Request(scope, receive), problem, with_headers)
        else:
            await _deny(problem, receive, send)

    def _refused(self, scope: Scope) -> HttpError | None:
        """Why one may not come; None for one who may."""
        from starlette.datastructures import Headers as Given

        headers = Given(scope=scope)
        host = headers.get("host", "")
        loopback = self._options.is_loopback and not self._options.behind_proxy
        if loopback and not is_loopback(_name(host)):
            return HttpError(403, "HostError", f"Host: got {host!r:.80}, expected a name of this "
                           "machine, such as 127.0.0.1. Use its address.")  # fmt: skip
        origin = headers.get("origin")
        acts = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if acts and origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return HttpError(403, "OriginError", f"Origin: got {origin!r:.80}, expected the "
                             "server's own page, or none. Other pages may not use it.")  # fmt: skip
        token = self._options.token
        if token is None or scope["path"] not in GUARDED:
            return None
        if hmac.compare_digest(_token(headers, scope).encode(errors="replace"), token.encode()):
            return None
        return HttpError(401, "TokenError", "Authorization: got none or a wrong one, expected "
                       "'Bearer TOKEN'. Ask who runs the server for the token.")  # fmt: skip


def _name(host: str) -> str:
    """A Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _token(headers: Headers, scope: Scope) -> str:
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return given.strip()
    offered = scope.get("subprotocols", [])
    if len(offered) == 2 and offered[0] == SUBPROTOCOL:
        return str(offered[1])
    return ""


async def _deny(problem: HttpError, receive: Receive, send: Send) -> None:
    """Answer the request for a WebSocket by HTTP."""
    await receive()
    body, headers = encoded(problem)
    await send({"type": "websocket.http.response.start", "status": problem.status,
                "headers": headers})  # fmt: skip
    await send({"type": "websocket.http.response.body", "body": body})
