"""What TensorRT calls back while it builds: a logger, and a monitor of progress.

An exception must not pass through TensorRT's C++ frames: it is kept, the build is told to stop, and
`reraise` raises it afterwards. That is also how Ctrl-C ends a build.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Progress = Callable[[float], None]
"""Told now and then how much is done, 0 to 1."""


_ERRORS: Final = 3
"""Errors that are kept, and told: the last."""


def ignore(done: float) -> None:
    """Progress that nobody looks at."""
    del done


class Log:
    """Messages of TensorRT: all while it builds, as the figure of the layers is printed there.

    Parameters
    ----------
    errors_only
        Keep the last errors alone: for what goes on for days.
    """

    def __init__(self, *, errors_only: bool = False) -> None:
        self.messages: list[str] = []
        self.errors: list[str] = []
        self._errors_only = errors_only

    def hear(self, message: str, *, is_error: bool) -> None:
        """Take a message."""
        if is_error:
            self.errors.append(message)
            del self.errors[:-_ERRORS]
        if not self._errors_only:
            self.messages.append(message)

    @property
    def reason(self) -> str:
        """What went wrong, as far as TensorRT says."""
        return " / ".join(" ".join(error.split()) for error in self.errors) or "no reason given"


def make_logger(module: Any, log: Log) -> Any:
    """A TensorRT logger (all severities) that writes to ``log``."""
    worst = (module.ILogger.Severity.INTERNAL_ERROR, module.ILogger.Severity.ERROR)

    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log.hear(message, is_error=severity in worst)

    return Logger()


@dataclass(slots=True)
class _Phase:
    parent: str | None
    steps: int
    done: int = 0
    inner: float = 0.0

    @property
    def fraction(self) -> float:
        return min(1.0, (self.done + min(1.0, self.inner)) / max(self.steps, 1))


class ProgressTree:
    """Nested phases of a build as one number.

    A step that contains phases counts with the share that they say.
    """

    def __init__(self, tell: Progress) -> None:
        self._tell = tell
        self._phases: dict[str, _Phase] = {}
        self._told = 0.0
        self.failure: BaseException | None = None

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins inside of another."""
        self._phases[name] = _Phase(parent if parent in self._phases else None, steps)

    def step(self, name: str, index: int) -> bool:
        """Step ``index`` (from 0) of a phase is done; False asks to stop."""
        phase = self._phases.get(name)
        if phase is not None:
            phase.done, phase.inner = index + 1, 0.0
            self._pass_on(phase)
        return self._say()

    def finish(self, name: str) -> None:
        """A phase ends."""
        phase = self._phases.pop(name, None)
        if phase is not None:
            phase.done, phase.inner = phase.steps, 0.0
            self._pass_on(phase)
            if not self._phases:
                self._told = 1.0
            self._say()

    def _pass_on(self, phase: _Phase) -> None:
        while phase.parent is not None and phase.parent in self._phases:
            fraction, phase = phase.fraction, self._phases[phase.parent]
            phase.inner = max(phase.inner, fraction)

    def _say(self) -> bool:
        if self.failure is not None:
            return False
        roots = [phase.fraction for phase in self._phases.values() if phase.parent is None]
        self._told = max(self._told, min(roots, default=self._told))
        try:
            self._tell(self._told)
        except BaseException as error:
            self.failure = error
            return False
        return True

    def reraise(self) -> None:
        """Raise what came out of the listener, if anything did."""
        if self.failure is not None:
            raise self.failure


def make_monitor(module: Any, tree: ProgressTree) -> Any:
    """A TensorRT progress monitor that reports to ``tree``."""

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return tree.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            tree.finish(phase_name)

    return Monitor()
