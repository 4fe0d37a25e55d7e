"""A fleet: who is where, what it costs, and that counting streams tells what simulating does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgn_rt.benchmarks.simulation.arrivals import OPEN, WINDOW, Events
from sgn_rt.benchmarks.simulation.capacity import LatenessCurve, Trial, most_streams
from sgn_rt.benchmarks.simulation.fleet import Counted, Fleet, Plan, levelled
from sgn_rt.benchmarks.simulation.one_gpu import OneGpu
from sgn_rt.benchmarks.simulation.service import Gpu, GpuModel, Kind
from sgn_rt.benchmarks.simulation.study import LOADS
from sgn_rt.model.bundle import Bundle
from sgn_rt.streaming.hub.switchboard import SHARE

SMALL = GpuModel(network_windows=1435.0, memory=1.5e10, launch_s=1e-4, link=2.5e8)
"""A card that holds some seventy streams of a second."""
JITTER_S = 0.01


@pytest.fixture(scope="module")
def kind():
    return Kind.of(Bundle.open().config, SMALL, 1.0)


@pytest.fixture(scope="module")
def curve(kind):
    trial = Trial(seconds=20.0, jitter_s=JITTER_S)
    most = most_streams(SMALL, kind, trial).streams
    return LatenessCurve.measure(SMALL, kind, most, trial, LOADS)


class AllAlike:
    """Every stream is of the one kind."""

    def __getitem__(self, stream):
        return 0


class Individuals:
    """Streams one by one, each with a time of its own, every window through a scheduler."""

    def __init__(self, kind, stay_s, rng, gpus):
        self.kind, self.stay_s, self.rng, self.now = kind, stay_s, rng, 0.0
        self.ends = [{} for _ in range(gpus)]  # stream -> when it leaves
        self.due = {}  # stream -> its next window
        self.engines = [None] * gpus
        self.new = [[] for _ in range(gpus)]
        self.count, self.lateness = 0, []

    def leave(self, streams, tick_s):
        gone = np.zeros_like(streams)
        for gpu, ends in enumerate(self.ends):
            for stream in [s for s, end in ends.items() if end <= self.now + tick_s]:
                del ends[stream], self.due[stream]
                if stream in self.new[gpu]:
                    self.new[gpu].remove(stream)  # it left before a tick had passed
                else:
                    self.engines[gpu].close(stream)
                gone[gpu] += 1
        return gone

    def join(self, gpu, count):
        for _ in range(count):
            stream, self.count = self.count, self.count + 1
            self.ends[gpu][stream] = self.now + self.rng.exponential(self.stay_s)
            self.due[stream] = self.now + self.rng.random() * self.kind.step_s
            self.new[gpu].append(stream)

    def clear(self, gpu):
        for stream in self.ends[gpu]:
            del self.due[stream]
        self.keep(gpu)
        self.ends[gpu], self.engines[gpu], self.new[gpu] = {}, None, []

    def keep(self, gpu):
        if self.engines[gpu] is not None:
            self.lateness += self.engines[gpu].figures.lateness_s

    def live(self, streams, begin_s, tick_s):
        self.now = begin_s + tick_s
        for gpu, ends in enumerate(self.ends):
            assert len(ends) == streams[gpu]
            events = [(begin_s, stream, OPEN) for stream in self.new[gpu]]
            self.new[gpu] = []
            for stream in ends:
                while self.due[stream] < self.now:
                    late = self.rng.exponential(JITTER_S)
                    events.append((max(begin_s, self.due[stream]) + late, stream, WINDOW))
                    self.due[stream] += self.kind.step_s
            if not events:
                continue
            if self.engines[gpu] is None:
                self.engines[gpu] = OneGpu(Gpu(SMALL), [self.kind], AllAlike())
            events.sort()
            times, owners, what = zip(*events, strict=True)
            self.engines[gpu].advance(
                Events(np.array(times), np.array(owners), np.array(what, np.int8))
            )

    def finish(self):
        for gpu in range(len(self.ends)):
            self.keep(gpu)
        return np.array(self.lateness)


def test_counting_tells_what_simulating_every_window_tells(kind, curve):
    """A small fleet, a quarter of an hour as its day: streams, GPU-hours, lateness, both ways."""
    plan = Plan(
        peak_streams=350.0, stay_s=120.0, room=int(SHARE * curve.most), start_s=30.0,
        drain_s=60.0, failures_s=1000.0, seconds=1000.0, tick_s=5.0,
    )  # fmt: skip
    counted = Counted(curve, plan.stay_s, np.random.default_rng(1))
    by_number = Fleet(plan, counted, np.random.default_rng(2)).run()
    people = Individuals(kind, plan.stay_s, np.random.default_rng(3), plan.most_gpus)
    full = Fleet(plan, people, np.random.default_rng(2)).run()
    lateness = people.finish()
    assert len(lateness) > 250_000
    assert np.mean(full.streams) == pytest.approx(np.mean(by_number.streams), rel=0.05)
    assert full.gpu_per_stream == pytest.approx(by_number.gpu_per_stream, rel=0.08)
    assert full.failed > 0
    for percent in (50, 90, 99):
        told = counted.curve.percentile(counted.weights, percent)
        assert told == pytest.approx(np.percentile(lateness, percent), rel=0.15), percent


def steady(curve, **changes):
    """A fleet in which nothing changes but by chance."""
    values = {
        "peak_streams": 2000.0, "night_share": 1.0, "room": 66, "stay_s": 300.0,
        "failures_s": 1e12, "seconds": 20_000.0,
    } | changes  # fmt: skip
    plan = Plan(**values)
    population = Counted(curve, plan.stay_s, np.random.default_rng(4))
    return plan, Fleet(plan, population, np.random.default_rng(5)).run()


def test_the_number_of_streams_is_that_of_an_m_m_infinity_queue(curve):
    """Poisson: as much variance as mean."""
    _, day = steady(curve)
    streams = np.array(day.streams[100:])
    assert day.refused_streams == 0
    assert streams.mean() == pytest.approx(2000, rel=0.02)
    assert streams.var() == pytest.approx(2000, rel=0.5)  # some 60 independent stretches


def test_failures_move_streams_on_and_none_is_on_two_gpus(curve):
    _, day = steady(curve, failures_s=5000.0, headroom=0.02, start_s=600.0)
    assert day.failed > 50
    assert day.moved > 1000
    assert day.lost + day.refused_streams > 0
    assert max(day.streams) <= max(day.gpus) * 66


def test_less_head_room_costs_less_and_refuses_more(curve):
    day = {"night_share": 0.3, "seconds": 10_000.0, "start_s": 300.0}
    _, tight = steady(curve, headroom=0.0, **day)
    _, wide = steady(curve, headroom=0.3, **day)
    assert tight.gpu_per_stream < wide.gpu_per_stream
    assert tight.refused_streams > wide.refused_streams


def test_gpus_follow_the_day(curve):
    plan, day = steady(curve, night_share=0.2, seconds=40_000.0)
    gpus, streams = np.array(day.gpus), np.array(day.streams)
    assert max(gpus) > 2.5 * min(gpus)
    assert np.corrcoef(gpus, streams)[0, 1] > 0.95
    assert (gpus * plan.room >= streams).all()


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=20),
    st.floats(0, 1),
)
def test_streams_go_to_the_emptiest_and_nobody_gets_more_than_room(gpus, share):
    streams, room = np.array(gpus).T
    count = int(share * room.sum())
    got = levelled(streams, room, count)
    assert got.sum() == count
    assert (got >= 0).all()
    assert (got <= room).all()


def test_as_level_as_they_can_be():
    streams = np.array([10, 0, 4, 7])
    assert (streams + levelled(streams, np.full(4, 100), 12)).tolist() == [10, 8, 8, 7]


def test_pack_fills_the_fullest(curve):
    plan = Plan(room=10, peak_streams=30.0, placement="pack")
    fleet = Fleet(plan, Counted(curve, 1.0, np.random.default_rng(0)), np.random.default_rng(0))
    fleet._state[:3], fleet.streams[:3] = 2, [1, 8, 5]
    assert fleet._place(5) == 0
    assert fleet.streams[:3].tolist() == [1, 10, 8]
    fleet.plan = replace(plan, placement="spread")
    assert fleet._place(20) == 9
    assert fleet.streams[:3].tolist() == [10, 10, 10]
