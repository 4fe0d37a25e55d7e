"""The engine in service: proved at start-up, replaced where it fails, and never silently."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from sgn_rt._optional import pip_command
from sgn_rt._process import OneProcess, closed
from sgn_rt._types import Answered, Part, Positions, Windows
from sgn_rt.audio.resample import Resampler
from sgn_rt.engines.base import Engine
from sgn_rt.engines.several import SeveralEngines
from sgn_rt.errors import (
    DependencyError,
    EngineError,
    ParityError,
    ParityWarning,
    SgnError,
    UnavailableError,
)
from sgn_rt.streaming.answers import Answer

log = logging.getLogger(__name__)

ParityMode = Literal["fallback", "raise", "off"]
Checker = Callable[[Engine, Windows, Positions, Sequence[Part], list[Answered]], None]
"""Looks at an engine's answer, given with what it was asked."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """An engine that is not in service, and why.

    Attributes
    ----------
    engine
        Its name.
    reason
        In words: what it needs, or the stage, figure and limit that it failed.
    """

    engine: str
    reason: str


class GuardedEngine(OneProcess):
    """The first of several engines that starts and passes its probe.

    What is not here (DependencyError, UnavailableError) is passed over without a word; what is here
    and broken (any other error) is replaced with a warning. With ``fallback``, an engine that fails
    on a window later (an error, or non-finite numbers) is replaced by the next one, for that window
    and from then on.

    Parameters
    ----------
    candidates
        Names, best first; an engine on its other graphs (``name:kind.precision``) after its own.
    opener
        Opens an engine by name; raises SgnError for one that cannot start.
    prover
        Raises ParityError or EngineError for an engine that may not serve.
    parity
        What to do with one that fails: take the next, raise, or not even look.
    asked_for
        The engine that the user named; None where the choice is ours. One that was named and cannot
        even start, on any of its graphs, is an error: no other takes its place.
    checker
        Looks at every answer; what it raises EngineError for is a failure of the engine.

    Raises
    ------
    DependencyError, EngineError, ParityError
        If none can serve; with ``raise``, if the first that is here is broken or fails its probe.
    """

    def __init__(
        self,
        candidates: Sequence[str],
        opener: Callable[[str], Engine],
        prover: Callable[[Engine], object],
        parity: ParityMode,
        asked_for: str | None = None,
        checker: Checker | None = None,
    ) -> None:
        self._remaining = list(candidates)
        self._opener, self._prover, self._parity = opener, prover, parity
        self._asked_for, self._checker = asked_for, checker
        self._lock = threading.Lock()
        self._closed = False
        self.rejected: list[Rejection] = []
        self.replacements: list[str] = []
        self._active: Engine
        self._tell(self._promote([]))

    @property
    def active(self) -> Engine:
        """The engine that takes the next window."""
        return self._active

    @property
    def replacing(self) -> bool:
        """Whether another engine is about to take over: it is opened and proved just now."""
        return self._lock.locked()

    def give_up(self, engine: Engine, error: EngineError) -> None:
        """Replace an engine as one that has failed, though no call of it has: it hangs.

        Nothing happens where another is in service already.

        Raises
        ------
        EngineError
            If no other is left, or ``error`` itself if replacing is not wanted.
        SgnError
            After `close`.
        """
        self._expect_own_process()
        self._failed(engine, error)

    def resampler(self, source_rate: int, target_rate: int) -> Resampler:
        """As that of the engine in service; it stays of use when another takes over."""
        return self._active.resampler(source_rate, target_rate)

    def close(self) -> None:
        """Free what the engine in service holds; calls that come after it are errors."""
        with self._lock:  # and with it one that is about to take over
            self._closed = True
        self._active.close()

    def answer(
        self,
        windows: Windows,
        wanted: Positions | None,
        chosen: Positions,
        parts: Sequence[Part],
    ) -> list[Answer]:
        """The network and some sources for a batch of windows, by whichever engine can.

        Parameters
        ----------
        windows
            shape = (B, N), float32.
        wanted
            Categories that `more` may be asked for; None for any.
        chosen
            Categories to make sources of now, shape = (S,), int64.
        parts
            What is heard of each window's sources.

        Raises
        ------
        EngineError
            If the engine fails and no other is left, or replacing is not wanted.
        SgnError
            After `close`, in a forked process, or where `close` has overtaken the call.
        """
        self._expect_own_process()
        while True:
            if self._closed:
                raise closed("separator")
            engine = self._active
            try:
                answers = engine.answer(windows, wanted, chosen, parts)
                holds = self._holds(engine, windows, chosen, parts, answers)
            except EngineError as error:
                self._failed(engine, error)
                continue
            if holds:
                return [
                    Answer(window, *answered, engine)
                    for window, answered in zip(windows, answers, strict=True)
                ]

    def _holds(
        self,
        engine: Engine,
        windows: Windows,
        chosen: Positions,
        parts: Sequence[Part],
        answers: list[Answered],
    ) -> bool:
        """Whether an answer passes its check; else its maker, one of several, is taken out."""
        if self._checker is None or not answers:
            return True
        maker = engine.maker(answers[0][0])
        try:
            self._checker(maker, windows, chosen, parts, answers)
        except EngineError as error:
            engine.lose(maker, error)
            return False
        return True

    def more(
        self, answers: Sequence[Answer], categories: Positions, parts: Sequence[Part]
    ) -> list[NDArray[Any]]:
        """What is heard of further sources of windows, without the network.

        By the engine that answered, as long as it is in service; else by another, from the windows
        on.

        Raises
        ------
        EngineError
            As `answer`.
        """
        self._expect_own_process()
        engine = self._active
        if all(answer.engine is engine for answer in answers) and not self._closed:
            try:
                return engine.hear([answer.analysis for answer in answers], categories, parts)
            except EngineError as error:
                self._failed(engine, error)
        again = self.answer([answer.mixture for answer in answers], None, categories, parts)
        for answer, new in zip(answers, again, strict=True):
            answer.analysis, answer.engine = new.analysis, new.engine
        return [new.sources for new in again]

    def _failed(self, engine: Engine, error: EngineError) -> None:
        """Replace an engine that failed on a window, or raise what it raised."""
        if self._closed:
            raise closed("separator") from error
        if self._parity != "fallback":
            raise error
        log.warning("engine %s failed, its window is computed again: %s", engine.name, error)
        self._replace(engine, error)

    def _replace(self, failed: Engine, error: EngineError) -> None:
        said = None
        with self._lock:
            if self._closed:
                raise closed("separator") from error
            if self._active is failed:  # or another thread's window has already found it out
                said = self._promote([Rejection(failed.name, str(error))])
        self._tell(said)

    def _lost(self, said: str) -> None:
        """One of several engines in service is out of it."""
        self.replacements.append(said)
        self._tell(said)

    def _tell(self, said: str | None) -> None:
        # With no lock held: who shows the warning may well separate something.
        if said is not None:
            warnings.warn(said, ParityWarning, stacklevel=4)

    def _promote(self, failed: list[Rejection]) -> str | None:
        """Put the next engine that may serve in service.

        Parameters
        ----------
        failed
            The engine that it takes over from, if any.

        Returns
        -------
        str or None
            What has to be said, once, if it stands in for others.
        """
        while self._remaining:
            name = self._remaining.pop(0)
            began = time.perf_counter()
            try:
                engine = self._opener(name)
            except SgnError as error:
                self._passed_over(name, error, failed)
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
            self._reject(failed)
            said = []
            if failed:
                reasons = "; ".join(rejection.reason for rejection in failed)
                said.append(f"now {engine.name}, as {reasons}")
            if isinstance(engine, SeveralEngines):
                said += engine.lost
                engine.on_loss = self._lost
            self.replacements += said
            return "; ".join(said) or None
        self._reject(failed)
        reasons = "; ".join(f"{r.engine}: {r.reason}" for r in self.rejected)
        raise EngineError(
            f"engine: got none that can serve ({reasons}), expected one. "
            f"Run `sgn-rt doctor`, or install one: {pip_command('cpu')}"
        )

    def _passed_over(self, name: str, error: SgnError, failed: list[Rejection]) -> None:
        """Take note of an engine that does not open, or raise where that is an error."""
        absent = isinstance(error, DependencyError | UnavailableError)
        if absent:  # then so it is with its other graphs
            self._remaining = [n for n in self._remaining if not n.startswith(f"{name}:")]
        asked = self._asked_for
        named = asked is not None and f"{name}:".startswith(f"{asked}:")
        last = not any(other.startswith(f"{asked}:") for other in self._remaining)
        if (named and last) or (self._parity == "raise" and not absent):
            raise error
        log.log(
            logging.INFO if absent else logging.WARNING, "engine %s passed over: %s", name, error
        )
        if absent:
            self._reject([Rejection(name, str(error))])
        else:
            failed.append(Rejection(name, str(error)))

    def _reject(self, failed: list[Rejection]) -> None:
        # Each engine once: the last one's failures, of which nothing is left to come, do not pile
        # up where a service goes on asking.
        known = {rejection.engine for rejection in self.rejected}
        self.rejected += [rejection for rejection in failed if rejection.engine not in known]
