"""Whose window is next: order, pace, nothing lost or twice, and what it costs."""

from __future__ import annotations

import math
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sgn_rt.errors import ConfigError, SgnError
from sgn_rt.streaming.hub.scheduler import PACE, Scheduler

STREAMS = st.integers(0, 5)
STEPS = st.sampled_from([0.125, 0.5, 1.0, 3.0])
"""Sums of them are exact, and meet each other."""


class Plain(RuleBasedStateMachine):
    """Against a list that is sorted anew for every batch."""

    def __init__(self):
        super().__init__()
        self.scheduler = Scheduler()
        self.waiting = []  # (due, number, stream, weight)
        self.steps, self.earliest = {}, {}
        self.now, self.number = 0.0, 0

    @rule(stream=STREAMS, step=STEPS)
    def open(self, stream, step):
        if stream in self.steps:
            with pytest.raises(SgnError, match="second time"):
                self.scheduler.open(stream, step)
        else:
            self.scheduler.open(stream, step)
            self.steps[stream], self.earliest[stream] = step, -math.inf

    @precondition(lambda self: self.steps)
    @rule(data=st.data(), step=STEPS)
    def pace(self, data, step):
        stream = data.draw(st.sampled_from(sorted(self.steps)))
        self.scheduler.pace(stream, step)
        self.steps[stream] = step

    @precondition(lambda self: self.steps)
    @rule(
        data=st.data(),
        weight=st.integers(1, 4),
        count=st.integers(1, 20),
        passed=st.sampled_from([0.0, 0.0, 0.125, 2.0]),
    )
    def push(self, data, weight, count, passed):
        stream = data.draw(st.sampled_from(sorted(self.steps)))
        self.now += passed
        for _ in range(count):
            due = max(self.now, self.earliest[stream])
            self.earliest[stream] = due + PACE * self.steps[stream]
            assert self.scheduler.push(stream, self.number, self.now, weight) == due
            self.waiting.append((due, self.number, stream, weight))
            self.number += 1

    @rule(limit=st.integers(1, 9))
    def pop(self, limit):
        self.waiting.sort()
        expected, room = [], limit
        while self.waiting and (not expected or self.waiting[0][3] <= room):
            due, number, stream, weight = self.waiting.pop(0)
            expected.append((stream, number, due))
            room -= weight
            if room <= 0:
                break
        assert self.scheduler.pop(limit) == expected

    @precondition(lambda self: self.steps)
    @rule(data=st.data(), again=st.booleans())
    def leave(self, data, again):
        stream = data.draw(st.sampled_from(sorted(self.steps)))
        own = sorted(each for each in self.waiting if each[2] == stream)
        self.waiting = [each for each in self.waiting if each[2] != stream]
        numbers = [number for _, number, _, _ in own]
        if again:
            assert self.scheduler.drop(stream) == numbers
            if own:
                self.earliest[stream] = own[0][0]
        else:
            assert self.scheduler.close(stream) == numbers
            del self.steps[stream]

    @invariant()
    def counts(self):
        assert len(self.scheduler) == len(self.waiting)
        assert self.scheduler.weight == sum(weight for *_, weight in self.waiting)

    def teardown(self):
        """Nothing is lost and nothing comes twice: all that is left comes out."""
        while self.waiting:
            self.pop(3)
        assert self.scheduler.pop(100) == []


TestPlain = Plain.TestCase
TestPlain.settings = settings(max_examples=40, stateful_step_count=30)


def waits(flood, *, honest=8, seconds=20, per_pop=2):
    """When each honest window is taken, where one stream brings ``flood`` windows at once.

    The network takes ``per_pop`` windows each quarter of a second, and each stream has a window a
    second: without the flood it is equal to all.
    """
    scheduler = Scheduler()
    for stream in range(honest):
        scheduler.open(stream, 1.0)
    if flood:
        scheduler.open("flood", 1.0)
        for number in range(flood):
            scheduler.push("flood", number, 0.0)
    taken = {}
    for quarter in range(4 * seconds):
        now = quarter / 4
        if quarter % 4 == 0:
            for stream in range(honest - 2):
                scheduler.push(stream, quarter, now)
        for stream, number, _ in scheduler.pop(per_pop):
            taken[stream, number] = now
    taken_honest = {key: when for key, when in taken.items() if key[0] != "flood"}
    assert len(taken_honest) == (honest - 2) * seconds
    return taken_honest


@given(st.integers(20, 500))
@settings(max_examples=20)
def test_what_others_wait_does_not_depend_on_how_much_a_stream_floods(flood):
    assert waits(flood) == waits(20)


def test_a_flood_costs_others_what_an_honest_stream_would():
    latest = max(when - number / 4 for (_, number), when in waits(500).items())
    assert latest < 1.0  # they bring 7 windows a second together, and 8 are taken


