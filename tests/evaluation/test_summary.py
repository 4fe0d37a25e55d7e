"""What items come to: intervals, differences, confusions, counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sgn_rt.evaluation.protocols import protocol_named
from sgn_rt.evaluation.protocols.base import Item
from sgn_rt.evaluation.scoring import leaks
from sgn_rt.evaluation.statistics import deviation, difference, interval
from sgn_rt.evaluation.summary import padded, summary


def mean(values):
    return np.nanmean(np.nanmean(values, axis=-1), axis=-1)


def test_the_interval_is_that_of_scipys_bootstrap():
    values = np.random.default_rng(1).normal(3.0, 2.0, 200)
    low, high = interval(values[:, None], mean)
    known = stats.bootstrap((values,), np.mean, method="percentile", rng=2).confidence_interval
    assert (low, high) == pytest.approx((known.low, known.high), abs=0.06)


def test_items_are_drawn_not_sources():
    """Sources of an item move together: four times as many of them make nothing surer."""
    values = np.random.default_rng(1).normal(0.0, 1.0, (40, 1))
    assert interval(np.repeat(values, 4, axis=1), mean) == pytest.approx(interval(values, mean))


def test_of_two_items_there_is_no_interval():
    assert interval(np.array([[1.0], [2.0]]), mean) is None


def test_deviation_is_over_all_sources():
    assert deviation(padded([[1.0, 2.0], [4.0]])) == pytest.approx(np.std([1, 2, 4]))


def test_a_difference_is_real_where_it_is_of_nearly_all_items():
    generator = np.random.default_rng(0)
    second = generator.normal(5.0, 4.0, 40)  # items differ far more than systems do
    better = difference("a", "b", "sdr", second + generator.normal(0.2, 0.1, 40), second)
    assert better.real
    assert better.p_value == pytest.approx(stats.wilcoxon(better_gaps(0.2)).pvalue, abs=1e-12)
    assert better.mean == pytest.approx(0.2, abs=0.05)
    same = difference("a", "b", "sdr", second + generator.normal(0.0, 0.1, 40), second)
    assert not same.real
    none = difference("a", "b", "sdr", second, second)
    assert (none.p_value, none.real, none.mean) == (None, False, 0.0)


def better_gaps(by):
    generator = np.random.default_rng(0)
    second = generator.normal(5.0, 4.0, 40)
    return (second + generator.normal(by, 0.1, 40)) - second


def item_of(**sources):
    named = {name: signal[None].astype(np.float32) for name, signal in sources.items()}
    categories = {name: name for name in named if name != "unknown"}
    mixture = sum(named.values())
    return Item(name="a", sample_rate=8, mixture=mixture, sources=named, categories=categories)


def test_leaks_are_the_shares_of_true_sources_in_estimates():
    one, two, other = np.random.default_rng(0).standard_normal((3, 4000))
    item = item_of(cello=one, tuba=two, unknown=other)
    estimates = {
        "cello": (0.9 * one + 0.3 * two + 2.0 * other)[None],
        "tuba": (0.5 * two)[None],
    }
    found = leaks(item, estimates)
    assert found["cello"] == pytest.approx({"cello": 0.81, "tuba": 0.09}, abs=1e-6)
    assert found["tuba"] == pytest.approx({"cello": 0.0, "tuba": 0.25}, abs=1e-6)
    assert leaks(item_of(cello=one, tuba=0 * two), estimates) == {}


def told(name, value, other, **more):
    def scores(figure):
        return [{"source": "s", "group": "cello", "figures": {"si_sdr": figure}}]

    systems = {"x": scores(value), "mixture": scores(0.0), "ideal ratio mask": scores(20.0)}
    return {"name": name, "systems": systems | {"y": scores(other)}, **more}


def test_a_summary():
    items = [
        told("a", 1.0, 2.0, leaks={"x": {"cello": {"tuba": 0.1}}}, notes={"x": {"n": "over"}}),
        told("b", 3.0, 5.0, leaks={"x": {"cello": {"tuba": 0.3}}}, notes={"x": {"n": "over"}}),
        told("c", math.inf, 5.0),
        {"name": "d", "dropped": "why"},
    ]
    found = summary(items, protocol_named("folder"), ["x", "y"])
    assert (found["items"], found["dropped"]) == (3, {"why": 1})
    assert found["leaks"] == {"x": {"cello": {"tuba": pytest.approx(0.2)}}}
    assert found["counts"] == {"x": {"n": {"over": 2}}}
    values = {(f["system"], f["group"]): (f["value"], f["items"]) for f in found["figures"]}
    assert values["x", "all"] == values["x", "cello"] == (2.0, 2)  # what is infinite has no mean
    assert values["ideal ratio mask", "all"] == (20.0, 3)
    gaps = [(d["system"], d["than"], d["items"], d["mean"]) for d in found["differences"]]
    assert gaps == [("x", "y", 2, -1.5), ("x", "mixture", 2, 2.0), ("y", "mixture", 3, 4.0)]
