"""A live stream to a server: samples go up, those of every category come down meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.pcm import PcmFormat, decoded, encoded
from sgn_rt.audio.samples import as_samples
from sgn_rt.errors import OverloadError, SgnError
from sgn_rt.serving.client.events import presence_event
from sgn_rt.serving.client.failures import failure, gone, not_ours, parsed
from sgn_rt.streaming.presence_events import PresenceEvent

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MOST_HELD: Final = 256 << 20
"""Bytes of sources that nobody has read, from which no more is fed."""

PIECE: Final = 1 << 18
"""Bytes sent at once: a longer block goes in several messages."""


class AsyncClientStream:
    """A live stream, for asyncio. Made by `AsyncClient.stream`; belongs to one task at a time.

    Attributes
    ----------
    sample_rate, channels
        Of input and output alike.
    categories
        Names of the sources that come out, in order.
    latency_samples
        Declared and exact latency, at ``sample_rate``.
    overload
        What the server's overload has done to this stream, by kind.
    """

    def __init__(self, socket: ClientConnection, url: str, started: Mapping[str, Any]) -> None:
        try:
            self.sample_rate, self.channels = int(started["sample_rate"]), int(started["channels"])
            self.categories = tuple(str(name) for name in started["categories"])
            self.latency_samples = int(started["latency_samples"])
            self._format: PcmFormat = started["sample_format"]
        except (KeyError, TypeError, ValueError) as error:
            raise not_ours(f"{dict(started)!r:.120} for a stream") from error
        self._socket, self._url = socket, url
        self._failure: SgnError | None = None
        self._resetting = False
        self._forget()
        self._moved = asyncio.Event()
        self._receiving = asyncio.create_task(self._receive())

    def _forget(self) -> None:
        self._held: list[Float] = []
        self._held_bytes = self._fed = self._came = 0
        self._events: list[PresenceEvent] = []
        self.overload: Counter[str] = Counter()
        self._ended = False

    async def afeed(self, block: Any) -> None:
        """Send a block; waits while the connection is full.

        Parameters
        ----------
        block
            shape = (channels, samples), or (samples,) where channels is 1: floating point of full
            scale 1, or integer PCM.

        Raises
        ------
        AudioError
            For what is none; the block is then not sent.
        OverloadError
            If more than `MOST_HELD` bytes have come that nobody has read; the block is not sent.
        SgnError
            What the server says, or that it is gone.
        """
        self._expect_running()
        if self._held_bytes > MOST_HELD:
            raise OverloadError(
                f"stream: got {self._held_bytes >> 20} MiB that nobody has read, expected less. "
                "Call read() after every block."
            )
        samples = as_samples(block, what="input", channels=self.channels, position=self._fed)
        frames = max(1, PIECE // (4 * self.channels))
        for start in range(0, samples.shape[1], frames):
            await self._send(encoded(samples[:, start : start + frames], self._format))
        self._fed += samples.shape[1]

    def read(self) -> dict[str, Float]:
        """What has come, of each category shape = (channels, samples), also none; never waits.

        Raises
        ------
        SgnError
            What the server says, or that it is gone, once all that came before was read.
        """
        if self._failure is not None and not self._held:
            raise self._failure
        empty = np.zeros((len(self.categories) * self.channels, 0), np.float32)
        rows = np.concatenate([empty, *self._held], axis=1)
        self._held, self._held_bytes = [], 0
        parts = rows.reshape(len(self.categories), self.channels, -1)
        return dict(zip(self.categories, parts, strict=True))

    async def aread(self) -> dict[str, Float]:
        """Wait until there is at least one sample, or the end; then as `read`."""
        await self._until(lambda: bool(self._held))
        return self.read()

    def events(self) -> list[PresenceEvent]:
        """What has appeared and disappeared since the last call."""
        events, self._events = self._events, []
        return events

    async def aclose(self) -> dict[str, Float]:
        """End the signal, wait for the rest and give it, shape = (channels, samples).

        Joined, exactly as many samples have come out then as went in.
        """
        if not self._ended:
            self._expect_running()
            await self._send(json.dumps({"type": "end"}))
            await self._until(lambda: self._ended)
        return self.read()

    async def areset(self) -> None:
        """Forget everything, also what is under way, and begin a new signal."""
        self._expect_running()
        self._resetting = True
        await self._send(json.dumps({"type": "reset"}))
        await self._until(lambda: not self._resetting)
        self._forget()

    async def abort(self) -> None:
        """Drop everything, and the connection."""
        self._resetting = (
            True  # what still comes is taken, as the closing is behind it, and dropped
        )
        await self._socket.close()
        await self._receiving
        self._forget()
        self._ended, self._failure = True, None

    def _expect_running(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._ended:
            raise SgnError("stream: got a call after its end, expected none. Open another stream.")

    async def _send(self, message: str | bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._socket.send(message)
        except ConnectionClosed as error:
            await self._receiving  # what the server said before it closed
            raise self._failure or gone(self._url, error) from error

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so, or nothing more can come."""
        while not condition() and self._failure is None and not self._ended:
            self._moved.clear()
            await self._moved.wait()
        if self._failure is not None and not condition():
            raise self._failure

    async def _receive(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            async for message in self._socket:
                self._take(message)
                self._moved.set()
            if not self._ended:
                raise not_ours("the end of a stream that was not asked for")
        except ConnectionClosed as error:
            if self._failure is None and not self._ended:
                self._failure = gone(self._url, error)
        except SgnError as error:
            if self._failure is None:
                self._failure = error
        finally:
            self._moved.set()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if not self._resetting:
                self._hold(message)
            return
        told = parsed(message)
        match told.get("type"):
            case "presence" if not self._resetting:
                self._events.append(presence_event(told))
            case "overload" if not self._resetting:
                self.overload[str(told.get("kind"))] += 1
            case "error":
                self._failure = failure(told.get("error"))
            case "ended":
                self._end(told)
            case "started":
                self._resetting = False

    def _end(self, told: Mapping[str, Any]) -> None:
        if self._came != self._fed:
            raise not_ours(f"{self._came} samples of {self._fed} (it says {told.get('samples')})")
        self._ended = True

    def _hold(self, message: bytes) -> None:
        rows = len(self.categories) * self.channels
        if len(message) % (rows * (2 if self._format == "s16le" else 4)):
            raise not_ours(f"{len(message)} bytes, which are no whole frames of {rows} channels,")
        self._held.append(decoded(message, rows, self._format))
        self._held_bytes += self._held[-1].nbytes
        self._came += self._held[-1].shape[1]
