"""Live streams by number: blocks of each in their order, all of one hub, stale ones dropped.

Triton tells a model that a sequence begins and ends, and never that it was given up: a client that
is gone, or idle for too long, leaves its stream here. So those that nobody has fed for a while are
dropped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgn_rt._process import closed
from sgn_rt._types import Float
from sgn_rt.errors import ConfigError, OverloadError, SgnError
from sgn_rt.separator import Separator
from sgn_rt.serving.triton.wire import STREAM_OPTIONS
from sgn_rt.streaming.hub.hub_stream import HubStream
from sgn_rt.streaming.output import RESIDUAL

log = logging.getLogger(__name__)

MOST_AHEAD_S: Final = 60.0
"""Sound of a stream that may wait for the network; a block that comes to none waiting is taken,
however long."""
PIECE_S: Final = 1.0
"""Of a block that is fed at a time; a hub takes some seconds at most."""
NEVER_S: Final = 1e9
"""Deadline of windows: who waits for an answer hears from it how late it is."""


class Block(NamedTuple):
    """What a request brings.

    Attributes
    ----------
    audio
        shape = (channels, samples).
    options
        Of a stream that begins; None in one that goes on.
    end
        Whether the signal ends with this block.
    abort
        Whether what is left of it is not wanted.
    """

    audio: Float
    options: Mapping[str, Any] | None = None
    end: bool = False
    abort: bool = False


class LiveAnswer(NamedTuple):
    """What a block brings forth.

    Attributes
    ----------
    sources
        What is ready, shape = (S, channels, samples).
    presence, present
        So far: highest probability of each category, and what counts as present, shape = (C,).
    latency_samples
        Of the stream.
    """

    sources: Float
    presence: Float
    present: NDArray[np.bool_]
    latency_samples: int


Tell = Callable[[LiveAnswer | SgnError], object]
"""Told once for each block, in the order of the stream's blocks."""


class _Live:
    """A stream, and blocks that wait for it; answered one at a time."""

    def __init__(self, options: Mapping[str, Any], now: float) -> None:
        self.options, self.touched = options, now
        self.waiting: deque[tuple[Block, Tell]] = deque()
        self.waiting_samples = 0
        self.is_working = self.has_failed = False
        self.stream: HubStream | None = None
        self.names: tuple[str, ...] = ()

    def drop(self) -> None:
        """Nobody wants it any more."""
        if self.stream is not None:
            self.stream.abort()


