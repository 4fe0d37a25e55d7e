"""Streaming separation: the one algorithm, of which separating a file is the special case.

Windows of the network are laid on the signal (`windows`), computed side by side (`rounds`),
cross-faded (`track`), and brought to the caller's rate (`output`). Which windows there are, what
each sees, and which spans are converted depends on the position in the signal alone, never on the
blocks in which it comes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np

from sgn_rt._process import OneProcess
from sgn_rt._types import Float, SampleFormat
from sgn_rt.audio.level import RunningLevel, TrainingLevel
from sgn_rt.audio.samples import as_samples
from sgn_rt.errors import CategoryError, SgnError
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.answers import Separates
from sgn_rt.streaming.intake import Intake
from sgn_rt.streaming.output import RESIDUAL, Output
from sgn_rt.streaming.presence import PresenceRule, PresenceTracker
from sgn_rt.streaming.rounds import Heard, Job, Rounds
from sgn_rt.streaming.track import Track
from sgn_rt.streaming.windows import place


class _Round(NamedTuple):
    """Windows [first, last) in work; what is heard of them, channel by channel, as it comes."""

    first: int
    last: int
    heard: Iterable[Heard]


class Stream(OneProcess):  # over 300 lines with the docstrings of what users call
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

    def __init__(
        self,
        engine: Separates,
        config: ModelConfig,
        pool: Executor,
        *,
        sample_rate: int,
        channels: int,
        categories: Sequence[str],
        rule: PresenceRule,
        latency_s: float | None = None,
        residual: bool = False,
        gain_db: float = 0.0,
        training_level: TrainingLevel | None = None,
        sample_format: SampleFormat = "float32",
    ) -> None:
        if residual and RESIDUAL in categories:
            raise CategoryError(
                f"categories: got {RESIDUAL!r} among them, expected another name, as the residual "
                "goes by it. Leave one of both out."
            )
        self.sample_rate, self.channels, self.gain_db = sample_rate, channels, gain_db
        self._named = tuple(categories)
        self._engine, self._config, self._pool = engine, config, pool
        self._residual, self._rule, self._training_level = residual, rule, training_level
        self._sample_format = sample_format
        self._to_model = engine.resampler(sample_rate, config.sample_rate)
        self._from_model = engine.resampler(config.sample_rate, sample_rate)
        context_s = max(self._to_model.context_s, self._from_model.context_s)
        self._layout, self.latency_samples = place(config, sample_rate, context_s, latency_s)
        self.reset()

    def reset(self) -> None:
        """Forget everything fed so far, and start a new signal."""
        self._expect_own_process()
        gain = 10.0 ** (self.gain_db / 20.0)
        window = max(1, round(self._config.window_s * self.sample_rate))
        level = RunningLevel(self._training_level, window, self.gain_db)
        self._intake = Intake(self._layout, self._to_model, self.channels, gain, level)
        self._rounds_of = Rounds(
            self._engine, self._pool, gain, finds=self._finds, sample_format=self._sample_format
        )
        self._output = Output(self._from_model, self._pool)
        step_s = self._layout.step / self._config.sample_rate
        self._tracker = PresenceTracker(self._rule, self._config.categories, step_s)
        for name in self._named:
            self._output.tracks[name] = Track(self._layout, self.channels)
        self._rounds: deque[_Round] = deque()
        self._emitted = self._begun = self._windows = 0
        self._ended = self._finished = False
        self._engines: Counter[str] = Counter()

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the sources that come out, in order."""
        return tuple(self._output.tracks)

    @property
    def begins(self) -> dict[str, int]:
        """First sample of each source that comes out; 0 where all were named."""
        return {name: track.start for name, track in self._output.tracks.items()}

    @property
    def presence(self) -> dict[str, float]:
        """Highest probability of each category in any window so far, 0 to 1."""
        return dict(zip(self._config.categories, self._tracker.highest.tolist(), strict=True))

    @property
    def present(self) -> tuple[str, ...]:
        """What counts as present so far, over time (`PresenceRule`)."""
        known = zip(self._config.categories, self._tracker.present, strict=True)
        return tuple(name for name, is_present in known if is_present)

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
        return self._rounds_of.windows(
            self._config.window_samples,
            # A source is there at the model's rate, and at the caller's.
            rows=(len(self.categories) + self._residual) * (1 + float(self._from_model.ratio)),
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
        self._advance(self._take(block))
        return self._emit(self._intake.fed - self.latency_samples)

    def feed_ahead(self, block: Any, *, checked: bool = False) -> list[dict[str, Float]]:
        """As `feed`, for a signal that is at hand: the processors go on while the caller does.

        The block's windows are still in work when it returns. What it gives is what was ready, in
        pieces of any length, later than `feed` would; `flush_ahead` brings the rest. A block that
        is ``checked`` comes from `as_samples`, and stays as it is.
        """
        self._advance(self._take(block, checked=checked), ahead=1)
        return self._pieces()

    def flush_ahead(self) -> list[dict[str, Float]]:
        """As `flush`, in pieces."""
        self._end()
        return self._pieces()

    def flush(self) -> dict[str, Float]:
        """End the signal and give all that is left of it, as `feed`; then only `reset` is of use.

        After it as many samples have come out as went in.
        """
        self._end()
        return self._emit(self._intake.fed)

    def _end(self) -> None:
        self._expect_own_process()
        self._ended = True
        if not self._finished:
            whole = self._windows
            while self._layout.stop(whole) <= self._intake.length:
                whole += 1
            self._advance(whole)
            self._finish()
            self._finished = True

    def _take(self, block: Any, *, checked: bool = False) -> int:
        """Take a block; the number of windows that can be computed with it."""
        self._expect_own_process()
        if self._ended:
            raise SgnError(
                "stream: got a block after flush, expected none. Call reset() for a new signal."
            )
        if not checked:
            fed = self._intake.fed
            block = as_samples(block, what="input", channels=self.channels, position=fed)
        self._intake.take(block)
        ready = self._windows
        while self._intake.is_there(ready):
            ready += 1
        return ready

    def _advance(self, windows: int, ahead: int = 0) -> None:
        """Compute windows up to number ``windows``, a few at a time, and all that follows.

        Parameters
        ----------
        windows
            How many there will be.
        ahead
            Rounds of windows, and of conversions, that may still be in work at the end.
        """
        while self._begun < windows:
            # Rounds in work share the memory of one.
            size = max(1, self._per_round() // (1 + ahead))
            self._begin(min(windows, self._begun + size))
            self._settle(ahead)
        self._settle(ahead)

    def _begin(self, last: int) -> None:
        layout = self._layout
        jobs: list[Job] = []
        for index in range(self._begun, last):
            start = layout.final(index - 1) - layout.start(index)
            stop = layout.final(index) + layout.fade - layout.start(index)
            jobs += self._rounds_of.jobs(
                self._intake.window(index), start, stop, layout.start(index)
            )
        self._rounds.append(_Round(self._begun, last, self._hear(jobs)))
        self._begun = last

    def _hear(self, jobs: list[Job]) -> Iterable[Heard]:
        known = self._config.categories
        chosen = np.array([known.index(name) for name in self.categories], dtype=np.int64)
        return self._rounds_of.begin(jobs, chosen)

    def _settle(self, ahead: int) -> None:
        while len(self._rounds) > ahead:
            before = self._output.in_work
            self._join(self._rounds[0])
            self._rounds.popleft()
            self._output.collect(leave=ahead * (self._output.in_work - before))
        if not ahead:
            self._output.collect()

    def _join(self, work: _Round) -> None:
        """Wait for a round of windows, and add them to what is separated."""
        layout = self._layout
        try:
            heard = list(work.heard)
        except BaseException:
            # So that the next call computes them again.
            self._rounds.clear()
            self._begun = self._windows
            raise
        for index in range(work.first, work.last):
            at = (index - work.first) * self.channels
            size = layout.final(index) - layout.final(index - 1)
            self._add(index, heard[at : at + self.channels], size, self._settled(index))
            self._windows = index + 1
        self._intake.drop_before(work.last - 1, self._output.settled if self._residual else None)

    def _finish(self) -> None:
        """Cover the end of the signal by a window that ends there."""
        done, length = self._layout.final(self._windows - 1), self._intake.length
        if done < length:
            start, window = self._intake.last_window()
            jobs = self._rounds_of.jobs(window, done - start, length - start, start)
            heard = list(self._hear(jobs))
            self._add(self._windows, heard, length - done, self._intake.fed)
        else:
            self._output.settle(self._intake.fed, self._mixture(self._intake.fed))
        self._output.collect()

    def _add(self, index: int, heard: Sequence[Heard], size: int, until: int) -> None:
        """Add a window to every track, and convert up to sample ``until`` of the output."""
        self._tracker.update(np.max([window.presence for window in heard], axis=0))
        self._look(index, heard)
        for name, track in self._output.tracks.items():
            position = self._config.categories.index(name)
            self._rounds_of.more(heard, position)
            track.join(self._rounds_of.take(heard, position), size)
        self._engines.update(window.engine for window in heard)
        self._output.settle(until, self._mixture(until))

    def _look(self, index: int, heard: Sequence[Heard]) -> None:
        """Nothing to look for: the categories are named."""

    def _mixture(self, until: int) -> Float | None:
        return self._intake.raw(self._output.settled, until) if self._residual else None

    def _settled(self, index: int) -> int:
        """Samples at the caller's rate that no window after ``index`` changes."""
        final = Fraction(self._layout.final(index), self._config.sample_rate)
        return max(0, floor((final - self._from_model.context_s) * self.sample_rate))

    def _emit(self, until: int) -> dict[str, Float]:
        """What is ready up to sample ``until`` of the signal."""
        samples = max(0, until - self._emitted)
        self._emitted += samples
        names = (*self.categories, RESIDUAL) if self._residual else self.categories
        return self._output.take(names, self.channels, samples)

    def _pieces(self) -> list[dict[str, Float]]:
        """What is ready, without joining it."""
        self._emitted = self._output.collected
        return self._output.drain()
