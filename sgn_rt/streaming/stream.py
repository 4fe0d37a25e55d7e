"""Streaming separation: the one algorithm, of which separating a file is the special case.

Windows of the network are laid on the signal (`layout`), computed side by side, cross-faded, and
brought to the caller's rate. Which windows there are, what each sees, and which spans are converted
depends on the position in the signal alone, never on the blocks in which it comes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from itertools import chain
from math import ceil, floor
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from sgn_rt._types import Float, Positions, Separated
from sgn_rt.audio.resample import SpanResampler
from sgn_rt.errors import AudioError, CategoryError, SgnError
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.buffers import Queue, Signal
from sgn_rt.streaming.windows import place

RESIDUAL = "residual"
"""Key of what is left of the mixture when the separated sources are taken away."""

LOUDEST = 1e9
"""Magnitude up to which a power spectrum fits float32; no sound is a billion times full scale."""


ROUND_BYTES = 128 << 20
"""Of the answers of a round of windows, where an engine would like large batches."""


class InService(Protocol):
    """What a stream wants to know of the engine that takes the next window."""

    name: str
    concurrency: int
    batch: int


class Separates(Protocol):
    """What a stream needs of an engine: answers, and which engine gave each."""

    @property
    def active(self) -> InService:
        """The engine that takes the next window."""
        ...

    def separate(self, mixture: Float, categories: Positions) -> tuple[Separated, InService]:
        """Separate windows [B, N]."""
        ...


class _Job(NamedTuple):
    """A window of one channel [N], and the part [start, stop) of the answer that is heard."""

    mixture: Float
    start: int
    stop: int


class _Heard(NamedTuple):
    """The answer: sources [S, stop - start], presence [C], name of the engine."""

    sources: Float
    presence: Float
    engine: str


class _Round(NamedTuple):
    """Windows [first, last) in work; their answers, channel by channel, as they come."""

    first: int
    last: int
    answers: Iterable[_Heard]


class _Conversion(NamedTuple):
    """Spans of the output in work: the mixture of each, for the residual, and rows as they come."""

    spans: list[tuple[int, int]]
    mixtures: list[Float]
    rows: Iterator[Float]


class Stream:
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
    """

    def __init__(
        self,
        engine: Separates,
        config: ModelConfig,
        pool: Executor,
        *,
        sample_rate: int,
        channels: int,
        categories: Sequence[str],
        latency_s: float | None = None,
        residual: bool = False,
    ) -> None:
        if residual and RESIDUAL in categories:
            raise CategoryError(
                f"categories: got {RESIDUAL!r} among them, expected another name, as the residual "
                "goes by it. Leave one of both out."
            )
        self.sample_rate = sample_rate
        self.channels = channels
        self.categories = tuple(categories)
        self._engine, self._config, self._pool = engine, config, pool
        self._positions = np.array(
            [config.categories.index(name) for name in categories], dtype=np.int64
        )
        self._residual = residual
        self._to_model = SpanResampler(sample_rate, config.sample_rate)
        self._from_model = SpanResampler(config.sample_rate, sample_rate)
        self._layout, self.latency_samples = place(
            config, sample_rate, self._to_model.context_s, latency_s
        )
        self._rise = self._layout.rise
        self.reset()

    def reset(self) -> None:
        """Forget everything fed so far, and start a new signal."""
        sources = len(self._positions)
        self._fed = 0
        self._emitted = 0
        self._begun = 0
        self._windows = 0
        self._windows_joined = 0
        self._rounds: deque[_Round] = deque()
        self._conversions: deque[_Conversion] = deque()
        self._converted = 0
        self._collected = 0
        self._ended = False
        self._finished = False
        self._raw = Signal(self.channels)
        self._input = Signal(self.channels)
        self._tail: Float = np.zeros((self.channels, sources, self._layout.fade), np.float32)
        self._separated = Signal(self.channels, sources)
        self._ready = Queue(sources + self._residual, self.channels)
        self._presence = np.zeros(len(self._config.categories), np.float32)
        self._engines: Counter[str] = Counter()

    @property
    def presence(self) -> dict[str, float]:
        """Highest probability of each category in any window so far, 0 to 1."""
        return dict(zip(self._config.categories, self._presence.tolist(), strict=True))

    @property
    def engines(self) -> Mapping[str, int]:
        """Windows computed so far, by the engine that did."""
        return dict(self._engines)

    @property
    def round_samples(self) -> int:
        """Block size, samples, that gives the engine as many windows side by side as it likes."""
        seconds = Fraction(self._per_round() * self._layout.step, self._config.sample_rate)
        return ceil(seconds * self.sample_rate)

    def _per_round(self) -> int:
        engine = self._engine.active
        least = 2 * engine.concurrency
        liked = max(2, engine.concurrency) * engine.batch  # half a round is a full batch
        fit = ROUND_BYTES // (4 * self._config.window_samples * max(1, len(self._positions)))
        return max(1, max(least, min(liked, fit)) // self.channels)

    def feed(self, block: ArrayLike) -> dict[str, Float]:
        """Take a block of input and give what is ready.

        Parameters
        ----------
        block
            shape = (channels, samples), or (samples,) where channels is 1; any number of samples,
            also none; floating point of full scale 1. It is not kept.

        Returns
        -------
        dict
            Category (and ``residual``, where asked for) -> shape = (channels, ready samples),
            float32.

        Raises
        ------
        AudioError
            For the wrong shape, or samples that are not finite; the block is then not taken.
        EngineError
            If every engine fails on a window; the block is taken, and its output comes with the
            next call that succeeds.
        """
        self._advance(self._take(block))
        return self._emit(self._fed - self.latency_samples)

    def feed_ahead(self, block: ArrayLike) -> list[dict[str, Float]]:
        """As `feed`, for a signal that is at hand: the processors go on while the caller does.

        The block's windows are still in work when it returns. What it gives is what was ready, in
        pieces of any length, later than `feed` would; `flush_ahead` brings the rest.
        """
        self._advance(self._take(block), ahead=1)
        return self._pieces()

    def flush_ahead(self) -> list[dict[str, Float]]:
        """As `flush`, in pieces."""
        self._end()
        return self._pieces()

    def flush(self) -> dict[str, Float]:
        """End the signal and give all that is left of it; then only `reset` is of use.

        Returns
        -------
        dict
            As `feed`; after it as many samples have come out as went in.
        """
        self._end()
        return self._emit(self._fed)

    def _end(self) -> None:
        self._ended = True
        if not self._finished:
            length = ceil(self._fed * self._to_model.ratio)
            whole = self._windows
            while self._layout.stop(whole) <= length:
                whole += 1
            self._advance(whole)
            self._finish(length)
            self._finished = True

    def _take(self, block: ArrayLike) -> int:
        """Take a block; the number of windows that can be computed with it."""
        if self._ended:
            raise SgnError(
                "stream: got a block after flush, expected none. Call reset() for a new signal."
            )
        samples = self._check(block)
        self._fed += samples.shape[1]
        self._raw.append(samples.copy())
        ready = self._windows
        while self._to_model.source_span(0, self._layout.stop(ready))[1] <= self._fed:
            ready += 1
        return ready

    def _check(self, block: ArrayLike) -> Float:
        try:
            samples = np.asarray(block)
        except ValueError as error:
            raise AudioError(
                f"block: got channels of different lengths, expected ({self.channels}, samples). "
                "Pad them to one length."
            ) from error
        if samples.ndim == 1 and self.channels == 1:
            samples = samples[None]
        if samples.ndim != 2 or len(samples) != self.channels:
            raise AudioError(
                f"block: got shape {samples.shape}, expected ({self.channels}, samples). "
                "Put channels first."
            )
        if samples.dtype.kind != "f":
            raise AudioError(
                f"block: got {samples.dtype} samples, expected floating point of full scale 1. "
                "Divide integer PCM by its full scale."
            )
        with np.errstate(over="ignore"):
            samples = samples.astype(np.float32, copy=False)
        wrong = ~(np.abs(samples) <= LOUDEST)  # so that it is true of nan
        if wrong.any():
            channel, position = np.argwhere(wrong)[0]
            raise AudioError(
                f"input: got {samples[channel, position]} in channel {channel} at sample "
                f"{self._fed + position}, expected finite numbers of full scale 1. "
                "Repair the recording."
            )
        return samples

    def _advance(self, windows: int, ahead: int = 0) -> None:
        """Compute windows up to number ``windows``, a few at a time, and all that follows.

        Parameters
        ----------
        windows
            How many there will be.
        ahead
            Rounds of windows, and of conversions, that may still be in work at the end.
        """
        size = max(1, self._per_round() // (1 + ahead))  # rounds in work share the memory of one
        while self._begun < windows:
            self._begin(min(windows, self._begun + size))
            self._settle(ahead)
        self._settle(ahead)

    def _begin(self, last: int) -> None:
        layout = self._layout
        jobs: list[_Job] = []
        for index in range(self._begun, last):
            start = layout.final(index - 1) - layout.start(index)
            stop = layout.final(index) + layout.fade - layout.start(index)
            self._extend_input(layout.stop(index))
            jobs += [_Job(m, start, stop) for m in self._window(layout.start(index))]
        self._rounds.append(_Round(self._begun, last, self._separate(jobs)))
        self._begun = last

    def _settle(self, ahead: int) -> None:
        while len(self._rounds) > ahead:
            self._join(self._rounds[0])
            self._rounds.popleft()
        while len(self._conversions) > ahead:
            self._collect()

    def _join(self, work: _Round) -> None:
        """Wait for a round of windows, and append what they say to the separated signal."""
        layout = self._layout
        try:
            answers = list(work.answers)
        except BaseException:
            # So that the next call computes them again.
            self._rounds.clear()
            self._begun = self._windows
            raise
        spans = []
        for index in range(work.first, work.last):
            sources = self._faded_in(answers[(index - work.first) * self.channels :])
            size = layout.final(index) - layout.final(index - 1)
            self._tail = sources[..., size:]
            self._separated.append(sources[..., :size])
            spans.append((self._converted, self._settled(index)))
            self._converted = self._settled(index)
        self._windows = work.last
        self._convert(spans)
        self._input.drop_before(layout.start(work.last - 1))
        oldest, _ = self._to_model.source_span(self._input.stop, self._input.stop + 1)
        self._raw.drop_before(min(oldest, self._converted) if self._residual else oldest)

    def _finish(self, length: int) -> None:
        """Cover the end of the signal by a window that ends there.

        Parameters
        ----------
        length
            Of the signal, samples at the model's rate.
        """
        done = self._layout.final(self._windows - 1)
        if done < length:
            self._extend_input(length)
            start = max(length - self._layout.window, self._layout.start(0))
            jobs = [_Job(m, done - start, length - start) for m in self._window(start)]
            self._separated.append(self._faded_in(list(self._separate(jobs))))
        self._convert([(self._converted, self._fed)])
        self._converted = self._fed
        self._collect()

    def _extend_input(self, stop: int) -> None:
        have = self._input.stop
        if have < stop:
            span = self._raw.span(*self._to_model.source_span(have, stop))
            self._input.append(self._to_model(span, have, stop))

    def _window(self, start: int) -> Float:
        """A window of the input, shape = (channels, N).

        What lies before the signal, or beyond it, is filled with the window's own sound, mirrored:
        the network has learnt on windows full of sound, and separates them better than half-empty
        ones.
        """
        low, high = max(start, 0), min(start + self._layout.window, self._input.stop)
        missing = (low - start, start + self._layout.window - high)
        return np.pad(self._input.span(low, high), ((0, 0), missing), mode="symmetric")

    def _separate(self, jobs: list[_Job]) -> Iterable[_Heard]:
        engine = self._engine.active
        batches = [jobs[i : i + engine.batch] for i in range(0, len(jobs), engine.batch)]
        side_by_side = engine.concurrency > 1
        answers = (self._pool.map if side_by_side else map)(self._answer, batches)
        return chain.from_iterable(answers)

    def _answer(self, jobs: list[_Job]) -> list[_Heard]:
        mixture = np.stack([job.mixture for job in jobs])
        result, engine = self._engine.separate(mixture, self._positions)
        # Copies, as a view would hold on to the rest of the window.
        return [
            _Heard(sources[:, job.start : job.stop].copy(), presence, engine.name)
            for job, sources, presence in zip(jobs, result.sources, result.presence, strict=True)
        ]

    def _faded_in(self, channels: list[_Heard]) -> Float:
        """The next window over all channels, [channels, S, samples], cross-faded with the last."""
        channels = channels[: self.channels]
        for channel in channels:
            np.maximum(self._presence, channel.presence, out=self._presence)
            self._engines[channel.engine] += 1
        sources = np.stack([channel.sources for channel in channels])
        fade = min(self._layout.fade, sources.shape[-1])
        if self._windows_joined and fade:
            rise = self._rise[:fade]
            head, tail = sources[..., :fade], self._tail[..., :fade]
            head -= tail
            head *= rise
            head += tail
        self._windows_joined += 1
        return sources

    def _convert(self, spans: list[tuple[int, int]]) -> None:
        """Begin to bring spans of the separated signal to the caller's rate."""
        jobs, mixtures = [], []
        for start, stop in spans:
            needed = self._separated.span(*self._from_model.source_span(start, stop))
            jobs += [(needed[:, row], start, stop) for row in range(len(self._positions))]
            if self._residual:
                mixtures.append(self._raw.span(start, stop))
        rows = self._pool.map(lambda job: self._from_model(*job), jobs)
        self._conversions.append(_Conversion(spans, mixtures, rows))
        oldest, _ = self._from_model.source_span(self._converted, self._converted + 1)
        self._separated.drop_before(oldest)

    def _collect(self) -> None:
        """Wait for the oldest conversion, and put it in the queue."""
        work = self._conversions.popleft()
        for number, (_, stop) in enumerate(work.spans):
            rows = [next(work.rows) for _ in self._positions]
            if self._residual:
                rows.append(work.mixtures[number] - sum(rows))
            if rows:
                self._ready.put(rows)
            self._collected = stop

    def _settled(self, index: int) -> int:
        """Samples at the caller's rate that no window after ``index`` changes."""
        final = Fraction(self._layout.final(index), self._config.sample_rate)
        return max(0, floor((final - self._from_model.context_s) * self.sample_rate))

    def _emit(self, until: int) -> dict[str, Float]:
        """What is ready up to sample ``until`` of the signal."""
        samples = max(0, until - self._emitted)
        self._emitted += samples
        return self._named(self._ready.take(samples))

    def _pieces(self) -> list[dict[str, Float]]:
        """What is ready, without joining it."""
        self._emitted = self._collected
        return [self._named(block) for block in self._ready.drain()]

    def _named(self, rows: list[Float]) -> dict[str, Float]:
        names = (*self.categories, RESIDUAL) if self._residual else self.categories
        return dict(zip(names, rows, strict=True))
