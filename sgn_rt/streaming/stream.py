"""Streaming separation: the one algorithm, of which separating a file is the special case.

A signal's windows (`state`) are computed side by side (`rounds`). Which windows there are, what
each sees, and which spans are converted depends on the position in the signal alone, never on the
blocks in which it comes.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from itertools import islice
from math import ceil
from typing import Any, NamedTuple

from sgn_rt._process import OneProcess
from sgn_rt._types import Float
from sgn_rt.audio.samples import as_samples
from sgn_rt.errors import LevelWarning, SgnError
from sgn_rt.streaming.answers import Separates
from sgn_rt.streaming.jobs import Heard, Job
from sgn_rt.streaming.rounds import Rounds
from sgn_rt.streaming.settings import StreamSettings
from sgn_rt.streaming.state import StreamState, Window


class _Round(NamedTuple):
    """Windows in work; what is heard of them, channel by channel, as it comes."""

    windows: list[Window]
    heard: Iterable[Heard]


class Stream(OneProcess):
    """Separates a live signal: `feed` blocks of any size, then `flush`.

    After n samples in, exactly ``max(0, n - latency_samples)`` are out; `flush` brings the rest.
    Joined, the outputs are those of separating the whole signal at once with the same layout, bit
    for bit; but for engines that take several windows at a time (`Engine.batch`), whose kernels may
    round otherwise for another number of them. Belongs to one caller at a time. Made by
    `Separator.stream`.

    Attributes
    ----------
    sample_rate, channels
        Of input and output alike.
    categories
        Names of the sources that come out, in order.
    latency_samples
        Declared and exact latency, at ``sample_rate``.
    gain_db
        On what the network sees; taken off the sources again.
    """

    _finds = False

    def __init__(self, engine: Separates, pool: Executor, settings: StreamSettings) -> None:
        self.sample_rate, self.channels = settings.sample_rate, settings.channels
        self.gain_db = settings.gain_db
        self._engine, self._config, self._pool = engine, settings.config, pool
        self._settings = settings
        self.latency_samples = self._settings.latency_samples
        self.reset()

    def reset(self) -> None:
        """Forget everything fed so far, and start a new signal."""
        self._expect_own_process()
        self._state = StreamState(self._settings, self._pool.map, self._look)
        self._rounds_of = Rounds(self._engine, self._pool, finds=self._finds)
        self._rounds: deque[_Round] = deque()
        self._finished = False

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the sources that come out, in order."""
        return tuple(self._state.output.tracks)

    @property
    def begins(self) -> dict[str, int]:
        """First sample of each source that comes out; 0 where all were named."""
        return {name: track.start for name, track in self._state.output.tracks.items()}

    @property
    def presence(self) -> dict[str, float]:
        """Highest probability of each category in any window so far, 0 to 1."""
        return self._state.presence

    @property
    def present(self) -> tuple[str, ...]:
        """What counts as present so far, over time (`PresenceRule`)."""
        return self._state.present

    @property
    def engines(self) -> Mapping[str, int]:
        """Windows computed so far, by the engine that did."""
        return dict(self._state.engines)

    @property
    def round_samples(self) -> int:
        """Block size, samples, that gives the engine as many windows side by side as it likes."""
        step = self._settings.layout.step
        seconds = Fraction(self._per_round() * step, self._config.sample_rate)
        return ceil(seconds * self.sample_rate)

    def _per_round(self) -> int:
        return self._rounds_of.windows(
            self._config.window_samples,
            # A source is there at the model's rate, and at the caller's.
            rows=len(self._state.names) * (1 + float(self._settings.from_model.ratio)),
            held_bytes=self._held_bytes(),
            channels=self.channels,
        )

    def _held_bytes(self) -> int:
        """What more is held of a window of one channel while it is in work."""
        return 0

    def feed(self, block: Any) -> dict[str, Float]:
        """Take a block of input and give what is ready.

        Parameters
        ----------
        block
            shape = (channels, samples), or (samples,) where channels is 1; any number of samples,
            also none; floating point of full scale 1, or integer PCM
            (`sgn_rt.audio.samples.as_samples`). It is not kept.

        Returns
        -------
        dict
            Category (and ``residual``, where asked for) -> shape = (channels, ready samples),
            float32.

        Raises
        ------
        AudioError
            For the wrong shape or type, or samples that are not finite; the block is then not
            taken.
        EngineError
            If every engine fails on a window; the block is taken, and its output comes with the
            next call that succeeds.
        """
        self._take(block)
        self._advance()
        return self._state.emit(self._state.fed - self.latency_samples)

    def feed_ahead(self, block: Any, *, checked: bool = False) -> list[dict[str, Float]]:
        """As `feed`, for a signal that is at hand: the processors go on while the caller does.

        The block's windows are still in work when it returns. What it gives is what was ready, in
        pieces of any length, later than `feed` would; `flush_ahead` brings the rest. A block that
        is ``checked`` comes from `as_samples`, and stays as it is.
        """
        self._take(block, checked=checked)
        self._advance(ahead=1)
        return self._state.pieces()

    def flush_ahead(self) -> list[dict[str, Float]]:
        """As `flush`, in pieces."""
        self._end()
        return self._state.pieces()

    def flush(self) -> dict[str, Float]:
        """End the signal and give all that is left of it, as `feed`; then only `reset` is of use.

        After it as many samples have come out as went in.
        """
        self._end()
        return self._state.emit(self._state.fed)

    def _end(self) -> None:
        self._expect_own_process()
        self._state.end()
        if not self._finished:
            self._advance()
            self._state.finish()
            self._finished = True

    def _take(self, block: Any, *, checked: bool = False) -> None:
        self._expect_own_process()
        state = self._state
        if state.ended:
            raise SgnError(
                "stream: got a block after flush, expected none. Call reset() for a new signal."
            )
        if not checked:
            block = as_samples(block, what="input", channels=self.channels, position=state.fed)
        message = state.take(block)
        if message is not None:
            warnings.warn(message, LevelWarning, stacklevel=3)

    def _advance(self, ahead: int = 0) -> None:
        """Compute what windows there are, a few at a time, and all that follows.

        ``ahead`` rounds of windows, and of conversions, may still be in work at the end.
        """
        # Rounds in work share the memory of one.
        size = max(1, self._per_round() // (1 + ahead))
        while windows := list(islice(iter(self._state.begin, None), size)):
            jobs = [job for window in windows for job in window.jobs]
            self._rounds.append(_Round(windows, self._hear(jobs)))
            self._settle(ahead)
            size = max(1, self._per_round() // (1 + ahead))
        self._settle(ahead)

    def _hear(self, jobs: list[Job]) -> Iterable[Heard]:
        return self._rounds_of.begin(jobs, self._settings.positions(self.categories))

    def _settle(self, ahead: int) -> None:
        output = self._state.output
        while len(self._rounds) > ahead:
            before = output.in_work
            self._join(self._rounds[0])
            self._rounds.popleft()
            output.collect(leave=ahead * (output.in_work - before))
        if not ahead:
            output.collect()

    def _join(self, work: _Round) -> None:
        """Wait for a round of windows, and add them to what is separated."""
        try:
            heard = list(work.heard)
        except BaseException:
            # So that the next call computes them again.
            self._rounds.clear()
            self._state.rewind()
            raise
        channels = self.channels
        for number, window in enumerate(work.windows):
            self._state.add(window, heard[number * channels : (number + 1) * channels])

    def _look(self, index: int, heard: Sequence[Heard]) -> None:
        """Nothing to look for: the categories are named."""