@given(
    st.lists(st.tuples(STREAMS, st.sampled_from([0.0, 0.1, 1.0])), min_size=1, max_size=200),
    st.integers(1, 8),
)
@settings(max_examples=50)
def test_of_one_stream_no_more_is_due_than_its_pace(brought, limit):
    scheduler = Scheduler()
    steps = [0.25, 0.5, 1.0, 1.5, 2.0, 4.0]
    for stream, step in enumerate(steps):
        scheduler.open(stream, step)
    now, taken = 0.0, {}
    for number, (stream, passed) in enumerate(brought):
        now += passed
        scheduler.push(stream, number, now)
    while batch := scheduler.pop(limit):
        for stream, number, due in batch:
            taken.setdefault(stream, []).append((number, due))
    assert sum(map(len, taken.values())) == len(brought)
    for stream, windows in taken.items():
        assert windows == sorted(windows)  # in order
        assert all(b - a >= PACE * steps[stream] - 1e-9 for (_, a), (_, b) in pairwise(windows))


def test_none_starves_under_lasting_overload():
    """Each second 20 windows come and 8 are taken; no window waits longer than those before it."""
    scheduler = Scheduler()
    for stream in range(20):
        scheduler.open(stream, 1.0)
    order = []
    for second in range(50):
        for stream in range(20):
            scheduler.push(stream, second, float(second), weight=5 if stream == 7 else 1)
        order += [(second, stream) for stream, second, _ in scheduler.pop(8)]
    assert order == sorted(order)
    assert {stream for _, stream in order} == set(range(20))


def test_a_window_heavier_than_the_limit_goes_alone():
    scheduler = Scheduler()
    for stream, weight in enumerate((1, 6, 1, 1)):
        scheduler.open(stream, 1.0)
        scheduler.push(stream, stream, 0.0, weight)
    batches = [[stream for stream, *_ in scheduler.pop(4)] for _ in range(4)]
    assert batches == [[0], [1], [2, 3], []]


def test_a_stream_that_begins_anew_again_and_again_keeps_its_pace():
    scheduler = Scheduler()
    scheduler.open("a", 1.0)
    dues = []
    for turn in range(10):
        scheduler.push("a", turn, 0.0)
        ((_, _, due),) = scheduler.pop(1)
        dues.append(due)
        scheduler.push("a", "dropped", 0.0)
        assert scheduler.drop("a") == ["dropped"]
    assert dues == [PACE * turn for turn in range(10)]


def test_a_stream_that_has_stumbled_is_due_in_time_again():
    """Of a window a second one came half a second late: the others are due when they come."""
    scheduler = Scheduler()
    scheduler.open("a", 1.0)
    late = [scheduler.push("a", n, n + 0.5 * (n == 3)) - n for n in range(12)]
    assert late == [0, 0, 0, 0.5, 0.375, 0.25, 0.125, 0, 0, 0, 0, 0]


def test_a_closed_stream_may_come_again_and_owes_nothing():
    scheduler = Scheduler()
    scheduler.open("a", 5.0)
    for number in range(4):
        scheduler.push("a", number, 0.0)
    assert scheduler.close("a") == [0, 1, 2, 3]
    scheduler.open("a", 1.0)
    assert scheduler.push("a", "new", 2.0) == 2.0
    assert scheduler.pop(9) == [("a", "new", 2.0)]


@pytest.mark.parametrize("step", [0.0, -1.0, math.inf, math.nan])
def test_a_step_that_is_none(step):
    scheduler = Scheduler()
    with pytest.raises(ConfigError, match="step of a stream"):
        scheduler.open("a", step)
    scheduler.open("a", 1.0)
    with pytest.raises(ConfigError, match="step of a stream"):
        scheduler.pace("a", step)
    with pytest.raises(ConfigError, match="weight of a window"):
        scheduler.push("a", 0, 0.0, weight=0)


def comparisons(streams):
    """Steps that a window costs where so many streams wait: comparisons, counted."""

    class Counted(float):
        count = 0

        def __lt__(self, other):
            Counted.count += 1
            return float.__lt__(self, other)

        def __eq__(self, other):
            Counted.count += 1
            return float.__eq__(self, other)

        __hash__ = float.__hash__

    scheduler = Scheduler()
    for stream in range(streams):
        scheduler.open(stream, 1.0)
        scheduler.push(stream, 0, Counted(stream * 0.618 % 1))
    Counted.count = 0
    for turn in range(streams):
        for stream, _, due in scheduler.pop(8):
            scheduler.push(stream, turn, Counted(due + 1.0 + stream * 0.618 % 1))
        scheduler.close(turn)
        scheduler.open(turn, 1.0)
        scheduler.push(turn, 0, Counted(turn + 0.5))
    return Counted.count / (10 * streams)


def test_a_window_costs_a_logarithm():
    few, many = comparisons(100), comparisons(10_000)
    assert many < 4 * few  # the logarithm doubles


def test_streams_that_come_and_go_leave_nothing_behind():
    scheduler = Scheduler()
    scheduler.open("stays", 1.0)
    scheduler.push("stays", 0, 0.0)
    sizes = set()
    for turn in range(5000):
        scheduler.open(turn, 1.0)
        scheduler.push(turn, turn, float(turn))
        scheduler.close(turn)
        sizes.add(sys.getsizeof(scheduler._heap))
    assert max(sizes) < 10_000
    assert scheduler.pop(9) == [("stays", 0, 0.0)]
