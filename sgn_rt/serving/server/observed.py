"""Counts and times what a server answers."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from sgn_rt.serving.server.metrics import Metrics

log = logging.getLogger(__name__)

_GONE = 499
"""What is counted where a client went before it was answered; nginx's number."""

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Observed:
    """Tells `Metrics` of each request and its answer.

    Parameters
    ----------
    app
        What is behind it.
    metrics
        The server's.
    routes
        Paths that are told apart; all others are counted together.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self._app, self._metrics, self._routes = app, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began, code = time.perf_counter(), 0

        async def seen(message: Message) -> None:
            nonlocal code
            if message["type"].endswith("http.response.start"):
                code = message["status"]
            elif message["type"] == "websocket.accept":
                code = 101
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            seconds = time.perf_counter() - began
            self._metrics.answered(route, code or _GONE, seconds)
            method = scope.get("method", "WS")
            log.info("%s %s: %d, %.3f s", method, route, code or _GONE, seconds)
