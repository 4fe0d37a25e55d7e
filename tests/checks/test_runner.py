"""Checks are run one by one, here or in a process that may be lost; none takes others along."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

from sgn_rt.checks.check import Budget, Part, Verdict
from sgn_rt.checks.runner import TIME_IS_UP, LocalRunner, ProcessRunner
from sgn_rt.errors import DependencyError, EngineError, UnavailableError

from .conftest import World


def _raises(error):
    def run(world):
        raise error

    return run


def test_figures_failures_and_reasons_are_told_apart(place, make_group):
    group = make_group(
        holds=lambda world: {"figure": 1.5},
        fails=_raises(EngineError("copy: got 1, expected 2. Report it.")),
        breaks=_raises(ZeroDivisionError("by a kernel")),
        lacks=_raises(DependencyError("cupy: got none, expected it. Install it.")),
        absent=_raises(UnavailableError("GPU: got none, expected one. Check it.")),
    )
    runner = LocalRunner(place)
    outcomes = {check.name: runner.run(group, check, Budget(60.0)) for check in group.checks}
    assert [outcome.verdict for outcome in outcomes.values()] == [
        Verdict.HELD, Verdict.FAILED, Verdict.FAILED,
        Verdict.DOES_NOT_APPLY, Verdict.DOES_NOT_APPLY,
    ]  # fmt: skip
    assert outcomes["holds"].figures == {"figure": 1.5}
    assert outcomes["fails"].reason == "copy: got 1, expected 2. Report it."
    assert "ZeroDivisionError: by a kernel" in outcomes["breaks"].reason
    assert outcomes["lacks"].reason.startswith("cupy: got none")


def test_a_world_is_opened_once_and_closed_before_the_next(place, make_group):
    worlds = []

    def open_world(place):
        worlds.append(World())
        return worlds[-1]

    check = {"first": lambda world: {}, "second": lambda world: {}}
    groups = [make_group(part, open=open_world, **check) for part in Part]
    runner = LocalRunner(place)
    for group in groups:
        for each in group.checks:
            assert runner.run(group, each, Budget(60.0)).verdict == Verdict.HELD
    assert [world.log for world in worlds] == [["close"], ["close"], []]
    runner.close()
    assert worlds[-1].log == ["close"]


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (UnavailableError("GPU: got none, expected one. Check it."), Verdict.DOES_NOT_APPLY),
        (EngineError("GPU: got an old driver, expected a new one. Do it."), Verdict.FAILED),
    ],
)
def test_a_world_that_does_not_open_is_every_checks_reason(place, make_group, error, verdict):
    tries = []

    def open_world(place):
        tries.append(place)
        raise error

    group = make_group(open=open_world, first=lambda world: {}, second=lambda world: {})
    runner = LocalRunner(place)
    for check in group.checks:
        outcome = runner.run(group, check, Budget(60.0))
        assert (outcome.verdict, outcome.reason) == (verdict, str(error))
    assert len(tries) == 1


def test_a_check_has_its_own_time_or_what_is_left_of_all(place, make_group, clock):
    def check(world):
        return {"left": world.budget.left}

    group = make_group(limit_s=30.0, check=check)
    runner = LocalRunner(place, clock)
    for total, left in ((100.0, 30.0), (20.0, 20.0)):
        outcome = runner.run(group, group.checks[0], Budget(total, clock))
        assert outcome.figures == {"left": left}


@pytest.fixture
def lost(monkeypatch):
    """Checks that end their process, importable there."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("losing_checks")


@pytest.fixture
def processes(place, lost):
    runner = ProcessRunner(place)
    yield runner
    runner.close()


def test_a_lost_process_costs_one_check(processes, lost):
    def run(name):
        return processes.run(lost.GROUP, lost.CHECKS[name], Budget(600.0))

    first = run("holds")
    assert first.figures["process"] not in (None, os.getpid())
    assert run("holds").figures == first.figures  # the same process goes on

    dead = run("dies")
    assert dead.verdict == Verdict.FAILED
    assert "device/dies: got a process that ended with 9" in dead.reason
    second = run("holds")
    assert second.verdict == Verdict.HELD
    assert second.figures != first.figures

    late = run("hangs")
    assert late.verdict == Verdict.FAILED
    assert "got no end within" in late.reason

    # A failure after which the device cannot be trusted ends the process, too.
    third = run("holds")
    assert "illegal address" in run("breaks").reason
    fourth = run("holds")
    assert fourth.figures != third.figures

    # As does a check that breaks it on purpose.
    assert run("leaves").figures == fourth.figures
    assert run("holds").figures != fourth.figures


def test_a_group_has_a_process_and_variables_of_its_own(processes, lost):
    runs = [
        processes.run(group, lost.CHECKS["holds"], Budget(600.0)).figures
        for group in (lost.GROUP, lost.OTHER, lost.GROUP)
    ]
    assert [run["variable"] for run in runs] == [None, "1", None]
    assert len({run["process"] for run in runs}) == 3


def test_what_the_time_of_all_cuts_short_has_not_failed(processes, lost):
    assert processes.run(lost.GROUP, lost.CHECKS["holds"], Budget(600.0)).figures
    cut = processes.run(lost.GROUP, lost.CHECKS["hangs"], Budget(0.0))
    assert (cut.verdict, cut.reason) == (Verdict.NOT_RUN, TIME_IS_UP)
