"""Several passes as one: what their bounds promise, against machines whose pace drifts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sgn_rt.benchmarks.passes import merged
from sgn_rt.benchmarks.result import CONFIDENCE, Figure, median_interval, ratio

TRIALS = 400


def figure(values, row="torch", **more):
    made = Figure(
        scenario="batch", row=row, name="time", unit="s", better="lower", values=tuple(values),
        value=float(np.median(values)), interval=median_interval(values),
    )  # fmt: skip
    return dataclasses.replace(made, **more)


def drifting(random, passes=3, rounds=6):
    """Rounds of some passes, around 2 s: each pass has a pace of its own."""
    pace = np.exp(0.1 * random.standard_normal((passes, 1)))
    return 2.0 * pace * np.exp(0.01 * random.standard_normal((passes, rounds)))


def share_held(bounds):
    return np.mean([low <= 2.0 <= high for low, high in bounds])


@pytest.mark.parametrize("passes", [2, 3, 6])
def test_bounds_hold_where_the_pace_drifts_between_passes(passes):
    random = np.random.default_rng(passes)
    runs = [drifting(random, passes) for _ in range(TRIALS)]
    of_passes = [merged([[figure(values)] for values in run])[0].interval for run in runs]
    # Three standard errors of a share that is as promised; more is no fault.
    allowed = 3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / TRIALS)
    assert share_held(of_passes) > CONFIDENCE - allowed
    # Bounds of rounds alone, of one pass as of all, know nothing of it.
    assert share_held([median_interval(run[0]) for run in runs]) < 0.5
    assert share_held([median_interval(run.ravel()) for run in runs]) < CONFIDENCE - allowed


def test_a_run_agrees_with_another_by_the_bounds_of_both():
    """What `--compare` judges by: two runs of drifting passes are the same as often as promised."""
    from sgn_rt.benchmarks.report.comparison import _interval

    random = np.random.default_rng(5)
    held = 0
    for _ in range(TRIALS):
        old, new = (merged([[figure(p)] for p in drifting(random)])[0] for _ in range(2))
        low, high = _interval(old, new)
        held += low <= 1.0 <= high
    assert held / TRIALS > CONFIDENCE - 3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / TRIALS)


def test_bounds_of_a_ratio_are_of_passes():
    slow, fast = ([[1.0, 3.0, 2.0], [4.0, 4.0, 9.0]], [[0.5, 0.5, 1.0], [1.0, 1.0, 1.0]])
    of, to = (
        merged([[figure(v, row)] for v in passes])[0]
        for row, passes in (("onnxruntime", fast), ("torch", slow))
    )
    found = ratio(of, to)
    assert (of.passes, of.value) == (2, 0.75)
    assert found.value == 3.0  # medians of 2, 6, 2 and of 4, 4, 9
    assert found.interval == median_interval([2.0, 4.0])


def test_what_all_of_them_say_is_kept():
    first = figure([1.0], note="90th percentile", valid=True, percentiles={"p90": 1.0})
    last = figure([3.0], note="90th percentile", valid=True, percentiles={"p90": 3.0})
    late = dataclasses.replace(last, note="INVALID: late", valid=False)
    assert merged([[first], [last]]) == [
        dataclasses.replace(
            first, value=2.0, values=(1.0, 3.0), passes=2, interval=median_interval([1.0, 3.0]),
            percentiles={"p90": 2.0},
        )
    ]  # fmt: skip
    (invalid,) = merged([[first], [late]])
    assert (invalid.valid, invalid.note) == (False, "90th percentile; INVALID: late")
    (plain,) = merged([[figure([1.0])], [figure([1.0])]])
    assert (plain.valid, plain.note, plain.percentiles) == (None, None, None)


def test_one_that_fails_in_any_pass_has_failed_and_one_of_a_single_pass_stays():
    broken = dataclasses.replace(
        figure([1.0]), values=(), value=float("nan"), failure="broken: got nothing"
    )
    once = figure([5.0], case="600 s")
    assert merged([[figure([1.0]), once], [broken], [figure([1.0])]]) == [broken, once]
    assert merged([[], []]) == []
