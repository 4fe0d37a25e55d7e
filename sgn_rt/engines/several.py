"""One model on several GPUs: a call goes to whichever is free, and what one fails at to others."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Analysis, Answered, Float, Part, Positions, Windows
from sgn_rt.audio.resample import Resampler
from sgn_rt.engines.base import Engine
from sgn_rt.errors import EngineError, ParityError

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class _State:
    """What more sources of a window are made of: an engine's analysis, or the window itself."""

    engine: Engine
    analysis: Analysis
    window: Float


class SeveralEngines(Engine):
    """Engines of the same graph on several GPUs, as one.

    A call goes to the engine that has the fewest under way. An analysis stays with the engine that
    made it. An engine that fails is taken out of service, and its windows go to the others; where
    none is left, or where that is not wanted, its error is this one's.

    Parameters
    ----------
    name
        As the engine was chosen.
    engines
        GPU's number -> its engine; at least one.
    lost
        What has been taken out before, as `lost`.
    replaces
        Whether an engine that fails is taken out; else its error is raised.

    Attributes
    ----------
    lost
        What was taken out of service, and why.
    on_loss
        Called with that, once for each, with no lock held.
    """

    def __init__(
        self,
        name: str,
        engines: dict[int, Engine],
        *,
        lost: Sequence[str] = (),
        replaces: bool = True,
    ) -> None:
        first = next(iter(engines.values()))
        super().__init__(first.config)
        self.name, self.precision = name, first.precision
        self.batch = max(engine.batch for engine in engines.values())
        self.lost, self.on_loss = list(lost), _ignore
        self._numbers = {engine: number for number, engine in engines.items()}
        self._busy = dict.fromkeys(self._numbers, 0)
        self._served = dict.fromkeys(self._numbers, 0)
        self._replaces, self._closed, self._lock = replaces, False, threading.Lock()
        self._describe()

    @property
    def engines(self) -> dict[int, Engine]:
        """Those in service, by the number of their GPU."""
        with self._lock:
            return {self._numbers[engine]: engine for engine in self._busy}

    def _describe(self) -> None:
        numbers = ", ".join(str(self._numbers[engine]) for engine in self._busy)
        self.concurrency = sum(engine.concurrency for engine in self._busy)
        self.detail = f"GPUs {numbers}: {next(iter(self._busy)).detail}"

    def prove(self, prover: Callable[[Engine], object]) -> None:
        """Have each engine proved; one that fails is taken out.

        Raises
        ------
        EngineError, ParityError
            If none passes, or if engines are not replaced.
        """
        for engine in self.engines.values():
            try:
                prover(engine)
            except (EngineError, ParityError) as error:
                self.lose(engine, error)

    def lose(self, engine: Engine, error: EngineError | ParityError) -> None:
        """Take an engine out of service.

        Raises
        ------
        EngineError, ParityError
            The error itself, where the engine is the last, or is not to be replaced.
        """
        with self._lock:
            if engine not in self._busy:
                return  # another thread's window has already found it out
            if self._closed or not self._replaces or len(self._busy) == 1:
                raise error
            del self._busy[engine]
            self._describe()
            said = f"GPU {self._numbers[engine]} of {self.name} is out of service, as {error}"
            self.lost.append(said)
        log.warning("%s", said)
        with suppress(EngineError):
            engine.close()
        self.on_loss(said)

    def maker(self, analysis: Analysis) -> Engine:
        """The engine that an analysis is of."""
        state: _State = analysis.state
        return state.engine

    def resampler(self, source_rate: int, target_rate: int) -> Resampler:
        """On the GPU that has the least to do; where that fails, as its own engine has it."""
        with self._at(None) as engine:
            assert engine is not None, "the last one is never taken out"
            return engine.resampler(source_rate, target_rate)

    def close(self) -> None:
        """Free what the engines hold."""
        self._closed = True
        for engine in self.engines.values():
            engine.close()

    def answer(
        self, windows: Windows, wanted: Positions | None, chosen: Positions, parts: Sequence[Part]
    ) -> list[Answered]:
        """As `Engine.answer`, by whichever engine is free."""
        self._expect_own_process()
        answers, engine = self._by_any(lambda each: each.answer(windows, wanted, chosen, parts))
        return [
            (_kept(engine, analysis, window), heard)
            for window, (analysis, heard) in zip(windows, answers, strict=True)
        ]

    def hear(
        self, analyses: Sequence[Analysis], categories: Positions, parts: Sequence[Part]
    ) -> list[NDArray[Any]]:
        """As `Engine.hear`, each by the engine that made the analysis, as long as it serves."""
        self._expect_own_process()
        states: list[_State] = [analysis.state for analysis in analyses]
        found: list[NDArray[Any]] = [np.empty(0, np.float32)] * len(states)
        of_engine: dict[Engine, list[int]] = defaultdict(list)
        for row, state in enumerate(states):
            of_engine[state.engine].append(row)
        for engine, rows in of_engine.items():
            heard = self._heard(
                engine, [states[row] for row in rows], categories, [parts[row] for row in rows]
            )
            for row, sources in zip(rows, heard, strict=True):
                found[row] = sources
        return found

    def _heard(
        self,
        engine: Engine,
        states: Sequence[_State],
        categories: Positions,
        parts: Sequence[Part],
    ) -> list[NDArray[Any]]:
        """Sources of windows that one engine has analysed; by another one, the network again."""
        with self._at(engine) as serves:
            if serves:
                try:
                    return engine.hear([state.analysis for state in states], categories, parts)
                except EngineError as error:
                    self.lose(engine, error)
        windows = [state.window for state in states]
        answers, other = self._by_any(lambda each: each.answer(windows, None, categories, parts))
        for state, (analysis, _) in zip(states, answers, strict=True):
            state.engine, state.analysis = other, analysis
        return [heard for _, heard in answers]

    def _analyze(self, mixture: Float, wanted: Positions | None) -> list[Analysis]:
        analyses, engine = self._by_any(lambda each: each.analyze(mixture, wanted))
        rows = zip(mixture, analyses, strict=True)
        return [_kept(engine, analysis, window) for window, analysis in rows]

    def _synthesize(self, analysis: Analysis, categories: Positions) -> Float:
        (sources,) = self.hear([analysis], categories, [Part(0, self.config.window_samples)])
        return sources

    def _by_any(self, work: Callable[[Engine], T]) -> tuple[T, Engine]:
        """What an engine makes of some work, and which; by another where one fails."""
        while True:
            with self._at(None) as engine:
                assert engine is not None, "the last one is never taken out"
                try:
                    return work(engine), engine
                except EngineError as error:
                    self.lose(engine, error)

    @contextmanager
    def _at(self, engine: Engine | None) -> Iterator[Engine | None]:
        """A call on an engine, or on the one that has the least to do; None where it is out."""
        with self._lock:
            if engine is None:
                engine = min(self._busy, key=self._load)
            serves = engine in self._busy
            if serves:
                self._busy[engine] += 1
                self._served[engine] += 1
        try:
            yield engine if serves else None
        finally:
            with self._lock:
                if engine in self._busy:
                    self._busy[engine] -= 1

    def _load(self, engine: Engine) -> tuple[float, int]:
        return self._busy[engine] / engine.concurrency, self._served[engine]


def _kept(engine: Engine, analysis: Analysis, window: Float) -> Analysis:
    return Analysis(analysis.presence, _State(engine, analysis, window))


def _ignore(said: str) -> None:
    del said
