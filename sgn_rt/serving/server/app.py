"""The application: endpoints, the page, and what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sgn_rt._optional import require
from sgn_rt.separator import Separator
from sgn_rt.serving.server.access import Access
from sgn_rt.serving.server.backend import Backend
from sgn_rt.serving.server.live import Live
from sgn_rt.serving.server.metrics import Metrics
from sgn_rt.serving.server.observed import Observed
from sgn_rt.serving.server.options import ServerOptions
from sgn_rt.serving.server.problems import HttpError, problem_of
from sgn_rt.serving.server.routes import endpoints
from sgn_rt.serving.server.separate import Separate

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

PAGE: Final = Path(__file__).parent / "static"
"""The page, its program and its style."""

END_S: Final = 5.0
"""What work that was told to end, and an engine, get for it."""

_PACKAGES: Final = ("starlette", "uvicorn", "websockets", "prometheus_client", "python_multipart")


def require_packages() -> None:
    """Find out before any work whether all that a server needs is installed.

    Raises
    ------
    DependencyError
        If it is not.
    """
    for package in _PACKAGES:
        require(package, extra="serve", purpose="a server")


class Server:
    """A server's parts: an ASGI application, and the backend behind it.

    Parameters
    ----------
    opener
        Opens the separator, when the server has begun to listen.
    options
        How and whom it serves.

    Attributes
    ----------
    app
        For an ASGI server; its lifespan opens and closes the backend.
    is_over
        Whether nothing of it is left: no engine, and no thread that works.
    failed
        Called in the loop if the separator does not open.
    """

    def __init__(self, opener: Callable[[], Separator], options: ServerOptions) -> None:
        require_packages()
        self.metrics = Metrics()
        self.backend = Backend(opener, options, self.metrics.on_batch)
        self.separate = Separate(self.backend, options, self.metrics)
        self.metrics.watch(self.backend, lambda: self.separate.desk.taken)
        self.is_over = False
        self.failed: Callable[[], object] = lambda: None
        self.app = self._app(options)

    def _app(self, options: ServerOptions) -> ASGIApp:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
        from starlette.staticfiles import StaticFiles

        table = endpoints(self.backend, options, self.metrics, self.separate)
        routes: list[BaseRoute] = [
            Route(each.path, each.handler, methods=[each.method]) for each in table
        ]
        # Before the page, which is at every path that is left.
        routes += [Route(each.path, _NotAllowed(each.method)) for each in table]
        routes.append(WebSocketRoute("/stream", Live(self.backend, options, self.metrics)))
        routes.append(Mount("/", StaticFiles(directory=PAGE, html=True)))
        handlers: Any = {HTTPException: _refused, HttpError: _failed, Exception: _failed}
        app = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)
        known = frozenset({"/", "/stream"} | {each.path for each in table})
        return Observed(Access(app, options), self.metrics, known)

    @asynccontextmanager
    async def _lifespan(self, app: Any) -> AsyncIterator[None]:
        del app
        self.backend.start(lambda: self.failed())
        try:
            yield
        finally:
            await self.backend.end(END_S)
            closed = await self.backend.close(END_S)
            self.is_over = self.separate.desk.close() and closed


class _NotAllowed:
    """Where a path is asked for by another method than its own."""

    def __init__(self, method: str) -> None:
        self._allowed = "GET, HEAD" if method == "GET" else method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        from starlette.exceptions import HTTPException

        del scope, receive, send
        raise HTTPException(405, headers={"Allow": self._allowed})


async def _refused(request: Request, error: Any) -> Response:
    """Starlette's own refusals: no such path, no such method."""
    kind = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "HTTPError")
    message = (
        f"{request.method} {request.url.path!r:.80}: got a request for it, expected one of those "
        "that there are. See /openapi.json."
    )
    return _as_json(HttpError(error.status_code, kind, message), error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    del request
    return _as_json(problem_of(error))


def _as_json(problem: HttpError, headers: Any = None) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(
        problem.to_dict(), problem.status, headers={**(headers or {}), **problem.headers}
    )
