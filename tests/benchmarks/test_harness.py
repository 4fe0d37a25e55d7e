"""Interleaving, ratios and summaries, on a clock that the test turns."""

from __future__ import annotations

import pytest

from sgn_rt.benchmarks.harness import interleave, orders, ratios, summarize
from sgn_rt.errors import EngineError


class Clock:
    """Seconds that pass only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def spend(self, seconds):
        self.now += seconds


def test_every_name_once_a_round_and_in_every_place():
    names = ["a", "b", "c", "d"]
    rounds = list(orders(names, 8, seed=3))
    assert all(sorted(order) == names for order in rounds)
    for place in range(4):
        assert {order[place] for order in rounds} == set(names)


def test_the_seed_settles_the_order():
    names = [str(i) for i in range(9)]
    assert list(orders(names, 5, seed=1)) == list(orders(names, 5, seed=1))
    assert list(orders(names, 5, seed=1)) != list(orders(names, 5, seed=2))
    assert list(orders([], 2, seed=0)) == [[], []]


def test_only_the_runs_are_timed_and_the_warm_up_is_dropped():
    clock, log = Clock(), []

    def work(name, seconds):
        def run():
            log.append(name)
            # The first round is slow, as first rounds are.
            clock.spend(seconds + (50.0 if log.count(name) == 1 else 0.0))

        return run

    outcome = interleave(
        {"fast": work("fast", 1.0), "slow": work("slow", 3.0)},
        repeats=4, warm_up=1, between=lambda: clock.spend(1000.0), clock=clock,
    )  # fmt: skip
    assert outcome.seconds == {"fast": [1.0] * 4, "slow": [3.0] * 4}
    assert outcome.failures == {}
    for start in range(0, 10, 2):  # a round is never two of the same
        assert set(log[start : start + 2]) == {"fast", "slow"}


def test_a_run_that_fails_has_no_time_and_is_not_repeated():
    clock, calls = Clock(), []

    def fails():
        calls.append(1)
        clock.spend(1.0)
        if len(calls) == 2:
            raise EngineError("broken")

    told = []
    outcome = interleave(
        {"good": lambda: clock.spend(2.0), "bad": fails}, repeats=3, clock=clock, tell=told.append
    )
    assert outcome.seconds == {"good": [2.0] * 3}
    assert outcome.failures == {"bad": "broken"}
    assert len(calls) == 2
    assert told == sorted(told)
    assert told[-1] <= 1.0


def test_an_error_that_is_no_result_is_not_swallowed():
    def wrong():
        raise TypeError("a bug")

    with pytest.raises(TypeError):
        interleave({"wrong": wrong}, repeats=1)


def test_a_slow_round_cancels_out_of_ratios():
    assert ratios([1.0, 5.0, 2.0], [2.0, 10.0, 4.0]) == [2.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_summary():
    summary = summarize([4.0, 1.0, 2.0, 3.0, 100.0])
    assert (summary.median, summary.least, summary.most, summary.count) == (3.0, 1.0, 100.0, 5)
    assert summary.p95 == pytest.approx(80.8)
    assert summarize([7.0]).to_dict() == {
        "count": 1, "median": 7.0, "p95": 7.0, "least": 7.0, "most": 7.0
    }  # fmt: skip
