"""Interleaving, ratios and summaries, on a clock that the test turns."""

from __future__ import annotations

import pytest

from sgn_rt.benchmarks.harness import NO_WARMING, Warming, interleave, orders, ratios, summarize
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
            # The first two rounds are slow, as first rounds are.
            clock.spend(seconds + (50.0 / log.count(name) if log.count(name) < 3 else 0.0))

        return run

    outcome = interleave(
        {"fast": work("fast", 1.0), "slow": work("slow", 3.0)},
        repeats=4, warming=Warming(few=1, most=9), clock=clock,
        between=lambda: clock.spend(1000.0),
    )  # fmt: skip
    assert outcome.seconds == {"fast": [1.0] * 4, "slow": [3.0] * 4}
    assert outcome.failures == {}
    assert outcome.unsettled == frozenset()
    assert len(log) == 2 * (4 + 4)  # warm in the fourth: no faster than the third
    for start in range(0, len(log), 2):  # a round is never two of the same
        assert set(log[start : start + 2]) == {"fast", "slow"}


@pytest.mark.parametrize(
    ("times", "is_warm"),
    [
        ([5.0, 1.0, 1.0], False),  # too few to tell
        ([5.0, 4.0, 2.0, 1.0], False),
        ([5.0, 4.0, 1.0, 1.0, 1.0, 1.0], True),
        ([1.0, 1.0, 0.985, 0.985], True),  # within the tolerance
        ([1.0, 1.0, 0.97, 0.97], False),
        ([1.0, 1.0, 9.0, 9.0], True),  # slower is no warming up
    ],
)
def test_warm_is_what_no_longer_becomes_faster(times, is_warm):
    assert Warming(few=2, tolerance=0.02).is_warm(times) is is_warm


def test_a_warm_up_has_an_end_and_says_that_it_was_reached():
    clock, calls = Clock(), []

    def ever_faster():
        calls.append(1)
        clock.spend(100.0 / len(calls))

    outcome = interleave(
        {"same": lambda: clock.spend(1.0), "faster": ever_faster},
        repeats=2, warming=Warming(few=1, most=5), clock=clock,
    )  # fmt: skip
    assert outcome.unsettled == {"faster"}
    assert len(calls) == 7
    assert outcome.seconds["faster"] == [pytest.approx(100 / 6), pytest.approx(100 / 7)]


def test_a_warm_up_too_short_to_tell_says_nothing():
    outcome = interleave({"a": lambda: None}, repeats=1, warming=Warming(few=1, most=1))
    assert outcome.unsettled == frozenset()
    assert list(map(len, outcome.seconds.values())) == [1]


def test_nothing_is_warmed_where_nothing_is_to_be():
    calls = []
    outcome = interleave({"a": lambda: calls.append(1)}, repeats=1, warming=NO_WARMING)
    assert len(calls) == 1
    assert outcome.unsettled == frozenset()


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
    assert outcome.unsettled == frozenset()
    assert told == sorted(told)
    assert told[-1] <= 1.0


def test_an_error_that_is_no_result_is_not_swallowed():
    def wrong():
        raise TypeError("a bug")

    with pytest.raises(TypeError):
        interleave({"wrong": wrong}, repeats=1, warming=NO_WARMING)


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
