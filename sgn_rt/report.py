"""What a separation tells of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sgn_rt._types import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the time went, seconds.

    Attributes
    ----------
    load
        Opening the bundle and the engine.
    warm_up
        The start-up probe.
    separate
        Reading, separating and, to disk, writing.
    """

    load: float
    warm_up: float
    separate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found in a recording, and how.

    Attributes
    ----------
    presence
        Category -> highest probability in any window, 0 to 1; of all categories, wanted or not.
    sample_rate, channels, samples
        Of the recording, and of every source.
    engine
        The engine in service at the end.
    windows
        Engine -> windows that it computed: more than one engine where one was replaced.
    replacements
        What was replaced, and why.
    peak
        Largest magnitude in the recording; 0 for digital silence.
    timings
        Seconds.
    """

    presence: dict[str, float]
    sample_rate: int
    channels: int
    samples: int
    engine: str
    windows: dict[str, int]
    replacements: tuple[str, ...]
    peak: float
    timings: Timings

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of sound; below 1 is faster than real time."""
        return self.timings.separate / (self.samples / self.sample_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation(Report):
    """A separated recording in memory.

    Attributes
    ----------
    sources
        Category (and ``residual``, where asked for) -> shape = (channels, samples), float32.
    """

    sources: dict[str, Float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparationFiles(Report):
    """A separated recording on disk.

    Attributes
    ----------
    stems
        Category (and ``residual``, where asked for) -> file.
    clipped
        Stems that the format clipped at full scale.
    """

    stems: dict[str, Path]
    clipped: tuple[str, ...] = field(default=())
