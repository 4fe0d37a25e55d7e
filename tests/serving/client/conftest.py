"""A real server on a small model, and servers that answer what a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websocket

from sgn_rt.serving.client import Client

from ..server.conftest import gate, running, serving, spool, wav  # noqa: F401 - fixtures


@pytest.fixture
def fake(fake_separator):
    return fake_separator()


@pytest.fixture
def server(running, fake):  # noqa: F811
    return running(fake.separator)


@pytest.fixture
def client(server) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def answering(held) -> Callable[..., str]:
    """Starts an HTTP server that reads a request and says the same to everybody; its address."""

    def start(status: int, body: bytes, *, said: int | None = None, **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if said is None else said))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        made = held.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        _in_thread(partial(made.serve_forever, poll_interval=0.01), made.shutdown, held)
        return f"http://127.0.0.1:{made.server_address[1]}"

    return start


@pytest.fixture
def talking(held) -> Callable[..., str]:
    """Starts a WebSocket server whose other side a test plays; its address."""

    def start(play: Callable[[ServerConnection], object]) -> str:
        made = held.enter_context(serve_websocket(play, "127.0.0.1", 0))
        _in_thread(made.serve_forever, made.shutdown, held)
        return f"http://127.0.0.1:{made.socket.getsockname()[1]}"

    return start


def _in_thread(work: Callable[[], object], end: Callable[[], object], held: ExitStack) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    held.callback(thread.join)
    held.callback(end)
