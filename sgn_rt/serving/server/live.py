"""``WS /stream``: PCM in, PCM of every category out, while it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.pcm import decoded, encoded, frame_bytes
from sgn_rt.errors import AudioError, OverloadError
from sgn_rt.serving.server.access import SUBPROTOCOL
from sgn_rt.serving.server.backend import Backend
from sgn_rt.serving.server.metrics import Metrics
from sgn_rt.serving.server.options import ServerOptions
from sgn_rt.serving.server.problems import HttpError, problem_of
from sgn_rt.serving.server.start import Start, parsed, unexpected
from sgn_rt.serving.server.tracing import span
from sgn_rt.serving.server.upload import STALL_S
from sgn_rt.streaming.hub.hub import Hub
from sgn_rt.streaming.hub.hub_stream import HubStream
from sgn_rt.streaming.output import RESIDUAL

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket

log = logging.getLogger(__name__)

_START_S: Final = 10.0
"""Until the first message has to be there."""
MESSAGE_BYTES: Final = 8 << 20
"""The longest message that is taken."""
_SENT_BYTES: Final = 1 << 19
"""Of PCM that is sent at a time; clients take 1 MiB, unless they are told otherwise."""
_BLOCK_S: Final = 0.1
"""Of what is fed at a time, however long a client's message is."""


class Live:
    """The endpoint.

    Parameters
    ----------
    backend, options, metrics
        The server's.
    """

    def __init__(self, backend: Backend, options: ServerOptions, metrics: Metrics) -> None:
        self._backend, self._options, self._metrics = backend, options, metrics
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        from starlette.websockets import WebSocket, WebSocketDisconnect

        websocket = WebSocket(scope, receive, send)
        chosen = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
        with suppress(WebSocketDisconnect, OSError):
            await websocket.accept(subprotocol=chosen)
            try:
                # First of all: who is still sending it would not see why it is turned away.
                start = await _first(websocket, self._options.max_channels)
                with (
                    self._backend.working() as (_, hub),
                    self._place(),
                    span("sgn_rt.stream", websocket.headers),
                ):
                    await self._serve(websocket, hub, start)
            except WebSocketDisconnect:
                pass
            except Exception as error:
                problem = problem_of(error)
                if problem.status == 500:
                    log.error("a live stream failed", exc_info=error)
                await _tell(websocket, problem)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._open >= self._options.max_streams:
            self._metrics.turned_away["too-many-streams"] += 1
            raise OverloadError(
                f"server: got more than {self._options.max_streams} live streams at a time, "
                "expected no more. Try again later."
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _serve(self, websocket: WebSocket, hub: Hub, start: Start) -> None:
        stream = hub.open(**start.options)
        try:
            talk = _Talk(websocket, stream, start)
            await talk.run(self._backend.ending)
        finally:
            stream.abort()  # nothing is left of one that was closed


async def _first(websocket: WebSocket, most_channels: int) -> Start:
    """The start message."""
    try:
        async with asyncio.timeout(_START_S):
            message = await _message(websocket)
    except TimeoutError as error:
        raise HttpError(408, "TimeLimit", f"start: got none within {_START_S:g} s, expected one. "
                      "Send it first.") from error  # fmt: skip
    if isinstance(message, bytes):
        raise unexpected("bytes", "a start message first")
    said = parsed(message)
    if said["type"] != "start":
        raise unexpected(said["type"], "a start message first")
    return Start.of(said, most_channels)


async def _message(websocket: WebSocket) -> bytes | str:
    """The next message of a client; raises WebSocketDisconnect when it has gone."""
    from starlette.websockets import WebSocketDisconnect

    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1005)
    data: bytes | str = message.get("text") or message.get("bytes") or b""
    if len(data) > MESSAGE_BYTES:
        raise HttpError(413, "TooLarge", f"message: got {len(data)} bytes, expected at most "
                        f"{MESSAGE_BYTES}. Send shorter ones.")  # fmt: skip
    return data


async def _tell(websocket: WebSocket, problem: HttpError) -> None:
    """Tell a problem, and close; a client that takes nothing is not waited for."""
    with suppress(TimeoutError, RuntimeError):
        async with asyncio.timeout(1.0):
            await websocket.send_json({"type": "error", **problem.to_dict()})
            await websocket.close(problem.close_code, problem.kind)


