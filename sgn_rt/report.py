"""What a separation tells of itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def to_dict(self) -> dict[str, float]:
        """As JSON types."""
        return {"load": self.load, "warm_up": self.warm_up, "separate": self.separate}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Report:
    """What was found in a recording, and how.

    Attributes
    ----------
    presence
        Category -> highest probability in any window, 0 to 1; of all categories, wanted or not.
    present
        Categories that count as present over time, wanted or not, in the model's order.
    presence_rule
        What that means, in words (`sgn_rt.streaming.presence.PresenceRule`).
    sample_rate, channels, samples
        Of the recording, and of every source.
    engine
        The engine in service at the end.
    windows
        Engine -> windows that it computed, those of what was found late once more: more than one
        engine where one was replaced.
    replacements
        What was replaced, and why.
    peak
        Largest magnitude in the recording; 0 for digital silence.
    timings
        Seconds.
    level_dbfs
        RMS of what sounds in the recording, dBFS, where the model says for which levels it was
        trained; None else, and for silence.
    gain_db
        dB by which the network heard it louder; the sources are at the recording's own level.
    salvaged
        What is missing of a damaged file that was read as far as it goes; None of a whole one.
    """

    presence: dict[str, float]
    present: tuple[str, ...]
    presence_rule: str
    sample_rate: int
    channels: int
    samples: int
    engine: str
    windows: dict[str, int]
    replacements: tuple[str, ...]
    peak: float
    timings: Timings
    level_dbfs: float | None = None
    gain_db: float = 0.0
    salvaged: str | None = None

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of sound; below 1 is faster than real time."""
        return self.timings.separate / self.duration_s

    @property
    def duration_s(self) -> float:
        """Of the recording, seconds."""
        return self.samples / self.sample_rate

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; samples stay out."""
        return {
            "engine": {
                "name": self.engine,
                "windows": dict(self.windows),
                "replacements": list(self.replacements),
            },
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "samples": self.samples,
            "duration_s": self.duration_s,
            "peak": float(self.peak),
            "presence": {name: float(presence) for name, presence in self.presence.items()},
            "present": list(self.present),
            "presence_rule": self.presence_rule,
            "level_dbfs": self.level_dbfs,
            "gain_db": self.gain_db,
            "salvaged": self.salvaged,
            "timings_s": self.timings.to_dict(),
            "real_time_factor": self.real_time_factor,
        }

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {', '.join(self._sources()) or 'no source'} of "
            f"{self.duration_s:.2f} s, {self.sample_rate} Hz, {self.channels} ch, "
            f"by {self.engine} in {self.timings.separate:.2f} s>"
        )

    def _sources(self) -> Iterable[str]:
        """Names of what was separated."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Separation(Report):
    """A separated recording in memory.

    Attributes
    ----------
    sources
        Category (and ``residual``, where asked for) -> shape = (channels, samples), float32.
    """

    sources: dict[str, Float]

    def _sources(self) -> Iterable[str]:
        return self.sources


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
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

    def _sources(self) -> Iterable[str]:
        return self.stems

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, with the files."""
        stems = {name: str(path) for name, path in self.stems.items()}
        return {**Report.to_dict(self), "stems": stems, "clipped": list(self.clipped)}
