"""What every scenario is given: the model, the recording, and how often things are run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sgn_rt.benchmarks.harness import CALLS, LONG_RUNS, Warming
from sgn_rt.benchmarks.material import SOUNDS, write_recording
from sgn_rt.benchmarks.result import Network
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.engines.base import Engine
from sgn_rt.model.bundle import Bundle

ALL, SOUNDING, PRESENT = "all named", "sounding named", "none named"
"""Choices of categories: every one; those that sound in it; none, so those that are found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every scenario is given.

    Attributes
    ----------
    bundle, network
        The model, and which of the two it is.
    threads
        Processors to use.
    folder
        For everything that is written.
    devices
        Numbers of the GPUs that a GPU's engines run on; None for the one in use.
    seconds
        Length of the recording.
    repeats, calls, starts
        Rounds that are kept of a pass: of whole files, of calls of an engine, of processes.
    file_warming, call_warming
        Rounds before them.
    cold
        Choices of categories for which processes are started from nothing; beyond the separation
        they differ in nothing.
    batches
        Windows of a call.
    stream_s
        Of music, for each try of a number of live streams.
    most_streams
        Beyond which none is tried; None for no end.
    lengths_s
        Of the recordings whose cost and memory are taken.
    categories
        Of the model with many of them; 0 to leave it out.
    official, rounds, keep
        Of the load generator: whether by MLPerf's own rules, which take 10 minutes a run; how often
        each scenario is run in a pass; the folder that keeps its own files, None to drop them.
    seed
        Of every order.
    """

    bundle: Bundle
    network: Network = "published"
    threads: int
    folder: Path
    devices: tuple[int, ...] | None = None
    seconds: float = 180.0
    repeats: int = 1
    calls: int = 6
    starts: int = 1
    file_warming: Warming = LONG_RUNS
    call_warming: Warming = CALLS
    cold: tuple[str, ...] = (PRESENT,)
    batches: tuple[int, ...] = (1, 2, 4, 8)
    stream_s: float = 10.0
    most_streams: int | None = None
    lengths_s: tuple[float, ...] = (10.0, 60.0, 600.0)
    categories: int = 300
    official: bool = False
    rounds: int = 1
    keep: Path | None = None
    seed: int = 0

    def chosen(self) -> dict[str, list[str] | None]:
        """Choice -> names of categories, None for those that are found."""
        known = list(self.bundle.config.categories)
        sounding = [name for name in known if name in SOUNDS]
        named = sounding if len(sounding) == len(SOUNDS) else known[: len(SOUNDS)]
        return {ALL: known, SOUNDING: named, PRESENT: None}

    def recording(self, seconds: float | None = None) -> Path:
        """The file that is separated, written where it is not there yet."""
        length = self.seconds if seconds is None else seconds
        path = self.folder / f"recording-{length:g}-s.wav"
        if not path.exists():
            write_recording(path, length / 60.0)
        return path


@contextmanager
def closed_after(subjects: Sequence[Subject]) -> Iterator[None]:
    """Close the rows' engines when it is left."""
    try:
        yield
    finally:
        for engine in engines_of(subjects).values():
            engine.close()


def engines_of(subjects: Sequence[Subject]) -> dict[str, Engine]:
    """Row -> the engine, of those that may be timed."""
    return {s.name: s.engine for s in subjects if s.engine is not None}