class _Talk:
    """One live stream of one client."""

    def __init__(self, websocket: WebSocket, stream: HubStream, start: Start) -> None:
        self._websocket, self._stream = websocket, stream
        self._form = start.sample_format
        self._names = tuple(stream.categories)
        if start.options["residual"] and RESIDUAL not in self._names:
            self._names += (RESIDUAL,)
        self._block = max(1, round(_BLOCK_S * stream.sample_rate))
        self._sending = asyncio.Lock()
        self._over = False
        self._sent = 0
        self._told: dict[str, int] = {}

    async def run(self, ending: asyncio.Event) -> None:
        """Talk until the client ends or goes, or the server has to end."""
        await self._send_started()
        async with _guarded(ending) as guard:
            reading, writing = guard.also(self._read()), guard.also(self._write())
            await guard.until(reading, writing)
            await self._stop(writing)
            closing, gone = guard.also(self._stream.aclose()), guard.also(self._gone())
            await guard.until(closing, gone)
            await self._send(closing.result())
            await self._send_json({"type": "ended", "samples": self._sent})
        await self._websocket.close(1000)

    async def _send_started(self) -> None:
        """Say that a signal begins: whatever comes after it is of that one."""
        await self._send_json(
            {
                "type": "started",
                "sample_rate": self._stream.sample_rate,
                "channels": self._stream.channels,
                "categories": list(self._names),
                "latency_samples": self._stream.latency_samples,
                "sample_format": self._form,
            }
        )

    async def _read(self) -> None:
        """Take what the client sends, until it says that it ends."""
        while True:
            message = await _message(self._websocket)
            if isinstance(message, bytes):
                await self._feed(message)
                continue
            kind = parsed(message)["type"]
            if kind == "end":
                return
            if kind != "reset":
                raise unexpected(kind, "PCM, end or reset")
            async with self._sending:
                self._stream.reset()
                self._sent, self._told = 0, {}
                await self._send_started()

    async def _feed(self, message: bytes) -> None:
        frame = frame_bytes(self._stream.channels, self._form)
        if len(message) % frame:
            raise HttpError(400, "AudioError", f"PCM: got {len(message)} bytes, expected whole "
                          f"frames of {frame}. Cut between them.", close_code=1007)  # fmt: skip
        view = memoryview(message)
        for at in range(0, len(message), self._block * frame):
            block = decoded(view[at : at + self._block * frame], self._stream.channels, self._form)
            try:
                await self._stream.afeed(block)
            except AudioError as error:
                raise HttpError(400, "AudioError", str(error), close_code=1007) from error

    async def _write(self) -> None:
        """Send what is ready, as long as the client goes on."""
        while not self._over:
            ready = await self._stream.aread()
            async with self._sending:
                await self._send(ready)

    async def _stop(self, writing: asyncio.Task[None]) -> None:
        """End sending between two messages: what is ready afterwards comes with the rest."""
        self._over = True
        async with self._sending:
            writing.cancel()
        await asyncio.wait({writing})

    async def _gone(self) -> None:
        """Wait until a client that has nothing more to say goes."""
        while True:
            await _message(self._websocket)

    async def _send(self, ready: Mapping[str, Float]) -> None:
        samples = np.concatenate([ready[name] for name in self._names])
        step = max(1, _SENT_BYTES // frame_bytes(len(samples), self._form))
        for at in range(0, samples.shape[1], step):
            block = samples[:, at : at + step]
            async with asyncio.timeout(STALL_S):
                await self._websocket.send_bytes(encoded(block, self._form))
            self._sent += block.shape[1]
        for event in self._stream.events():
            await self._send_json(
                {
                    "type": "presence",
                    "kind": event.kind,
                    "category": event.category,
                    "time_s": float(event.time_s),
                    "probability": float(event.probability),
                }
            )
        for kind, count in self._stream.overload.items():
            if count > self._told.get(kind, 0):
                self._told[kind] = count
                await self._send_json({"type": "overload", "kind": kind, "count": count})

    async def _send_json(self, message: dict[str, Any]) -> None:
        async with asyncio.timeout(STALL_S):
            await self._websocket.send_json(message)


class _Guard:
    """Tasks that end with their block."""

    def __init__(self, ending: asyncio.Event) -> None:
        self._tasks: list[asyncio.Task[Any]] = []
        self._ending = self.also(ending.wait())

    def also(self, work: Any) -> asyncio.Task[Any]:
        """Work beside what goes on."""
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._tasks.append(task)
        return task

    async def until(self, wanted: asyncio.Task[Any], other: asyncio.Task[Any]) -> None:
        """Wait until what is wanted is done; raise what ends any of both before, or a HttpError."""
        await asyncio.wait({wanted, other, self._ending}, return_when=asyncio.FIRST_COMPLETED)
        if wanted.done():
            wanted.result()
        elif other.done():
            other.result()
        else:
            raise HttpError(503, "Draining", "server: got told to end, expected the stream to end "
                          "before. Connect again.", close_code=1012)  # fmt: skip

    async def end(self) -> None:
        """Cancel whatever is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def _guarded(ending: asyncio.Event) -> AsyncIterator[_Guard]:
    guard = _Guard(ending)
    try:
        yield guard
    finally:
        await guard.end()
