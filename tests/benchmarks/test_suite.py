"""What a plan means, and the ratios that are made of figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sgn_rt.benchmarks.harness import NO_WARMING
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.scenarios import every
from sgn_rt.benchmarks.suite import HOUR_S, Plan, quick, ratios_of, ratios_to, setting_of
from sgn_rt.errors import ConfigError


def figure(row, values, **changes):
    made = {
        "scenario": "files", "case": "all named, warm", "row": row, "name": "time", "unit": "s",
        "better": "lower", "values": tuple(values), "value": sorted(values)[len(values) // 2],
    }  # fmt: skip
    return Figure(**made | changes)


def test_ratios_are_of_runs_that_lay_next_to_each_other():
    figures = [
        figure("torch", [2.0, 20.0, 4.0]), figure("onnxruntime", [1.0, 10.0, 2.0]),
        figure("openvino", [2.0, 20.0, 4.0]),
    ]  # fmt: skip
    found = {(r.row, r.to): r for r in ratios_to("torch", figures)}
    assert list(found) == [("onnxruntime", "torch"), ("openvino", "torch")]
    assert found["onnxruntime", "torch"].value == 2.0
    assert found["onnxruntime", "torch"].interval == (2.0, 2.0)
    assert found["openvino", "torch"].value == 1.0


def test_whole_files_are_compared_with_the_reference_as_it_is_called_too():
    figures = [
        figure(row, [seconds], scenario=scenario)
        for scenario in ("files", "batch")
        for row, seconds in (("onnxruntime", 1.0), ("torch", 3.0), ("torch-twice", 4.0))
    ]
    found = {(r.scenario, r.row, r.to): r.value for r in ratios_of(figures)}
    assert found == {
        ("files", "onnxruntime", "torch"): 3.0, ("files", "torch-twice", "torch"): 0.75,
        ("files", "onnxruntime", "torch-twice"): 4.0, ("files", "torch", "torch-twice"): 4 / 3,
        ("batch", "onnxruntime", "torch"): 3.0, ("batch", "torch-twice", "torch"): 0.75,
    }  # fmt: skip


@pytest.mark.parametrize("changes", [
    {"case": "none named, warm"}, {"scenario": "length"}, {"network": "paper-scale"},
    {"name": "peak memory"}, {"value": float("nan"), "values": (), "failure": "broken"},
    {"value": 0.0, "values": ()},
])  # fmt: skip
def test_what_is_not_the_same_is_not_compared(changes):
    figures = [figure("torch", [2.0]), replace(figure("onnxruntime", [1.0]), **changes)]
    assert ratios_to("torch", figures) == []


def test_without_the_reference_there_are_no_ratios():
    assert ratios_to("torch", [figure("onnxruntime", [1.0])]) == []


def test_a_plan_says_what_scenarios_are_given():
    plan = Plan(minutes=0.5, hour=True, threads=3, seed=4)
    setting = setting_of(plan, None, "published", Path("x"))
    assert (setting.seconds, setting.threads, setting.seed) == (30.0, 3, 4)
    assert setting.lengths_s[-1] == HOUR_S
    smallest = setting_of(quick(plan), None, "published", Path("x"))
    assert smallest.file_warming == smallest.call_warming == NO_WARMING
    assert max(smallest.lengths_s) < 10
    assert smallest.most_streams == 1
    assert smallest.categories == 0
    assert (plan.passes, quick(plan).passes) == (3, 1)
    assert quick(plan).scenarios == every.QUICK
    assert quick(Plan(scenarios=("server",))).scenarios == ("server",)


def test_a_scenario_that_there_is_not(fails):
    with fails(ConfigError, "'flies'", "files"):
        Plan(scenarios=("files", "flies"))
