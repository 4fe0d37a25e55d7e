"""An engine as the generator's system under test: windows in, sources out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sgn_rt._types import Float, Positions
from sgn_rt.benchmarks.loadgen.scenario import Run, generator
from sgn_rt.engines.base import Engine, first_line
from sgn_rt.errors import EngineError


class SystemUnderTest:
    """Answers what the generator asks, in threads: as many calls and windows as the engine likes.

    A call takes what waits, and waits for nothing more. The generator waits for ever for an answer
    that does not come, so after an error every answer is empty, and `error` tells.

    Parameters
    ----------
    engine
        What is measured.
    windows
        What may be asked for, shape = (B, N), float32.
    categories
        Whose sources are made of each, shape = (S,).
    on_error
        Called with the first error, in the thread of the call, where it is given.
    """

    def __init__(
        self,
        engine: Engine,
        windows: Float,
        categories: Positions,
        on_error: Callable[[Exception], object] | None,
    ) -> None:
        self.error: Exception | None = None
        self._engine, self._windows, self._categories = engine, windows, categories
        self._on_error, self._generator = on_error, generator()
        self._asked: deque[tuple[int, int]] = deque()
        self._changed, self._over = threading.Condition(), False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Threads that answer, until all that was asked is answered."""
        threads = [
            threading.Thread(target=self._work, name=f"sgn-rt-loadgen-{number}")
            for number in range(self._engine.concurrency)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()
            for thread in threads:
                thread.join()

    def issue(self, samples: Sequence[Any]) -> None:
        """The generator's call: takes note of what is asked, and comes back at once."""
        with self._changed:
            self._asked.extend((sample.id, sample.index) for sample in samples)
            self._changed.notify_all()

    def flush(self) -> None:
        """The generator's call after the last query: nothing is held back that could be sent."""

    def _work(self) -> None:
        while batch := self._next():
            ids, indices = zip(*batch, strict=True)
            try:
                if self.error is None:
                    self._answer(ids, indices)
                    continue
            except Exception as error:  # whatever it is, the generator must not wait for ever
                self._failed(error)
            empty = [self._generator.QuerySampleResponse(each, 0, 0) for each in ids]
            self._generator.QuerySamplesComplete(empty)

    def _next(self) -> list[tuple[int, int]]:
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self._over)
            count = min(len(self._asked), self._engine.batch)
            return [self._asked.popleft() for _ in range(count)]

    def _answer(self, ids: Sequence[int], indices: Sequence[int]) -> None:
        sources = self._engine.separate(self._windows[list(indices)], self._categories).sources
        answers = [
            self._generator.QuerySampleResponse(each, rows.ctypes.data, rows.nbytes)
            for each, rows in zip(ids, sources, strict=True)
        ]
        self._generator.QuerySamplesComplete(answers)  # ``sources`` lives until it is back

    def _failed(self, error: Exception) -> None:
        with self._changed:
            first, self.error = self.error is None, self.error or error
        if first and self._on_error is not None:
            self._on_error(error)


def drive(
    engine: Engine,
    windows: Float,
    categories: Positions,
    run: Run,
    folder: Path,
    on_error: Callable[[Exception], object] | None = None,
) -> None:
    """Have the generator run a scenario; what it finds it writes to a folder.

    An engine that hangs, hangs this call: it belongs into a process that can be ended.

    Parameters
    ----------
    engine, windows, categories, on_error
        As `SystemUnderTest`.
    run
        What is run.
    folder
        For the generator's files, which replace those of an earlier run.

    Raises
    ------
    DependencyError
        If the generator is not installed.
    EngineError
        If the engine has failed on a window: what the generator says of such a run is worth
        nothing.
    """
    found = generator()
    settings = run.settings()
    folder.mkdir(parents=True, exist_ok=True)
    under_test = SystemUnderTest(engine, windows, categories, on_error)
    output, logs = found.LogOutputSettings(), found.LogSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    logs.log_output, logs.enable_trace = output, False
    library = found.ConstructQSL(len(windows), len(windows), _in_memory, _in_memory)
    system = found.ConstructSUT(under_test.issue, under_test.flush)
    try:
        with under_test.at_work():
            # Of an audit's file it reads settings, where there is one: there never is one here.
            audit = str(folder / "no-audit.config")
            found.StartTestWithLogSettings(system, library, settings, logs, audit)
    finally:
        found.DestroySUT(system)
        found.DestroyQSL(library)
    if under_test.error is not None:
        raise failed(engine.name, under_test.error) from under_test.error


def failed(name: str, error: Exception) -> EngineError:
    """The error of a run in which an engine has failed."""
    if isinstance(error, EngineError):
        return error
    return EngineError(
        f"{name}: got {type(error).__name__}: {first_line(error)}, expected sources. "
        "Leave this row out, and report it."
    )


def _in_memory(samples: Sequence[int]) -> None:
    """The generator's call to load samples, or let go of them: all are in memory anyway."""
    del samples
