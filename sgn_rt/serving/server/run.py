"""A server in service: it listens, drains when it is told to end, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from sgn_rt._temporary import remove_leftovers
from sgn_rt.errors import ConfigError
from sgn_rt.serving.server.app import END_S, Server
from sgn_rt.serving.server.live import MESSAGE_BYTES
from sgn_rt.serving.server.options import ServerOptions

HEAD_S: Final = 15.0
"""Until the head of a request has to be there."""
MOST_CONNECTIONS: Final = 512
"""Beyond them all requests are answered by 503."""
SWEEP_S: Final = 5
"""Between two looks for connections that do not close."""


def listening(options: ServerOptions) -> socket.socket:
    """A socket that listens where the options say.

    Raises
    ------
    ConfigError
        If it cannot.
    """
    try:
        found = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except OSError as error:
        raise ConfigError(
            f"{options.host}:{options.port}: got {error.strerror or error}, expected an address "
            "that is free here. Choose another --host or --port."
        ) from error


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    server: Server,
    options: ServerOptions,
    listener: socket.socket,
    stop: asyncio.Event | None = None,
) -> int | None:
    """Serve until SIGTERM or SIGINT, in the main thread, or until somebody says so.

    Parameters
    ----------
    server, options, listener
        Who serves, how, and where.
    stop
        Set it, in the loop, to end as by SIGTERM.

    Returns
    -------
    int or None
        The signal that kept it from draining, if there was one.

    Raises
    ------
    Exception
        What kept the separator from opening.
    """
    remove_leftovers(options.spool)
    http = _http_server(server, options)
    stop = asyncio.Event() if stop is None else stop
    hurry = asyncio.Event()
    signals: list[int] = []

    def told(number: int) -> None:
        signals.append(number)
        (hurry if stop.is_set() else stop).set()

    server.failed = stop.set
    with _signals(told):
        serving = asyncio.ensure_future(http.serve(sockets=[listener]))
        waits = [asyncio.ensure_future(each.wait()) for each in (stop, hurry)]
        try:
            await asyncio.wait({serving, waits[0]}, return_when=asyncio.FIRST_COMPLETED)
            drained = await _drained(server, options, waits[1])
            await server.backend.end(END_S)
        finally:
            for each in waits:
                each.cancel()
            http.should_exit = True
            await serving
    if server.backend.failure is not None:
        raise server.backend.failure
    return None if drained or not hurry.is_set() else signals[-1]


async def _drained(server: Server, options: ServerOptions, hurry: asyncio.Future[Any]) -> bool:
    """Whether what runs ended by itself, in time."""
    draining = asyncio.ensure_future(server.backend.drain(options.drain_s))
    await asyncio.wait({draining, hurry}, return_when=asyncio.FIRST_COMPLETED)
    if draining.done():
        return draining.result()
    draining.cancel()
    return False


@contextmanager
def _signals(told: Callable[[int], object]) -> Iterator[None]:
    """Tell of SIGTERM and SIGINT, where they come to this thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        loop.add_signal_handler(number, told, number)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _http_server(server: Server, options: ServerOptions) -> Any:
    """Uvicorn, with signals left to us."""
    import uvicorn

    class HttpServer(uvicorn.Server):
        def capture_signals(self) -> Any:
            return nullcontext()

    closing: set[Any] = set()

    async def sweep() -> None:
        # Who closes waits for a client to take what is left: not for ever.
        still = {each for each in made.server_state.connections if each.transport.is_closing()}
        for each in still & closing:
            each.transport.abort()
        closing.clear()
        closing.update(still)

    config = uvicorn.Config(
        server.app,
        lifespan="on",
        loop="asyncio",
        http=_patient_protocol(),
        ws="websockets-sansio",
        ws_max_size=2 * MESSAGE_BYTES,  # up to there it is refused by a word, not by a cut
        ws_per_message_deflate=False,  # 4 ms for each block of PCM
        ws_ping_timeout=120.0,  # an answer waits behind what a fast client has sent
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        proxy_headers=options.behind_proxy,
        timeout_graceful_shutdown=round(END_S),
        callback_notify=sweep,
        timeout_notify=SWEEP_S,
    )
    made = HttpServer(config)
    return made


def _patient_protocol() -> Any:
    """HTTP as uvicorn has it, which waits for a request's head, but not for ever."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        _waiting: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            if self._waiting is None and self._is_between():
                self._wait()
            super().data_received(data)
            if self._waiting is not None and not self._is_between():
                self._waiting.cancel()
                self._waiting = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._waiting = self.loop.call_later(HEAD_S, self._give_up)

        def _is_between(self) -> bool:
            """Whether the head of a request is what comes next."""
            if self.transport.get_protocol() is not self:  # it is a WebSocket's now
                return False
            return self.cycle is None or bool(self.cycle.response_complete)

        def _give_up(self) -> None:
            self._waiting = None
            if self._is_between():
                self.transport.close()

    return Protocol
