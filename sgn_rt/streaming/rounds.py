"""Windows of a stream put through the engine, side by side, and what is heard of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import Final, NamedTuple

import numpy as np

from sgn_rt._types import Float, Positions
from sgn_rt.streaming.answers import Answer, Separates

ROUND_BYTES: Final = 128 << 20
"""Of what a round of windows holds on its way, where an engine would like many at a time."""


class Job(NamedTuple):
    """A window of one channel [N], and the part [start, stop) of the answer that is heard."""

    mixture: Float
    start: int
    stop: int


@dataclass(slots=True)
class Heard:
    """What is heard of a window of one channel.

    Attributes
    ----------
    sources
        Category's position -> shape = (stop - start,).
    presence
        shape = (C,).
    engine
        Name of the engine.
    job, answer
        The window, and what it takes to ask for more sources of it; None where nobody will.
    """

    sources: dict[int, Float]
    presence: Float
    engine: str
    job: Job
    answer: Answer | None


class Rounds:
    """Puts jobs through an engine.

    Parameters
    ----------
    engine
        In service.
    pool
        Where it runs.
    gain
        Factor that was put on the mixture, and is taken off the sources.
    finds
        Whether more sources may be asked for when the presence is known.
    """

    def __init__(self, engine: Separates, pool: Executor, gain: float, *, finds: bool) -> None:
        self._engine, self._pool, self._finds = engine, pool, finds
        self._gain = np.float32(1.0 / gain)

    def windows(self, samples: int, *, rows: float, held_bytes: int, channels: int) -> int:
        """Windows of a round: as many as the engine likes, and memory allows.

        Parameters
        ----------
        samples
            Of a window.
        rows
            Signals of that length that come of a window, in each channel.
        held_bytes
            What else is held of a window of one channel.
        channels
            Of the signal.
        """
        engine = self._engine.active
        liked = max(2, engine.concurrency) * engine.batch  # half a round is a full batch
        wanted = ceil(max(2 * engine.concurrency, liked) / channels)
        fit = int(ROUND_BYTES // ((4 * samples * max(1.0, rows) + held_bytes) * channels))
        return max(1, min(wanted, fit))

    def begin(self, jobs: Sequence[Job], chosen: Positions) -> Iterable[Heard]:
        """Begin with jobs; what is heard comes in their order, as it is asked for."""
        engine = self._engine.active
        batches = [jobs[i : i + engine.batch] for i in range(0, len(jobs), engine.batch)]
        run = self._pool.map if engine.concurrency > 1 else map
        return chain.from_iterable(run(lambda batch: self._answer(batch, chosen), batches))

    def _answer(self, jobs: Sequence[Job], chosen: Positions) -> list[Heard]:
        mixture = np.stack([job.mixture for job in jobs])
        answers = self._engine.answer(mixture, None if self._finds else chosen, chosen)
        return [self._heard(job, answer, chosen) for job, answer in zip(jobs, answers, strict=True)]

    def _heard(self, job: Job, answer: Answer, chosen: Positions) -> Heard:
        sources = {
            int(category): self._cut(job, source)
            for category, source in zip(chosen, answer.sources, strict=True)
        }
        answer.sources = answer.sources[:0].copy()
        kept = answer if self._finds else None
        return Heard(sources, answer.analysis.presence, answer.engine.name, job, kept)

    def more(self, heard: Iterable[Heard], category: int) -> None:
        """Add a source to windows that lack it."""
        lacking = [window for window in heard if category not in window.sources]
        for window, source in zip(
            lacking,
            self._pool.map(lambda window: self._one_more(window, category), lacking),
            strict=True,
        ):
            window.sources[category] = source

    def _one_more(self, window: Heard, category: int) -> Float:
        assert window.answer is not None, "a window of which nothing is kept"
        (source,) = self._engine.more(window.answer, np.array([category]))
        window.engine = window.answer.engine.name
        return self._cut(window.job, source)

    def _cut(self, job: Job, source: Float) -> Float:
        """A copy of the part that is heard: a view would hold on to the rest of the window."""
        part = source[job.start : job.stop]
        return part * self._gain if self._gain != 1.0 else part.copy()
