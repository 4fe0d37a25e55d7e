"""Figures of presence."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.evaluation.presence import (
    average_precision,
    detection,
    figures,
    recommended,
    reliability,
    thresholds_of,
)


def test_precision_and_recall():
    found = detection([True, True, True, False], [0.9, 0.5, 0.2, 0.7], 0.5)
    assert (found.precision, found.recall) == (2 / 3, 2 / 3)
    assert (found.positives, found.items) == (3, 4)
    nothing = detection([False, False], [0.1, 0.2], 0.5)
    assert (nothing.precision, nothing.recall, nothing.average_precision) == (None, None, None)


def test_average_precision_by_hand():
    # Ranks: hit (1/1), miss, hit (2/3), and two of one probability, one of them a hit (3/5).
    truth, p = [True, False, True, True, False], [0.9, 0.8, 0.7, 0.4, 0.4]
    assert average_precision(truth, p) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert average_precision([True, False], [0.5, 0.5]) == 0.5


def test_the_recommended_threshold_is_of_the_best_f1():
    truth = np.array([False, False, False, True, True, True])
    p = np.array([0.02, 0.10, 0.20, 0.30, 0.40, 0.95])
    assert recommended(truth, p) == pytest.approx(0.25)
    assert recommended(truth[1:], p[1:]) is None  # of two without it nothing can be told


def test_a_threshold_where_all_is_found_is_below_the_least():
    p = np.linspace(0.2, 0.9, 6)
    assert recommended([True, True, True, False, False, False], p) == pytest.approx(0.1)


def test_reliability():
    found = reliability([True, False, True, True], [0.05, 0.05, 0.95, 1.0])
    assert [(b["count"], b["frequency"]) for b in found["bins"]] == [(2, 0.5), (2, 1.0)]
    assert found["error"] == pytest.approx((2 * 0.45 + 2 * 0.025) / 4)


def test_all_figures_and_the_thresholds_of_them():
    truths = [frozenset({"cello"})] * 3 + [frozenset()] * 3
    presences = [{"cello": p, "tuba": 0.6} for p in (0.3, 0.4, 0.9, 0.1, 0.2, 0.15)]
    told = figures(truths, presences, {"cello": 0.5, "tuba": 0.7})
    cello = told["categories"]["cello"]
    assert (cello["precision"], cello["recall"], cello["average_precision"]) == (1.0, 1 / 3, 1.0)
    assert told["pooled"]["recall"] == 1 / 3
    assert thresholds_of(told) == {"cello": pytest.approx(0.25)}
