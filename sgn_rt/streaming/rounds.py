"""Windows of a stream put through the engine, side by side, and what is heard of each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float, Part, Positions, SampleFormat
from sgn_rt.streaming.answers import Answer, Separates

T = TypeVar("T")
log = logging.getLogger(__name__)

ROUND_BYTES: Final = 128 << 20
"""Of what a round of windows holds on its way, where an engine would like many at a time."""


class Job(NamedTuple):
    """A window of one channel [N], and what is heard of its sources."""

    mixture: Float
    part: Part


@dataclass(slots=True)
class Heard:
    """What is heard of a window of one channel.

    Attributes
    ----------
    sources
        Category's position -> shape = (stop - start,), float32, or of the part's format.
    presence
        shape = (C,).
    engine
        Name of the engine.
    job, answer
        The window, and what it takes to ask for more sources of it; None where nobody will.
    """

    sources: dict[int, NDArray[Any]]
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
    sample_format
        What samples may come from a GPU in.
    """

    def __init__(
        self,
        engine: Separates,
        pool: Executor,
        gain: float,
        *,
        finds: bool,
        sample_format: SampleFormat = "float32",
    ) -> None:
        self._engine, self._pool, self._finds = engine, pool, finds
        self._told = False
        self._gain, self._format = float(np.float32(1.0 / gain)), sample_format

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
        if fit * channels < engine.batch and not self._told:
            self._told = True
            log.info(
                "batches of %d windows, not of %d as %s likes them: a round may hold %d MiB, and "
                "a window of so many categories and channels at this rate takes %d. Fewer of them, "
                "or the model's rate, make batches larger.",
                *(max(1, fit) * channels, engine.batch, engine.name, ROUND_BYTES >> 20),
                ROUND_BYTES // max(1, fit) >> 20,
            )
        return max(1, min(wanted, fit))

    def jobs(self, windows: Iterable[Float], start: int, stop: int, position: int) -> list[Job]:
        """Windows of all channels at one place in the signal, heard from ``start`` to ``stop``."""
        return [
            Job(window, Part(start, stop, self._gain, self._format, position, channel))
            for channel, window in enumerate(windows)
        ]

    def begin(self, jobs: Sequence[Job], chosen: Positions) -> Iterable[Heard]:
        """Begin with jobs; what is heard comes in their order, as it is asked for."""
        run = self._pool.map if self._engine.active.concurrency > 1 else map
        batches = self._batches(jobs)
        return chain.from_iterable(run(lambda batch: self._answer(batch, chosen), batches))

    def more(self, heard: Iterable[Heard], category: int) -> None:
        """Add a source to windows that lack it."""
        lacking = [window for window in heard if category not in window.sources]
        run = self._pool.map(lambda batch: self._add(batch, category), self._batches(lacking))
        for _ in run:
            pass

    def take(self, heard: Iterable[Heard], category: int) -> list[NDArray[Any]]:
        """A source's part of windows at one place in the signal, shape = (samples,) a channel.

        Where another engine has taken over, channels come in two formats.
        """
        return [window.sources.pop(category) for window in heard]

    def _batches(self, items: Sequence[T]) -> list[Sequence[T]]:
        size = self._engine.active.batch
        return [items[i : i + size] for i in range(0, len(items), size)]

    def _answer(self, jobs: Sequence[Job], chosen: Positions) -> list[Heard]:
        answers = self._engine.answer(
            [job.mixture for job in jobs],
            None if self._finds else chosen,
            chosen,
            [job.part for job in jobs],
        )
        return [self._heard(job, answer, chosen) for job, answer in zip(jobs, answers, strict=True)]

    def _heard(self, job: Job, answer: Answer, chosen: Positions) -> Heard:
        sources = dict(zip(chosen.tolist(), answer.sources, strict=True))
        answer.sources = answer.sources[:0].copy()  # a source lives until it is taken, no longer
        kept = answer if self._finds else None
        return Heard(sources, answer.analysis.presence, answer.engine.name, job, kept)

    def _add(self, windows: Sequence[Heard], category: int) -> None:
        answers = [window.answer for window in windows if window.answer is not None]
        assert len(answers) == len(windows), "a window of which nothing is kept"
        parts = [window.job.part for window in windows]
        rows = self._engine.more(answers, np.array([category]), parts)
        for window, answer, (source,) in zip(windows, answers, rows, strict=True):
            window.sources[category], window.engine = source, answer.engine.name
