"""What a hub does about a stream whose windows come too late. None of it is silent."""

from __future__ import annotations

from typing import Final, Literal, Protocol

import numpy as np

from sgn_rt.errors import OverloadError
from sgn_rt.streaming.hub.flow import Flow, Pending
from sgn_rt.streaming.hub.overload import Overload, OverloadSpan
from sgn_rt.streaming.jobs import Heard, Job
from sgn_rt.streaming.settings import StreamSettings

PASSED: Final = "pass-through"
"""In the place of an engine's name, of windows that no network has heard."""

LEAST_CALM: Final = 8
"""Windows in a row that must be in time before a stream goes back to its own step."""
MOST_CALM: Final = 128
"""So many at most: their number doubles whenever going back has made it late again."""


class Pace(Protocol):
    """Who schedules a stream's windows."""

    def pace(self, flow: Flow, step_s: float) -> None:
        """Windows of a stream come at another step from now on."""
        ...


class Policy:
    """Late windows are counted, and no more is done: so it is where streams are refused."""

    def __init__(self, flow: Flow, owner: Pace) -> None:
        self._flow, self._owner = flow, owner

    def passes(self, late_s: float) -> bool:
        """Whether a window that would be late by so much (negative: in time) goes unheard."""
        del late_s
        return False

    def added(self, pending: Pending, late_s: float) -> None:
        """Told of every window: by how much later than allowed it came; negative, in time."""
        del pending
        if late_s > 0.0:
            self._flow.overload["late"] += 1

    def _note(self, kind: Literal["longer-step", "pass-through"], pending: Pending) -> None:
        rate = self._flow.settings.config.sample_rate
        first, size = pending.window.first, pending.window.size
        self._flow.overload[kind] += 1
        self._flow.spans.add(OverloadSpan(kind, first / rate, (first + size) / rate))


class Raise(Policy):
    """A stream of which a window was late raises from then on; what it was fed is still heard."""

    def added(self, pending: Pending, late_s: float) -> None:
        """As `Policy.added`."""
        super().added(pending, late_s)
        if late_s > 0.0 and self._flow.late_error is None:
            at_s = pending.window.first / self._flow.settings.config.sample_rate
            self._flow.overload["raised"] += 1
            self._flow.late_error = OverloadError(
                f"stream: got its window at {at_s:.2f} s {late_s:.3f} s later than the deadline "
                "allows, expected it in time. Close it, and open fewer streams at a time, or with "
                "more latency."
            )


class LongerStep(Policy):
    """A stream that is late takes longer steps, so fewer windows, until it was calm for a while."""

    def __init__(self, flow: Flow, owner: Pace) -> None:
        super().__init__(flow, owner)
        self._longer = flow.settings.layout.longer_step
        self._calm, self._wanted = 0, LEAST_CALM
        self._changed = 0  # the first window of the layout that is in use

    def added(self, pending: Pending, late_s: float) -> None:
        """As `Policy.added`."""
        super().added(pending, late_s)
        if pending.longer:
            self._note("longer-step", pending)
        if pending.window.number < self._changed:
            return  # says nothing of the layout that is in use now
        settings, grid = self._flow.settings, self._flow.state.grid
        self._calm = 0 if late_s > 0.0 else self._calm + 1
        if grid.layout is settings.layout and late_s > 0.0:
            self._change(longer=True)
        elif grid.layout is not settings.layout and self._calm >= self._wanted:
            self._wanted = min(MOST_CALM, 2 * self._wanted)
            self._change(longer=False)
        elif grid.layout is settings.layout and self._calm >= 2 * self._wanted:
            self._wanted = LEAST_CALM

    def _change(self, *, longer: bool) -> None:
        state, settings = self._flow.state, self._flow.settings
        layout = self._longer if longer else settings.layout
        state.grid.change(state.begun, layout)
        self._calm, self._changed = 0, state.begun
        self._owner.pace(self._flow, layout.step / settings.config.sample_rate)


class PassThrough(Policy):
    """What would come too late is the mixture itself, cross-faded like any other window."""

    def passes(self, late_s: float) -> bool:
        """As `Policy.passes`."""
        return late_s > 0.0

    def added(self, pending: Pending, late_s: float) -> None:
        """As `Policy.added`."""
        super().added(pending, late_s)
        if pending.passes:
            self._note("pass-through", pending)


POLICIES: Final[dict[Overload, type[Policy]]] = {
    "refuse": Policy,
    "raise": Raise,
    "longer-step": LongerStep,
    "pass-through": PassThrough,
}


def passed(job: Job, settings: StreamSettings) -> Heard:
    """The mixture in the place of each source; with a residual an equal share of it.

    So sources and residual add up to the mixture as ever, and the residual is silent: it would be
    the mixture times one less than the number of sources, upside down.
    """
    part = job.part
    shares = len(settings.named) if settings.residual else 1
    mixture = job.mixture[part.start : part.stop] * np.float32(part.gain / shares)
    positions = settings.positions(settings.named)
    return Heard(dict.fromkeys(positions.tolist(), mixture), None, PASSED, job, None)
