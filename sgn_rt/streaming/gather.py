"""Windows of several recordings joined into one call of the engine, where they wait together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float, Part, Positions, Windows
from sgn_rt.audio.resample import Resampler
from sgn_rt.streaming.answers import Answer, InService, Separates


@dataclass(slots=True, eq=False)
class _Call:
    windows: list[Float]
    wanted: Positions | None
    chosen: Positions
    parts: list[Part]
    answers: Future[list[Answer]] = field(default_factory=Future)

    def joins(self, other: _Call) -> bool:
        """Whether both may be asked the same of later."""
        if self.wanted is None or other.wanted is None:
            return self.wanted is other.wanted
        return np.array_equal(self.wanted, other.wanted)


class Gather:
    """An engine whose callers share calls: up to its batch, with the union of what they choose.

    As many calls are under way as the engine likes; what comes meanwhile waits, and goes together.
    Nobody waits for others to come. An error is that of every caller in the call.

    Parameters
    ----------
    engine
        That answers.
    """

    def __init__(self, engine: Separates) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._under_way = 0

    @property
    def active(self) -> InService:
        """As the engine's."""
        return self._engine.active

    def resampler(self, source_rate: int, target_rate: int) -> Resampler:
        """As the engine's."""
        return self._engine.resampler(source_rate, target_rate)

    def more(
        self, answers: Sequence[Answer], categories: Positions, parts: Sequence[Part]
    ) -> list[NDArray[Any]]:
        """As the engine's."""
        return self._engine.more(answers, categories, parts)

    def answer(
        self,
        windows: Windows,
        wanted: Positions | None,
        chosen: Positions,
        parts: Sequence[Part],
    ) -> list[Answer]:
        """As the engine's."""
        if self._engine.active.batch <= 1:
            return self._engine.answer(windows, wanted, chosen, parts)
        mine = _Call(list(windows), wanted, chosen, list(parts))
        with self._lock:
            self._waiting.append(mine)
            leads = self._under_way < max(1, self._engine.active.concurrency)
            self._under_way += leads
        if leads:
            self._work()
        return mine.answers.result()

    def _work(self) -> None:
        """Make calls until nobody waits."""
        while True:
            with self._lock:
                calls = self._together()
                if not calls:
                    self._under_way -= 1
                    return
            try:
                self._make(calls)
            except BaseException as error:
                for call in calls:
                    call.answers.set_exception(error)

    def _together(self) -> list[_Call]:
        """The first that waits, and those that fit into a call with it."""
        calls: list[_Call] = []
        room = self._engine.active.batch
        for call in tuple(self._waiting):
            if not calls or (len(call.windows) <= room and call.joins(calls[0])):
                calls.append(call)
                room -= len(call.windows)
                self._waiting.remove(call)
        return calls

    def _make(self, calls: Sequence[_Call]) -> None:
        union = np.unique(np.concatenate([call.chosen for call in calls]))
        alone = len(calls) == 1
        chosen = calls[0].chosen if alone else union
        made = iter(
            self._engine.answer(
                [window for call in calls for window in call.windows],
                calls[0].wanted,
                chosen,
                [part for call in calls for part in call.parts],
            )
        )
        for call in calls:
            answers = [next(made) for _ in call.windows]
            if not alone:
                rows = np.searchsorted(union, call.chosen)
                for answer in answers:
                    answer.sources = answer.sources[rows]
            call.answers.set_result(answers)
