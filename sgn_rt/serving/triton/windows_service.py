"""Windows of several requests put through an engine together, or side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from sgn_rt._process import Workers
from sgn_rt._types import Float, Part, Positions, Separated
from sgn_rt.audio.samples import LOUDEST
from sgn_rt.errors import AudioError, CategoryError, SgnError
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.answers import Separates


class Asked(NamedTuple):
    """A request: windows [B, N], float32, and the positions [B, S] of each one's categories."""

    mixture: Float
    categories: Positions


class _Row(NamedTuple):
    """A window of a request."""

    request: int
    mixture: Float
    categories: Positions


class WindowsService:
    """Answers requests by one engine.

    Where the engine takes several windows at a time, those of all requests go together, with the
    union of their categories; else each goes alone, as many at a time as the engine likes, so that
    its answer does not depend on what else is asked.

    Parameters
    ----------
    engine
        In service.
    config
        The model's configuration.
    """

    def __init__(self, engine: Separates, config: ModelConfig) -> None:
        self._engine, self._config = engine, config
        self._pool = Workers(max(1, engine.active.concurrency), "windows")

    def close(self) -> None:
        """Let go of the threads; the engine stays."""
        self._pool.shutdown()

    def answer(self, asked: Sequence[Asked]) -> list[Separated | SgnError]:
        """Of each request what it asked for, or why it cannot be had: one does not harm others."""
        refused = [self._refused(request) for request in asked]
        rows = [
            _Row(number, window, categories)
            for number, request in enumerate(asked)
            if refused[number] is None
            for window, categories in zip(*request, strict=True)
        ]
        size = self._engine.active.batch
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]
        answers: list[Separated | SgnError] = [error or _nothing() for error in refused]
        pairs = zip(batches, self._pool.map(self._try, batches), strict=True)
        made = [(row.request, answer) for batch, found in pairs
                for row, answer in zip(batch, found, strict=True)]  # fmt: skip
        for number, group in groupby(made, lambda each: each[0]):
            answers[number] = _joined([answer for _, answer in group])
        return answers

    def _try(self, rows: Sequence[_Row]) -> Sequence[Separated | SgnError]:
        try:
            return self._batch(rows)
        except SgnError as error:
            return [error] * len(rows)

    def _batch(self, rows: Sequence[_Row]) -> list[Separated]:
        chosen = rows[0].categories
        if len(rows) > 1:
            chosen = np.unique(np.concatenate([row.categories for row in rows]))
        whole = [Part(0, self._config.window_samples)] * len(rows)
        found = self._engine.answer([row.mixture for row in rows], chosen, chosen, whole)
        columns = {int(category): column for column, category in enumerate(chosen)}
        return [
            Separated(
                answer.sources[[columns[int(category)] for category in row.categories]],
                answer.analysis.presence,
            )
            for row, answer in zip(rows, found, strict=True)
        ]

    def _refused(self, request: Asked) -> SgnError | None:
        """What is wrong with a request: an engine that was given it might pass for a broken one."""
        mixture, categories = request
        windows, known = self._config.window_samples, len(self._config.categories)
        if mixture.ndim != 2 or mixture.dtype != np.float32 or mixture.shape[1] != windows:
            return AudioError(
                f"mixture: got {mixture.dtype} of shape {mixture.shape}, expected float32 of shape "
                f"(batch, {windows}). Send windows of the model."
            )
        if not (np.abs(mixture) <= LOUDEST).all():  # so that nan is refused
            return AudioError(
                "mixture: got samples that are not finite, or no sound, expected finite numbers of "
                "full scale 1. Repair the recording."
            )
        if categories.ndim != 2 or len(categories) != len(mixture):
            return CategoryError(
                f"categories: got shape {categories.shape}, expected ({len(mixture)}, sources). "
                "Name those of each window."
            )
        if ((categories < 0) | (categories >= known)).any():
            return CategoryError(
                f"categories: got {categories.ravel()[:8].tolist()}, expected positions from 0 to "
                f"{known - 1}. Choose from these."
            )
        return None


def _nothing() -> Separated:
    """The answer to a request of no windows."""
    return Separated(np.zeros((0, 0, 0), np.float32), np.zeros((0, 0), np.float32))


def _joined(rows: Sequence[Separated | SgnError]) -> Separated | SgnError:
    """The windows of a request as one answer, or what the first one failed with."""
    found = [row for row in rows if isinstance(row, Separated)]
    failed = [row for row in rows if isinstance(row, SgnError)]
    if failed:
        return failed[0]
    sources, presence = zip(*found, strict=True)
    return Separated(np.stack(sources), np.stack(presence))