class LiveService:
    """Streams of a separator: windows of all of them that wait share the engine's calls.

    A block is answered when all that is due by then has come. One thread does all but the network.

    Parameters
    ----------
    separator
        Makes them; its owner closes it.
    idle_s
        A stream that is not fed for so long is dropped.
    clock
        Seconds; for tests.
    """

    def __init__(
        self,
        separator: Separator,
        *,
        idle_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub = separator.hub(deadline_s=NEVER_S, overload="raise")
        self._idle_s, self._clock = idle_s, clock
        self._streams: dict[int, _Live] = {}
        self._at_work: set[Future[None]] = set()
        self._lock, self._is_closed = threading.Lock(), False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="sgn-rt-live", daemon=True
        )
        self._thread.start()

    @property
    def streams(self) -> int:
        """Streams that are held."""
        return len(self._streams)

    def close(self) -> None:
        """Finish what waits, and drop all streams."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        wait(list(self._at_work))
        self._hub.close()
        self._streams.clear()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def take(self, number: int, block: Block, tell: Tell) -> None:
        """Take a block of stream ``number``; never waits for the network.

        What goes wrong with it is told, not raised; a stream whose options cannot be had, or whose
        engine failed, is gone then.

        Raises
        ------
        SgnError
            After `close`.
        """
        now = self._clock()
        self.drop_stale(now)
        with self._lock:
            if self._is_closed:
                raise closed("live")
            if block.options is not None:
                self._streams[number] = _Live(block.options, now)  # of an older one nobody knows
            live = self._streams.get(number)
            refused = _unknown() if live is None else _too_far_ahead(live, block)
            if live is not None and refused is None:
                live.touched = now
                live.waiting.append((block, tell))
                live.waiting_samples += block.audio.shape[-1]
                if block.end:
                    del self._streams[number]
                if not live.is_working:
                    live.is_working = True
                    work = asyncio.run_coroutine_threadsafe(self._work(number, live), self._loop)
                    self._at_work.add(work)
                    work.add_done_callback(self._at_work.discard)
        if refused is not None:
            tell(refused)

    def drop_stale(self, now: float | None = None) -> int:
        """Drop streams that nobody feeds; how many those were."""
        oldest = (self._clock() if now is None else now) - self._idle_s
        with self._lock:
            stale = [number for number, live in self._streams.items()
                     if live.touched < oldest and not live.is_working]  # fmt: skip
            for number in stale:
                self._streams.pop(number).drop()
        if stale:
            log.info("%d streams dropped that got no block for %g s", len(stale), self._idle_s)
        return len(stale)

    async def _work(self, number: int, live: _Live) -> None:
        """Answer the blocks that wait, until there are none."""
        while True:
            with self._lock:
                if not live.waiting:
                    live.is_working = False
                    return
                block, tell = live.waiting.popleft()
                live.waiting_samples -= block.audio.shape[-1]
            try:
                answer: LiveAnswer | SgnError = await self._answer(live, block)
            except SgnError as error:
                answer = error
                self._forget(number, live)
            except Exception as error:  # whoever waits for an answer has to get one
                log.exception("a live stream failed")
                answer = SgnError(
                    f"live: got {type(error).__name__}: {error}, expected an answer. "
                    "Please report it, and begin a new stream."
                )
                self._forget(number, live)
            tell(answer)

    async def _answer(self, live: _Live, block: Block) -> LiveAnswer:
        if live.has_failed:
            raise _unknown()
        if live.stream is None:
            options = _checked(live.options)
            live.stream = self._hub.open(**options)
            live.names = live.stream.categories
            if options.get("residual"):
                live.names += (RESIDUAL,)
        stream = live.stream
        pieces = [] if block.abort else await _heard(stream, block.audio)
        if block.abort:
            stream.abort()
        elif block.end:
            pieces.append(await stream.aclose())
        ready = [np.stack([piece[name] for name in live.names]) for piece in pieces if live.names]
        empty = np.zeros((len(live.names), stream.channels, 0), np.float32)
        presence = np.array([*stream.presence.values()], np.float32)
        present = np.array([name in stream.present for name in stream.presence])
        sources = np.concatenate([empty, *ready], axis=-1)
        return LiveAnswer(sources, presence, present, stream.latency_samples)

    def _forget(self, number: int, live: _Live) -> None:
        with self._lock:
            if self._streams.get(number) is live:
                del self._streams[number]
            live.has_failed = True
        live.drop()


async def _heard(stream: HubStream, audio: Float) -> list[dict[str, Float]]:
    """Feed a block, and wait for all that is due by then."""
    piece = round(PIECE_S * stream.sample_rate)
    pieces = []
    for start in range(0, max(1, audio.shape[-1]), piece):
        await stream.afeed(audio[:, start : start + piece])
        pieces.append(stream.read())
    while stream.samples_read < stream.samples_fed - stream.latency_samples:
        pieces.append(await stream.aread())
    return pieces


def _unknown() -> SgnError:
    return SgnError(
        "live: got a block of a stream that is not known, expected one that has begun: it failed, "
        "ended, or was fed too late. Begin a new one, whose first request has the flag START."
    )


def _too_far_ahead(live: _Live, block: Block) -> SgnError | None:
    rate = live.options.get("sample_rate")
    most = MOST_AHEAD_S * rate if type(rate) is int else 0
    if not live.waiting or block.end or live.waiting_samples + block.audio.shape[-1] <= most:
        return None
    return OverloadError(
        f"live: got a block while {live.waiting_samples} samples wait, expected at most "
        f"{MOST_AHEAD_S:g} s of sound to wait for the network. The block was not taken: send it "
        "again when earlier ones are answered."
    )


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a stream, by the names that there are; what they are is the stream's to check."""
    unknown = sorted(set(options) - set(STREAM_OPTIONS))
    if unknown or "sample_rate" not in options:
        raise ConfigError(
            f"live: got parameters {', '.join(sorted(options)) or 'none'}, expected sample_rate, "
            f"and others of {', '.join(STREAM_OPTIONS)}. Send them with the first request."
        )
    return dict(options)
