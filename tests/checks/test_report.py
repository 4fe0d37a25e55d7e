"""The report: every outcome, on the disk after each check; time that is over; going on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sgn_rt.checks.check import Part, Verdict
from sgn_rt.checks.report import Report, chosen, run_checks
from sgn_rt.checks.runner import LocalRunner
from sgn_rt.errors import ConfigError, EngineError, UnavailableError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "report.txt"


@pytest.fixture
def run(place, machine, path, clock):
    """Run groups' checks into the report; keywords as `run_checks`' and `Report`'s."""

    def work(*groups, names=None, again=False, told=None, **options) -> Report:
        report = Report(path, options.pop("machine", machine), again=again)
        tell = id if told is None else told.append
        run_checks(
            chosen(groups, names), LocalRunner(place, clock), report, clock=clock, tell=tell,
            **options,
        )  # fmt: skip
        return report

    return work


def _verdicts(report):
    return {name: outcome.verdict for name, (_, outcome) in report.outcomes.items()}


def _fails(world):
    raise EngineError("copy: got 1, expected 2. Report it.")


def test_a_check_that_fails_stops_no_other(run, make_group, path):
    groups = [make_group(part, fails=_fails, holds=lambda world: {}) for part in Part]
    told = []
    report = run(*groups, told=told)
    assert list(_verdicts(report).values()) == 3 * [Verdict.FAILED, Verdict.HELD]
    assert not report.held
    assert told[:3] == ["device/fails ...", "device/fails: FAILED", "device/holds ..."]
    written = json.loads(path.with_name("report.txt.json").read_text())
    assert written == json.loads(json.dumps(report.to_dict()))
    assert path.read_text() == report.text


def test_held_is_only_what_was_checked(run, make_group):
    def absent(place):
        raise UnavailableError("GPU: got none, expected one. Check it.")

    group = make_group(holds=lambda world: {})
    assert run(group).held
    nothing = make_group(Part.TENSORRT, open=absent, check=lambda world: {})
    assert run(group, nothing).held
    assert not run(nothing, again=True).held


def test_parts_and_checks_are_run_by_name(make_group):
    groups = [
        make_group(Part.DEVICE, graphs=_fails, copies=_fails),
        make_group(Part.TENSORRT, graphs=_fails),
        make_group(Part.TENSORRT, name="tensorrt-rtx", graphs=_fails),
    ]

    def names(*wanted):
        return [group.name_of(check) for group, check in chosen(groups, wanted or None)]

    assert len(names()) == 4
    assert names("device") == ["device/graphs", "device/copies"]
    assert names("tensorrt") == ["tensorrt/graphs", "tensorrt-rtx/graphs"]
    assert names("tensorrt-rtx", "device/copies") == ["device/copies", "tensorrt-rtx/graphs"]
    with pytest.raises(ConfigError, match=r"got 'grahps', expected one of device, onnxruntime"):
        names("grahps")


def test_time_that_is_over_leaves_checks_for_the_next_run(run, make_group, clock):
    def slow(world):
        clock.now += 50.0
        return {"left": world.budget.left}

    group = make_group(limit_s=60.0, first=slow, second=slow, third=slow)
    report = run(group, seconds=90.0)
    assert list(_verdicts(report).values()) == [Verdict.HELD, Verdict.HELD, Verdict.NOT_RUN]
    # The second had what was left of all.
    assert report.outcomes["device/second"][1].figures == {"left": 40.0 - 50.0}
    assert not report.held
    assert "not run: time was up" in report.text
    resumed = run(group, seconds=90.0)
    assert list(_verdicts(resumed).values()) == 3 * [Verdict.HELD]


def test_a_run_that_was_killed_is_gone_on_with(run, make_group, clock):
    runs = []

    def make(killed):
        def check(name):
            def run_it(world):
                if name == killed:
                    raise KeyboardInterrupt
                runs.append(name)
                return {"figure": len(runs)}

            return run_it

        return make_group(first=check("first"), second=check("second"), third=check("third"))

    with pytest.raises(KeyboardInterrupt):
        run(make("second"))
    assert runs == ["first"]
    report = run(make(None))
    assert runs == ["first", "second", "third"]
    assert report.outcomes["device/first"][1].figures == {"figure": 1}
    run(make(None), again=True)
    assert runs == ["first", "second", "third"] * 2


@pytest.mark.parametrize(
    "changed",
    [
        {"code": "ba9876543210"},
        {"packages": {"torch": "2.14.0"}},
        {"bundle": {"name": "small", "identity": "xyz", "graphs": []}},
        {"gpus": [{"name": "Fake GPU", "driver_version": "581.0"}]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_outcomes_of_another_machine_or_version_are_not_gone_on_from(
    run, make_group, machine, changed
):
    runs = []
    group = make_group(check=lambda world: runs.append(1) or {})
    run(group)
    warmer = machine["gpus"][0] | {"clocks.sm": "500 MHz"}
    run(group, machine=machine | {"gpus": [warmer]})
    assert len(runs) == 1
    run(group, machine=machine | changed)
    assert len(runs) == 2


@pytest.mark.parametrize("content", ["", "[]", "{", '{"machine": {}}'])
def test_a_damaged_file_is_begun_anew(run, make_group, path, content):
    path.with_name("report.txt.json").write_text(content)
    assert run(make_group(check=lambda world: {})).held


def test_figures_of_any_kind_are_written(run, make_group, path):
    def check(world):
        return {"ratio": float("inf"), "count": np.int64(3), "rows": [{"GB/s": np.float32(1.5)}]}

    run(make_group(check=check))
    (found,) = json.loads(path.with_name("report.txt.json").read_text(), parse_constant=_refuse)[
        "checks"
    ]
    assert found["figures"] == {"ratio": "inf", "count": 3, "rows": [{"GB/s": 1.5}]}


def _refuse(name):
    raise AssertionError(f"{name} is no JSON")
