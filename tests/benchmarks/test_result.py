"""The bounds of a median, against what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.benchmarks.result import CONFIDENCE, median_interval


@pytest.mark.parametrize("count", [2, 3, 5, 6, 10, 30])
def test_bounds_hold_the_true_median_as_often_as_they_say(count):
    random = np.random.default_rng(count)
    trials = 1000
    held = 0
    for _ in range(trials):
        low, high = median_interval(2.0 * np.exp(0.1 * random.standard_normal(count)))
        held += low <= 2.0 <= high
    # Three standard errors of a share that is as promised; more is no fault.
    assert held / trials > CONFIDENCE - 3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / trials)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 20])
def test_the_median_lies_between_its_bounds_in_any_unit(count):
    values = np.exp(np.random.default_rng(count).standard_normal(count))
    low, high = median_interval(values)
    assert low <= np.median(values) <= high
    assert median_interval(1e3 * values) == pytest.approx((1e3 * low, 1e3 * high))


def test_six_values_lie_between_the_least_and_the_most():
    assert median_interval([6.0, 1.0, 3.0, 2.0, 5.0, 4.0]) == (1.0, 6.0)


def test_what_tells_nothing():
    assert median_interval([]) is None
    assert median_interval([1.0]) is None
    assert median_interval([0.0, 1.0, 2.0]) is None
    assert median_interval([2.0, 2.0]) == (2.0, 2.0)
