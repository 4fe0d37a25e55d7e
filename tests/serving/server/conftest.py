"""A real server in a thread, on a small model, and what is sent to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sgn_rt.separator import Separator
from sgn_rt.serving.server.app import Server
from sgn_rt.serving.server.options import ServerOptions
from sgn_rt.serving.server.run import address_of, listening, serve

from .tools import PATIENCE_S, RATE, Gate, as_wav


class Running:
    """A server that runs in a thread."""

    def __init__(self, opener: Callable[[], Separator], **options: Any) -> None:
        # However slow the machine is: what is late, and too many, is of tests that say so.
        in_time = {"overload": "raise", "deadline_s": 1e6}
        self.options = ServerOptions(**{"port": 0, **in_time, **options})
        self.server = Server(opener, self.options)
        self._listener = listening(self.options)
        self.url = address_of(self._listener)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws") + "/stream"

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner, self._listener:
                runner.run(serve(self.server, self.options, self._listener, self._stop))
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        """Have it drain, as SIGTERM does."""
        if self.thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)

    def join(self) -> None:
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()


@pytest.fixture
def spool(tmp_path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def running(spool) -> Iterator[Callable[..., Running]]:
    """Starts servers, and ends them with the test; nothing is left in the spool then."""
    started: list[Running] = []

    def start(separator: Separator | Callable[[], Separator], *, wait=True, **options) -> Running:
        opener = separator if callable(separator) else lambda: separator
        started.append(Running(opener, spool=spool, **options))
        if wait:
            assert started[-1].server.backend.wait(PATIENCE_S)
            assert started[-1].server.backend.unready() is None
        return started[-1]

    yield start
    for each in started:
        each.end()
    for each in started:
        each.join()
    assert not list(spool.iterdir())


@pytest.fixture
def serving(running, fake_separator) -> Callable[..., tuple[Any, Running]]:
    """A server of an engine that is good when it opens, and has a fault from then on."""

    def start(fault: Any = None, **options: Any) -> tuple[Any, Running]:
        fake = fake_separator()
        server = running(fake.separator, **options)
        fake.engine.calls = 0
        if fault is not None:
            fake.engine._fault = fault
        return fake, server

    return start


@pytest.fixture
def wav(noise) -> Callable[..., bytes]:
    """A file of noise, float32 WAV."""

    def make(samples: int = 4000, channels: int = 1, rate: int = RATE, seed: int = 0) -> bytes:
        return as_wav(noise(channels, samples, seed), rate)

    return make


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()
