"""The engine in service: proved at start-up, replaced where it fails, and never silently."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sgn_rt._optional import pip_command
from sgn_rt._types import Float, Positions, Separated
from sgn_rt.engines.base import Engine
from sgn_rt.errors import (
    CheckpointError,
    DependencyError,
    EngineError,
    ParityError,
    ParityWarning,
)

log = logging.getLogger(__name__)

ParityMode = Literal["fallback", "raise", "off"]


@dataclass(frozen=True, slots=True)
class Rejection:
    """An engine that is not in service, and why."""

    engine: str
    reason: str


class GuardedEngine:
    """The first of several engines that starts and passes its probe.

    With ``fallback``, an engine that fails on a window later (an error, or non-finite numbers) is
    replaced by the next one, for that window and from then on.

    Parameters
    ----------
    candidates
        Names, best first.
    opener
        Opens an engine by name; may raise DependencyError or EngineError.
    prover
        Raises ParityError or EngineError for an engine that may not serve.
    parity
        What to do with one that fails: take the next, raise, or not even look.
    asked_for
        The engine that the user named; None where the choice is ours. One that was named and cannot
        even start is an error: nothing silently takes its place.
    checker
        Looks at every answer; what it raises EngineError for is a failure of the engine.

    Raises
    ------
    DependencyError, EngineError, ParityError
        If none can serve; with ``raise``, if the first that starts fails its probe.
    """

    def __init__(
        self,
        candidates: Sequence[str],
        opener: Callable[[str], Engine],
        prover: Callable[[Engine], object],
        parity: ParityMode,
        asked_for: str | None = None,
        checker: Callable[[Engine, Float, Positions, Separated], None] | None = None,
    ) -> None:
        self._remaining = list(candidates)
        self._opener, self._prover, self._parity = opener, prover, parity
        self._asked_for, self._checker = asked_for, checker
        self._lock = threading.Lock()
        self.rejected: list[Rejection] = []
        self.replacements: list[str] = []
        self._active: Engine
        self._promote([])

    @property
    def active(self) -> Engine:
        """The engine that takes the next window."""
        return self._active

    def separate(self, mixture: Float, categories: Positions) -> tuple[Separated, Engine]:
        """As `Engine.separate`, with the engine that did it.

        Raises
        ------
        EngineError
            If the engine fails and no other is left, or replacing is not wanted.
        """
        while True:
            engine = self._active
            try:
                answer = engine.separate(mixture, categories)
                if self._checker is not None:
                    self._checker(engine, mixture, categories, answer)
                return answer, engine
            except EngineError as error:
                if self._parity != "fallback":
                    raise
                log.warning(
                    "engine %s failed, its window is computed again: %s", engine.name, error
                )
                self._replace(engine, error)

    def _replace(self, failed: Engine, error: EngineError) -> None:
        with self._lock:
            if self._active is failed:  # or another thread's window has already found it out
                self._promote([Rejection(failed.name, str(error))])

    def _promote(self, failed: list[Rejection]) -> None:
        """Put the next engine that may serve in service; say so once if it stands in for others.

        Parameters
        ----------
        failed
            The engine that it takes over from, if any.
        """
        while self._remaining:
            name = self._remaining.pop(0)
            began = time.perf_counter()
            try:
                engine = self._opener(name)
            except (DependencyError, EngineError, CheckpointError) as error:
                if name == self._asked_for:
                    raise
                self.rejected.append(Rejection(name, str(error)))
                log.info("engine %s passed over: %s", name, error)
                continue
            opened = time.perf_counter()
            try:
                if self._parity != "off":
                    self._prover(engine)
            except (ParityError, EngineError) as error:
                if self._parity == "raise":
                    raise
                failed.append(Rejection(name, str(error)))
                log.warning("engine %s passed over: %s", name, error)
                continue
            self._active = engine
            proving = time.perf_counter() - opened
            log.info(
                "engine %s in service: %s; opened in %.3f s, start-up probe (%s) in %.3f s",
                name, engine.detail, opened - began, self._parity, proving,
            )  # fmt: skip
            self.rejected += failed
            if failed:
                reasons = "; ".join(rejection.reason for rejection in failed)
                self.replacements.append(f"now {engine.name}, as {reasons}")
                warnings.warn(self.replacements[-1], ParityWarning, stacklevel=4)
            return
        self.rejected += [rejection for rejection in failed if rejection not in self.rejected]
        reasons = "; ".join(f"{r.engine}: {r.reason}" for r in self.rejected)
        raise EngineError(
            f"engine: got none that can serve ({reasons}), expected one. "
            f"Run `sgn-rt doctor`, or install one: {pip_command('cpu')}"
        )
