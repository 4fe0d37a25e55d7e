"""Windows of a stream put through the engine, side by side, and what is heard of each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from itertools import chain
from math import ceil
from typing import Final, TypeVar

import numpy as np

from sgn_rt._types import Positions
from sgn_rt.streaming.answers import Separates
from sgn_rt.streaming.jobs import Heard, Job, ask

T = TypeVar("T")
log = logging.getLogger(__name__)

ROUND_BYTES: Final = 128 << 20
"""Of what a round of windows holds on its way, where an engine would like many at a time."""


class Rounds:
    """Puts jobs through an engine.

    Parameters
    ----------
    engine
        In service.
    pool
        Where it runs.
    finds
        Whether more sources may be asked for when the presence is known.
    """

    def __init__(self, engine: Separates, pool: Executor, *, finds: bool) -> None:
        self._engine, self._pool, self._finds = engine, pool, finds
        self._told = False

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

    def _batches(self, items: Sequence[T]) -> list[Sequence[T]]:
        size = self._engine.active.batch
        return [items[i : i + size] for i in range(0, len(items), size)]

    def _answer(self, jobs: Sequence[Job], chosen: Positions) -> list[Heard]:
        return ask(self._engine, jobs, chosen, finds=self._finds)

    def _add(self, windows: Sequence[Heard], category: int) -> None:
        answers = [window.answer for window in windows if window.answer is not None]
        assert len(answers) == len(windows), "a window of which nothing is kept"
        parts = [window.job.part for window in windows]
        rows = self._engine.more(answers, np.array([category]), parts)
        for window, answer, (source,) in zip(windows, answers, rows, strict=True):
            window.sources[category], window.engine = source, answer.engine.name
