"""Runs checks: in this process, or in one that may be lost without losing the report."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol, cast

from sgn_rt.checks.check import (
    Budget,
    Check,
    Clock,
    Group,
    Outcome,
    Place,
    Verdict,
    World,
    plain,
)
from sgn_rt.errors import DependencyError, SgnError, UnavailableError

OPENING_S: Final = 240.0
"""What the making of a world may take beside its first check: libraries load, graphs are made."""
CLOSING_S: Final = 10.0
TIME_IS_UP: Final = "time was up: run the same command again, which goes on from here"


class Runner(Protocol):
    """Runs one check after the other."""

    def run(self, group: Group, check: Check, total: Budget) -> Outcome:
        """What became of a check, in its own time and what is left of all; raises nothing."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class LocalRunner:
    """Runs checks in this process; one group's world is open at a time."""

    def __init__(self, place: Place, clock: Clock = time.monotonic) -> None:
        self._place, self._clock = place, clock
        self._group: str | None = None
        self._world: World | None = None
        self._closed_for: Outcome | None = None

    @property
    def is_usable(self) -> bool:
        """Whether the next check of the group has a world that it can trust."""
        try:
            return self._world is None or self._world.is_usable
        except Exception:  # a world that cannot even be asked
            return False

    def run(self, group: Group, check: Check, total: Budget) -> Outcome:
        """As `Runner.run`."""
        if self._group != group.name:
            self.close()
            self._group = group.name
            opened = self._told(lambda: self._open(group))
            self._closed_for = None if opened.verdict == Verdict.HELD else opened
        world = self._world
        if world is None:
            assert self._closed_for is not None
            return self._closed_for
        world.budget = Budget(min(check.limit_s, total.left), self._clock)
        return self._told(lambda: check.run(world))

    def close(self) -> None:
        """As `Runner.close`."""
        world, self._world, self._group = self._world, None, None
        if world is not None:
            with contextlib.suppress(Exception):  # the device may be lost, and all is said
                world.close()

    def _open(self, group: Group) -> Mapping[str, Any]:
        self._world = group.open(self._place)
        return {}

    def _told(self, work: Callable[[], Mapping[str, Any]]) -> Outcome:
        start = self._clock()
        figures: Mapping[str, Any] = {}
        verdict, reason = Verdict.HELD, None
        try:
            figures = plain(work())
        except (DependencyError, UnavailableError) as error:
            verdict, reason = Verdict.DOES_NOT_APPLY, str(error)
        except SgnError as error:
            verdict, reason = Verdict.FAILED, str(error)
        except Exception:  # whatever it is, the report has to tell it
            verdict, reason = Verdict.FAILED, traceback.format_exc()
        seconds = self._clock() - start
        return Outcome(verdict=verdict, seconds=seconds, figures=figures, reason=reason)


def _serve(connection: Connection, place: Place, environment: Mapping[str, str]) -> None:
    """In a process of its own: one check after the other, while the device can be trusted."""
    os.environ.update(environment)
    runner, usable = LocalRunner(place), True
    with connection:
        while usable:
            try:
                group, check, left = connection.recv()
            except EOFError:
                break
            outcome = runner.run(group, check, Budget(left))
            usable = not check.breaks_device and (
                outcome.verdict != Verdict.FAILED or runner.is_usable
            )
            connection.send((outcome, usable))
        runner.close()


class ProcessRunner:
    """Runs each group in a process of its own, and in a new one after it was lost.

    A kernel that breaks the context, a crash, a check that never ends: each costs that check, and
    no other. Processes are spawned, as what CUDA holds does not survive a fork.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._process: Any = None
        self._connection: Connection | None = None
        self._group: str | None = None

    def run(self, group: Group, check: Check, total: Budget) -> Outcome:
        """As `Runner.run`."""
        opening = 0.0
        if self._group != group.name:
            self.close()
            opening = OPENING_S
        limit = min(check.limit_s + opening, total.left)
        start = time.monotonic()
        try:
            connection = self._running(group)
            connection.send((group, check, total.left))
            self._group = group.name
            if connection.poll(max(limit, 0.0)):
                outcome, usable = connection.recv()
                if not usable:
                    self._end()
                return cast("Outcome", outcome)
            reason = f"got no end within {limit:.0f} s, expected one. Please report this."
        except (EOFError, OSError):
            self._process.join()
            reason = (
                f"got a process that ended with {self._process.exitcode}, expected figures. "
                "Please report this, with what it has printed."
            )
        over = total.left <= 0.0
        self._end()
        return Outcome(
            verdict=Verdict.NOT_RUN if over else Verdict.FAILED,
            seconds=time.monotonic() - start,
            reason=TIME_IS_UP if over else f"{group.name_of(check)}: {reason}",
        )

    def close(self) -> None:
        """As `Runner.close`."""
        if self._connection is not None:
            self._connection.close()  # which ends it
            self._process.join(CLOSING_S)
            self._connection = None
        self._end()

    def _running(self, group: Group) -> Connection:
        if self._connection is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            arguments = (theirs, self._place, dict(group.environment))
            self._process = context.Process(target=_serve, args=arguments)
            self._process.start()
            theirs.close()
        return self._connection

    def _end(self) -> None:
        process, self._process = self._process, None
        connection, self._connection, self._group = self._connection, None, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            process.join()
            process.close()
