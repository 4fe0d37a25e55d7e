"""One signal on its way through a stream: all of the algorithm but the engine and who calls it.

Samples are taken; windows begin where all that they see has come; what is heard of them is added,
in order; what no later window changes is brought to the caller's rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import floor
from typing import NamedTuple

import numpy as np

from sgn_rt._types import Float, Part
from sgn_rt.audio.level import RunningLevel
from sgn_rt.streaming.grid import Grid
from sgn_rt.streaming.intake import Intake
from sgn_rt.streaming.jobs import Heard, Job
from sgn_rt.streaming.output import RESIDUAL, Output, RunsEach
from sgn_rt.streaming.presence import PresenceTracker
from sgn_rt.streaming.settings import StreamSettings
from sgn_rt.streaming.track import Track

Look = Callable[[int, Sequence[Heard]], object]
"""Told of a window, channel by channel, before its sources are added."""


class Window(NamedTuple):
    """A window of the network that has begun.

    Attributes
    ----------
    number
        In the signal, from 0.
    start, first
        The sample that it begins with, and the first that is heard of it; at the model's rate.
    size
        Samples heard that no later window changes.
    until
        Samples of the output, at the caller's rate, that no later window changes.
    jobs
        One a channel.
    """

    number: int
    start: int
    first: int
    size: int
    until: int
    jobs: list[Job]


def _nothing(index: int, heard: Sequence[Heard]) -> None:
    """Nothing to look for: the categories are named."""


class StreamState:
    """A signal from its first sample to its last. Belongs to one thread at a time.

    Parameters
    ----------
    settings
        Of the stream.
    run
        Where conversions run.
    look
        Told of every window, before its sources are added.

    Attributes
    ----------
    grid
        Where windows lie.
    output
        Tracks, and what is ready of them.
    tracker
        What counts as present so far.
    engines
        Windows by the engine that computed them.
    begun, added
        Windows so far.
    ended
        Whether the signal has.
    """

    def __init__(self, settings: StreamSettings, run: RunsEach, look: Look = _nothing) -> None:
        self._settings, self._look = settings, look
        config = settings.config
        window = max(1, round(config.window_s * settings.sample_rate))
        level = RunningLevel(settings.training_level, window, settings.gain_db)
        self.grid = Grid(settings.layout)
        self._intake = Intake(self.grid, settings.to_model, settings.channels, settings.gain, level)
        self._context = settings.from_model.context_s * settings.sample_rate
        self._gain_off = float(np.float32(1.0 / settings.gain))
        self.output = Output(settings.from_model, run)
        for name in settings.named:
            self.output.tracks[name] = Track(settings.channels)
        self.tracker = PresenceTracker(settings.rule, config.categories, settings.step_s)
        self.engines: Counter[str] = Counter()
        self.added = self.begun = self._emitted = 0
        self.ended = self._last_has_begun = False

    @property
    def fed(self) -> int:
        """Samples taken so far."""
        return self._intake.fed

    @property
    def names(self) -> tuple[str, ...]:
        """What comes out, in order."""
        categories = tuple(self.output.tracks)
        return (*categories, RESIDUAL) if self._settings.residual else categories

    @property
    def presence(self) -> dict[str, float]:
        """Highest probability of each category in any window so far, 0 to 1."""
        known = self._settings.config.categories
        return dict(zip(known, self.tracker.highest.tolist(), strict=True))

    @property
    def present(self) -> tuple[str, ...]:
        """What counts as present so far, over time (`PresenceRule`)."""
        known = zip(self._settings.config.categories, self.tracker.present, strict=True)
        return tuple(name for name, is_present in known if is_present)

    def take(self, block: Float) -> str | None:
        """Take samples, shape = (channels, samples), as they come from `as_samples`.

        Returns what has to be said, once, of their level.
        """
        return self._intake.take(block)

    def end(self) -> None:
        """There are no more samples."""
        self.ended = True

    @property
    def needed(self) -> int:
        """Samples that must have come for the window that begins next."""
        return self._intake.needed(self.begun)

    def begin(self) -> Window | None:
        """The next window, once all that it sees has come; None while it has not."""
        index, grid = self.begun, self.grid
        first, length = grid.final(index - 1), self._intake.length
        if self._intake.is_there(index) or (self.ended and grid.stop(index) <= length):
            start, final = grid.start(index), grid.final(index)
            self.begun += 1
            jobs = self._jobs(self._intake.window(index), first, final + grid.fade(index), start)
            return Window(index, start, first, final - first, self.settled(index), jobs)
        if self.ended and not self._last_has_begun and first < length:
            # The end of the signal is covered by a window that ends there.
            start, window = self._intake.last_window()
            self._last_has_begun = True
            self.begun += 1
            jobs = self._jobs(window, first, length, start)
            return Window(index, start, first, length - first, self.fed, jobs)
        return None

    def _jobs(self, windows: Float, first: int, stop: int, start: int) -> list[Job]:
        """A window of all channels that begins at ``start``, heard from ``first`` to ``stop``."""
        form = self._settings.sample_format
        return [
            Job(window, Part(first - start, stop - start, self._gain_off, form, start, channel))
            for channel, window in enumerate(windows)
        ]

    def rewind(self) -> None:
        """Begin once more the windows that have begun and were not added."""
        self.begun, self._last_has_begun = self.added, False

    def add(self, window: Window, heard: Sequence[Heard]) -> Float | None:
        """Add the next window to every track, and convert what no later one changes.

        Returns
        -------
        ndarray or None
            Highest probability of each category in any channel, shape = (C,); None where no
            network has heard the window.
        """
        presence = _highest(heard)
        if presence is not None:
            steps = self.grid.step(window.number) / self._settings.layout.step
            self.tracker.update(presence, steps)
        self._look(window.number, heard)
        for name, track in self.output.tracks.items():
            position = self._settings.config.categories.index(name)
            # Where another engine has taken over, channels come in two formats.
            track.join([channel.sources.pop(position) for channel in heard], window.size)
        self.engines.update(channel.engine for channel in heard)
        self.output.settle(window.until, self._mixture(window.until))
        self.added += 1
        raw = self.output.settled if self._settings.residual else None
        self._intake.drop_before(window.start, raw)
        return presence

    @property
    def is_whole(self) -> bool:
        """Whether the signal has ended, and every window of it was added."""
        if not self.ended or self.added < self.begun:
            return False
        return self._last_has_begun or self.grid.final(self.begun - 1) >= self._intake.length

    def finish(self) -> None:
        """Convert what is left, once `begin` has nothing more and all was added."""
        self.output.settle(self.fed, self._mixture(self.fed))
        self.output.collect()

    def _mixture(self, until: int) -> Float | None:
        if not self._settings.residual:
            return None
        return self._intake.raw(self.output.settled, until)

    def settled(self, index: int) -> int:
        """Samples at the caller's rate that no window after ``index`` changes."""
        settings = self._settings
        final = Fraction(self.grid.final(index) * settings.sample_rate, settings.config.sample_rate)
        return max(0, floor(final - self._context))

    def emit(self, until: int) -> dict[str, Float]:
        """What is ready up to sample ``until`` of the signal."""
        samples = max(0, until - self._emitted)
        self._emitted += samples
        return self.output.take(self.names, self._settings.channels, samples)

    def pieces(self) -> list[dict[str, Float]]:
        """What is ready, without joining it."""
        self._emitted = self.output.collected
        return self.output.drain()


def _highest(heard: Sequence[Heard]) -> Float | None:
    known = [channel.presence for channel in heard if channel.presence is not None]
    if not known:
        return None
    highest: Float = np.max(known, axis=0)
    return highest
