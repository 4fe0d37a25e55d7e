"""What counts as worse, by values made by hand: same, better, worse, noisy, and what is missing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sgn_rt.benchmarks.report.comparison import compare
from sgn_rt.benchmarks.report.verdict import comparison_section
from sgn_rt.benchmarks.result import Figure, Row, median_interval

LIMIT = 0.05
ENGINES = ("onnxruntime", "onnxruntime:core.int8")


def only(result, *figures):
    return dataclasses.replace(result, figures=figures)


def figure(values, better="lower", **more):
    told = {"scenario": "files", "row": "onnxruntime", "name": "time", "unit": "s"}
    return Figure(
        **told | more, better=better, values=tuple(values), value=float(np.median(values)),
        interval=median_interval(values),
    )  # fmt: skip


def verdict(result, old, new, limit=LIMIT):
    compared = compare(only(result, old), only(result, new), limit)
    (pair,) = compared.pairs
    return pair.verdict, compared.exit_code, pair


def rounds(middle, spread, seed, count=15):
    return middle * (1 + spread * np.random.default_rng(seed).standard_normal(count))


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_same_better_worse(result, better):
    def judged(factor):
        old = figure(rounds(2.0, 0.01, 1), better)
        new = figure(rounds(2.0 * (factor if better == "lower" else 1 / factor), 0.01, 2), better)
        return verdict(result, old, new)

    assert judged(1.0)[:2] == ("same", 0)
    assert judged(1.03)[:2] == ("worse", 0)  # all of it is worse, within the limit
    assert judged(1.2)[:2] == ("WORSE", 1)
    found, code, pair = judged(0.8)
    assert (found, code) == ("better", 0)
    assert pair.ratio == pytest.approx(1.25, rel=0.02)
    low, high = pair.interval
    assert low < pair.ratio < high
    assert high - low < 0.1


def test_noise_is_no_verdict(result):
    old, new = figure(rounds(2.0, 0.3, 1)), figure(rounds(2.3, 0.3, 2))
    found, code, pair = verdict(result, old, new)
    assert (found, code) == ("same", 0)
    assert pair.interval[0] < 1 < pair.interval[1]


def test_chance_alone_is_seldom_worse_and_hardly_ever_beyond_the_limit(result):
    found = [
        verdict(result, figure(rounds(1.0, 0.03, 2 * n)), figure(rounds(1.0, 0.03, 2 * n + 1)))[0]
        for n in range(200)
    ]
    assert found.count("WORSE") == 0
    assert 0 < found.count("worse") + found.count("better") < 24  # 5 %, and the bootstrap's bias


def test_the_limit_moves_the_verdict(result):
    old, new = figure(rounds(2.0, 0.01, 1)), figure(rounds(2.4, 0.01, 2))
    assert verdict(result, old, new, limit=0.1)[1] == 1
    assert verdict(result, old, new, limit=0.3)[:2] == ("worse", 0)


def test_of_a_single_value_the_intervals_decide(result):
    old = dataclasses.replace(figure([2.0]), interval=(1.9, 2.1))
    new = dataclasses.replace(figure([3.0]), interval=(2.9, 3.1))
    found, code, pair = verdict(result, old, new)
    assert (found, code) == ("WORSE", 1)
    below = np.hypot(np.log(2.0 / 1.9), np.log(3.1 / 3.0))
    above = np.hypot(np.log(2.1 / 2.0), np.log(3.0 / 2.9))
    assert pair.interval == pytest.approx((2 / 3 * np.exp(-below), 2 / 3 * np.exp(above)))
    assert verdict(result, figure([2.0]), new)[:2] == ("unsure", 2)


def test_the_whole_of_a_run(result, slower):
    same = compare(result, slower(result, 1.0), LIMIT)
    assert same.exit_code == 0
    assert len(same.pairs) == sum(each.failure is None for each in result.figures)

    def chosen(each):
        return each.scenario == "files" and each.row == "onnxruntime"

    worse = compare(result, slower(result, 1.5, chosen), LIMIT)
    assert worse.exit_code == 1
    assert [p.new.scenario for p in worse.pairs if p.verdict == "WORSE"] == ["files", "files"]
    first, *_ = comparison_section(worse).tables
    assert first.rows[0][0].startswith("files, ")
    assert first.rows[0][-1] == "WORSE beyond the limit"
    assert "2 of " in comparison_section(worse).about


@pytest.mark.parametrize(("key", "value"), [("cpu", "Other"), ("cpus", 64), ("threads", 1),
                                            ("gpus", [{"name": "H100"}])])  # fmt: skip
def test_another_machine_is_not_judged(result, slower, key, value):
    new = slower(result, 3.0)
    new = dataclasses.replace(new, machine=new.machine | {key: value})
    compared = compare(result, new, LIMIT)
    assert compared.exit_code == 2
    assert f"another machine: {key} was" in compared.others[0]
    assert {pair.verdict for pair in compared.pairs} == {"unsure"}
    assert compared.pairs[0].ratio == pytest.approx(1 / 3, rel=0.1)  # told all the same
    assert comparison_section(compared).about.startswith("NOT JUDGED: another machine")


def test_on_another_machine_nothing_is_lost_either(result):
    failed = dataclasses.replace(
        result.figures[0], value=float("nan"), values=(), failure="EngineError: no memory"
    )
    figures, machine = (failed, *result.figures[1:]), result.machine | {"cpu": "Other"}
    new = dataclasses.replace(result, figures=figures, machine=machine)
    assert compare(result, new, LIMIT).exit_code == 2


def test_a_machine_whose_gpus_are_unknown_is_one_without(result, slower):
    old = dataclasses.replace(result, machine=result.machine | {"gpus": "no NVML here"})
    assert compare(old, slower(result, 1.0), LIMIT).exit_code == 0


def test_another_bundle_is_not_judged(result):
    new = dataclasses.replace(result, model=result.model | {"sha256": "cd" * 32})
    compared = compare(result, new, LIMIT)
    assert compared.exit_code == 2
    assert "another bundle: sgn-instruments abab" in compared.others[0]


def test_what_has_failed_since_is_lost(result):
    gone = [each for each in result.figures if each.row != "torch"]
    rows = [row for row in result.rows if row.name != "torch"]
    failed = Row(name="torch", kind="competitor", failure="parity: whole: 0.4 (at most 0.01)")
    new = dataclasses.replace(result, figures=tuple(gone), rows=(*rows, failed))
    compared = compare(result, new, LIMIT)
    assert compared.exit_code == 1
    assert set(compared.lost) == {"torch: parity: whole: 0.4 (at most 0.01)"}
    broken = dataclasses.replace(
        result.figures[0], value=float("nan"), values=(), failure="EngineError: it broke"
    )
    new = dataclasses.replace(result, figures=(broken, *result.figures[1:]))
    compared = compare(result, new, LIMIT)
    assert compared.exit_code == 1
    assert compared.lost == ("offline, onnxruntime, throughput: EngineError: it broke",)


def test_what_was_not_asked_for_is_told_and_no_failure(result):
    gone = [f for f in result.figures if f.row != "torch" and f.scenario != "files"]
    rows = [row for row in result.rows if row.name not in ("torch", "torch-compile")]
    absent = Row(name="torch-compile", kind="competitor", absent=True, failure="no compiler")
    new = dataclasses.replace(
        result,
        figures=tuple(f for f in gone if f.row != "torch-compile"),
        rows=(*rows, absent),
    )
    compared = compare(result, new, LIMIT)
    assert compared.exit_code == 0
    unmeasured = [f"files of {name}: not measured now" for name in ENGINES]
    others = ["torch: not asked for now", "torch-compile: no compiler"]
    assert {*compared.missing} == {*unmeasured, *others}
    assert "figures: not in the earlier run" in compare(new, result, LIMIT).missing[-1]


def test_nothing_in_common_is_no_success(result):
    compared = compare(result, only(result), LIMIT)
    assert compared.exit_code == 2
    assert "no figure in common" in comparison_section(compared).about


def test_what_else_has_changed(result):
    new = dataclasses.replace(
        result,
        machine=result.machine | {"packages": {"numpy": "2.5", "openvino": None}, "load": 9.0},
    )
    changes = compare(result, new, LIMIT).changes
    assert changes == ("packages numpy: 2.4 before, 2.5 now",)


def test_zeros_are_no_division(result):
    compared = compare(only(result, figure([0.0] * 5)), only(result, figure([1.0] * 5)), LIMIT)
    assert compared.pairs[0].ratio == 0.0
    assert compared.exit_code == 1
    same = compare(only(result, figure([0.0] * 5)), only(result, figure([0.0] * 5)), LIMIT)
    assert same.pairs[0].ratio == 1.0
    assert same.exit_code == 0
