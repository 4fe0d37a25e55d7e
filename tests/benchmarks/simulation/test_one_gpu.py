"""The simulation against queueing theory, and what streams do to one engine."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sgn_rt.benchmarks.simulation import scenarios
from sgn_rt.benchmarks.simulation.arrivals import OPEN, WINDOW, Events, windows_of
from sgn_rt.benchmarks.simulation.capacity import Trial, hold, most_carried, most_streams
from sgn_rt.benchmarks.simulation.one_gpu import OneGpu
from sgn_rt.benchmarks.simulation.service import NOTHING, Cost, Fixed, Gpu, GpuModel, Kind
from sgn_rt.model.bundle import Bundle

SMALL = GpuModel(network_windows=2870.0, memory=3e10, launch_s=1e-4, link=5e8)
"""A card of a hundredth."""
TRIAL = Trial(seconds=4.0)


@pytest.fixture(scope="module")
def kind():
    return Kind.of(Bundle.open().config, SMALL, 1.0)


@pytest.fixture(scope="module")
def most(kind):
    return most_streams(SMALL, kind, TRIAL)


def poisson(rate, count, streams, rng):
    """Windows that come without memory, each of any stream."""
    times = np.cumsum(rng.exponential(1 / rate, count))
    opening = Events(np.zeros(streams), np.arange(streams), np.full(streams, OPEN, np.int8))
    windows = Events(times, rng.integers(streams, size=count), np.full(count, WINDOW, np.int8))
    return Events(*map(np.concatenate, zip(opening, windows, strict=True)))


def mean_wait(service_s, lanes, load, count=200_000):
    """Of windows that the scheduler gives to lanes, without the service."""
    free = Kind(latency_s=1.0, real_latency_s=1.0, step_s=1e-9, stretch=1.0, cost=NOTHING)
    rng = np.random.default_rng(1)
    gpu = OneGpu(Fixed(service_s, lanes=lanes), [free], [0] * 50)
    gpu.advance(poisson(load * lanes / service_s, count, 50, rng))
    gpu.drain()
    return float(np.mean(gpu.figures.lateness_s)) - service_s


def crommelin(service_s, lanes, load, states=200):
    """Mean wait in M/D/c, from the number in the system one service later (Crommelin, 1932)."""
    arrivals = load * lanes
    chance = np.exp(-arrivals + np.arange(states) * math.log(arrivals)
                    - np.array([math.lgamma(k + 1) for k in range(states)]))  # fmt: skip
    step = np.zeros((states, states))
    for now in range(states):
        left = max(0, now - lanes)
        step[now, left:] = chance[: states - left]
    there = np.eye(states)[0]
    for _ in range(2000):
        there = there @ step
        there /= there.sum()
    in_system = float(there @ np.arange(states))
    return service_s * (in_system / arrivals - 1)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_lane_waits_as_an_m_d_1_queue(load):
    wanted = 0.01 * load / (2 * (1 - load))  # Pollaczek and Khinchine
    assert mean_wait(0.01, 1, load) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize(("lanes", "load"), [(2, 0.7), (4, 0.8)])
def test_more_lanes_wait_as_an_m_d_c_queue(lanes, load):
    assert mean_wait(0.01, lanes, load) == pytest.approx(crommelin(0.01, lanes, load), rel=0.05)


def test_the_formula_for_more_lanes_is_that_for_one():
    assert crommelin(1.0, 1, 0.8) == pytest.approx(0.8 / 0.4, rel=1e-6)


def test_stations_work_beside_one_another_and_each_on_one_call():
    model = GpuModel(launches=1, launch_s=1.0, lanes=2)
    gpu = Gpu(model)
    window = Cost(0.5, 1.0, 2.0, 0.25)
    assert gpu.call(0.0, [window]) == 0.5 + 1.0 + 3.0 + 0.25
    # The second's copies go on beside the first's kernels, and its kernels wait for them.
    assert gpu.call(0.0, [window, window]) == 4.5 + 5.0 + 0.5
    assert gpu.busy_s == 8.0


def test_a_slow_engine_is_slow_for_a_while():
    gpu = Gpu(GpuModel(launches=1, launch_s=1.0), slow=(10.0, 20.0, 3.0))
    assert [gpu.call(at, [NOTHING]) - at for at in (0.0, 10.0, 19.0, 30.0)] == [1, 3, 3, 1]


def test_windows_come_at_their_streams_pace_in_order():
    steps = np.array([0.5, 1.0, 2.0])
    events = windows_of(steps, 40.0, np.random.default_rng(0), jitter_s=0.3)
    for stream, step in enumerate(steps):
        own = events.times[(events.streams == stream) & (events.what == WINDOW)]
        assert len(own) == pytest.approx(40 / step, abs=1)
        assert (np.diff(own) >= 0).all()
    assert (np.diff(events.times) >= 0).all()


def test_streams_come_and_go():
    events = windows_of(
        np.full(2, 1.0),
        10.0,
        np.random.default_rng(0),
        jitter_s=0.0,
        begin_s=np.array([0.0, 4.0]),
        end_s=np.array([6.0, 20.0]),
    )
    windows = events.what == WINDOW
    assert events.times[windows & (events.streams == 0)].max() < 6.0
    assert events.times[windows & (events.streams == 1)].min() >= 4.0
    assert np.count_nonzero(windows) == 12


def test_the_largest_number_holds_and_more_does_not(kind, most):
    assert most.p99_s < TRIAL.deadline_s
    assert hold(SMALL, kind, round(1.3 * most.streams), TRIAL).p99_s > TRIAL.deadline_s
    assert 0.8 * most_carried(SMALL, kind) < most.streams <= most_carried(SMALL, kind)


def test_the_same_seed_is_the_same_run(kind):
    first, second = (hold(SMALL, kind, 60, TRIAL) for _ in range(2))
    assert (first.histogram == second.histogram).all()
    other = hold(SMALL, kind, 60, Trial(seconds=4.0, seed=1))
    assert (first.histogram != other.histogram).any()


def test_policies_keep_the_deadline_each_in_its_way(kind, most):
    found = scenarios.overload(SMALL, kind, most.streams, TRIAL, admitted=most.streams)
    rows = {row["policy"]: row for row in found}
    assert rows["none"]["p99_ms"] > 400 > 200 > rows["refuse"]["p99_ms"]
    assert rows["refuse"]["refused"] == pytest.approx(0.23, abs=0.01)
    assert rows["pass-through"]["p99_ms"] < 300  # the deadline, and a call
    assert 0.1 < rows["pass-through"]["passed"] < 0.5
    assert rows["longer-step"]["p99_ms"] < rows["none"]["p99_ms"]
    assert rows["longer-step"]["longer"] > 0.3
    assert rows["raise"]["raised"] > 0.23


def test_what_others_wait_hardly_depends_on_a_flood(kind, most):
    calm, *floods = scenarios.flood(SMALL, kind, most.streams, TRIAL, load=0.7, share=0.03)
    assert floods[-1]["offered"] > 2.0
    for row in floods:
        assert row["p99_ms"] < 1.5 * calm["p99_ms"]


def test_an_engine_in_trouble_recovers_sooner_with_a_policy(kind, most):
    rows = {row["policy"]: row for row in scenarios.slow(SMALL, kind, most.streams, TRIAL)}
    assert rows["none"]["max_ms"] > rows["pass-through"]["max_ms"]
    assert rows["none"]["recovered_s"] > rows["longer-step"]["recovered_s"]
