"""One live stream of a hub, as its caller has it."""

from __future__ import annotations

import asyncio
import threading
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from sgn_rt._process import OneProcess, closed
from sgn_rt._types import Float
from sgn_rt.audio.samples import as_samples
from sgn_rt.errors import AudioError, LevelWarning, OverloadError, SgnError
from sgn_rt.streaming.hub.flow import Flow
from sgn_rt.streaming.hub.overload import OverloadSpan
from sgn_rt.streaming.hub.switchboard import Switchboard
from sgn_rt.streaming.presence_events import PresenceEvent
from sgn_rt.streaming.settings import StreamSettings


class HubStream(OneProcess):
    """Separates one live signal. Made by `Hub.open`.

    `feed` and `read` wait for nobody: each takes time in proportion to the block, and no lock that
    a thread that computes could hold. At most ``max(0, n - latency_samples)`` samples have come out
    after n went in, and exactly so many where the network is in time; in all as many as went in.
    One thread may feed while another reads.

    Attributes
    ----------
    sample_rate, channels
        Of input and output alike.
    categories
        Names of the sources that come out, in order.
    latency_samples
        Declared and exact latency, at ``sample_rate``.
    """

    def __init__(self, board: Switchboard, settings: StreamSettings) -> None:
        self.sample_rate, self.channels = settings.sample_rate, settings.channels
        self.categories, self.latency_samples = settings.named, settings.latency_samples
        self._board, self._names = board, settings.names
        self._flow = board.open(settings)
        self._is_closed = False
        self._rest: list[dict[str, Float]] = []
        # A client that is gone may well be just an object that nobody holds any more.
        self._current = [self._flow]
        weakref.finalize(self, _abandon, self._current).atexit = False

    @property
    def samples_fed(self) -> int:
        """Samples of the signal that were taken so far."""
        return self._flow.input.written

    @property
    def samples_read(self) -> int:
        """Samples of the signal that were read so far; they count also of no categories."""
        return self._flow.output.read

    @property
    def presence(self) -> dict[str, float]:
        """Highest probability of each category in any window so far, 0 to 1."""
        return self._flow.state.presence

    @property
    def present(self) -> tuple[str, ...]:
        """What counts as present so far, over time (`PresenceRule`)."""
        return self._flow.state.present

    @property
    def overload(self) -> dict[str, int]:
        """Windows of the signal by what an overload did to them.

        ``late``, ``raised`` (0 or 1), ``longer-step``, ``pass-through``; nothing is left out by
        chance: what is not there, has not happened.
        """
        return dict(self._flow.overload)

    @property
    def overload_spans(self) -> tuple[OverloadSpan, ...]:
        """Where in the signal steps were longer, or the mixture passed through."""
        return self._flow.spans()

    def events(self) -> list[PresenceEvent]:
        """What has appeared and disappeared since the last call, in order."""
        events, found = self._flow.events, []
        with suppress(IndexError):
            while True:
                found.append(events.popleft())
        return found

    def feed(self, block: Any) -> None:
        """Take a block of input; waits for nobody.

        Blocks of float32 are copied once, and nothing of their size is allocated; others are
        converted first.

        Parameters
        ----------
        block
            As for `sgn_rt.streaming.stream.Stream.feed`.

        Raises
        ------
        OverloadError
            Where there is no room: the block is so far ahead of the network, or of the reader. It
            is not taken. And where the policy is to raise, once a window was late.
        AudioError
            For the wrong shape or type, or samples that are not finite; the block is not taken.
        EngineError
            Where no engine is left.
        SgnError
            After `close`, and in a forked process.
        """
        flow = self._live()
        if not flow.take(block):
            raise OverloadError(
                f"stream: got a block for which there is no room ({flow.input.filled} samples wait "
                f"of {flow.input.capacity} at most), expected the network and the reader to keep "
                "up. Read what is ready, feed no faster than the signal sounds, in smaller blocks, "
                "or `await afeed()`. The block was not taken."
            )

    async def afeed(self, block: Any) -> None:
        """As `feed`, but waits until there is room.

        Raises
        ------
        AudioError, OverloadError, EngineError, SgnError
            As `feed`; AudioError also for a block that is longer than there ever is room for.
        """
        flow = self._live()
        samples = as_samples(block, what="input", channels=self.channels)
        count, most = samples.shape[1], flow.input.capacity
        if count > most:
            raise AudioError(
                f"input: got a block of {count} samples, expected at most {most}. Feed it in "
                "parts, or open the hub with a larger buffer_s."
            )
        while not self._live().take(samples):
            await self._wait(lambda flow: flow.input.room >= count)

    def read(self) -> dict[str, Float]:
        """Give what is ready, possibly nothing; waits for nobody.

        Returns
        -------
        dict
            Category (and ``residual``, where asked for) -> shape = (channels, ready samples),
            float32.

        Raises
        ------
        OverloadError, EngineError, SgnError
            As `feed`.
        """
        return self._taken(self._live())

    def read_into(self, out: dict[str, Float]) -> int:
        """Write what is ready to arrays of the caller; waits for nobody, allocates no arrays.

        Parameters
        ----------
        out
            Of each name that `read` gives, shape = (channels, samples), float32: as many as fit
            are written, from the first on.

        Returns
        -------
        int
            Samples written.

        Raises
        ------
        AudioError
            For arrays that do not fit.
        OverloadError, EngineError, SgnError
            As `feed`.
        """
        flow = self._live()
        most = flow.ready
        for name in self._names:
            array = out.get(name)
            if array is None or array.dtype != np.float32 or array.ndim != 2:
                raise AudioError(
                    f"out: got {type(array).__name__} for {name!r}, expected a float32 array of "
                    f"shape ({self.channels}, samples). Give one for each of {self._names}."
                )
            if len(array) != self.channels:
                raise AudioError(
                    f"out: got shape {array.shape} for {name!r}, expected ({self.channels}, "
                    "samples). Put channels first."
                )
            most = min(most, array.shape[1])
        flow.copy_to(out, most)
        return most

    async def aread(self) -> dict[str, Float]:
        """As `read`, but waits until there is at least one sample.

        Raises
        ------
        OverloadError, EngineError, SgnError
            As `feed`.
        """
        while not (flow := self._live()).ready:
            await self._wait(lambda flow: flow.ready > 0)
        return self._taken(flow)

    def close(self) -> dict[str, Float]:
        """End the signal, wait for the rest of it, and give that, as `read`; then it is gone.

        With it as many samples have come out as went in. Closing again gives nothing more.

        Raises
        ------
        EngineError, SgnError
            As `feed`; the stream is gone then, too.
        """
        while (waits_for := self._ends()) is not None:
            done = threading.Event()
            waits_for.waiters.append(done.set)
            if not _is_there(waits_for):
                done.wait()
        return self._last()

    async def aclose(self) -> dict[str, Float]:
        """As `close`. Where it is cancelled, the rest is not lost: call it again."""
        while self._ends() is not None:
            await self._wait(_is_there)
        return self._last()

    def abort(self) -> None:
        """Drop everything at once: whoever listened is gone."""
        self._expect_own_process()
        self._is_closed = True
        self._rest.clear()
        self._board.forget(self._flow)

    def reset(self) -> None:
        """Forget everything fed and not read so far, and begin a new signal.

        Raises
        ------
        EngineError, SgnError
            As `feed`.
        """
        self._expect_own_process()
        if self._is_closed:
            raise closed("stream")
        self._rest.clear()
        self._flow = self._current[0] = self._board.again(self._flow)

    def _live(self) -> Flow:
        """The signal that goes on; its error, where there is one."""
        self._expect_own_process()
        flow = self._flow
        if self._is_closed:
            raise closed("stream")
        error = flow.error or flow.late_error
        if error is not None:
            raise error.with_traceback(None)
        if flow.has_ended:
            raise SgnError(
                "stream: got a call while close() waits for the rest, expected none. Call close() "
                "again for the rest, or reset() for a new signal."
            )
        message = flow.said()
        if message is not None:
            warnings.warn(message, LevelWarning, stacklevel=3)
        return flow

    def _taken(self, flow: Flow) -> dict[str, Float]:
        samples = flow.ready
        out = {name: np.empty((self.channels, samples), np.float32) for name in self._names}
        flow.copy_to(out, samples)
        return out

    def _ends(self) -> Flow | None:
        """End the signal, take what is there of the rest; the signal while there is more."""
        self._expect_own_process()
        flow = self._flow
        if self._is_closed:
            return None
        if not flow.has_ended:
            flow.end()
        if flow.error is not None:
            self.abort()
            raise flow.error.with_traceback(None)
        is_done = flow.is_done  # before what is ready is seen
        if flow.ready:
            self._rest.append(self._taken(flow))
        return None if is_done else flow

    def _last(self) -> dict[str, Float]:
        """All of the rest, and the stream is gone."""
        parts = {name: [np.empty((self.channels, 0), np.float32)] for name in self._names}
        for piece in self._rest:
            for name, block in piece.items():
                parts[name].append(block)
        self.abort()
        return {name: np.concatenate(blocks, axis=1) for name, blocks in parts.items()}

    async def _wait(self, is_there: Callable[[Flow], bool]) -> None:
        """Wait for a change of the signal, unless what is waited for is there already."""
        flow, loop = self._flow, asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        waiter = partial(_call, loop, future)
        flow.waiters.append(waiter)
        try:
            if not (is_there(flow) or flow.is_over or flow.error or flow.late_error):
                await future
        finally:
            with suppress(ValueError, IndexError):  # it has been called, or is being called
                flow.waiters.remove(waiter)


def _is_there(flow: Flow) -> bool:
    """Whether whoever waits for the rest has something to do."""
    return flow.ready > 0 or flow.is_done or flow.is_over or flow.error is not None


def _abandon(current: list[Flow]) -> None:
    current[0].abandon()


def _call(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(_settle, future)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
