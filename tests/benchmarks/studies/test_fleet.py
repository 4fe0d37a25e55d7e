"""The simulation of many streams: against what is known of queues, itself, and the page."""

from __future__ import annotations

import json
from collections import defaultdict
from math import exp
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sgn_rt.benchmarks.studies import fleet as command
from sgn_rt.benchmarks.studies.simulation import report, scenarios, study
from sgn_rt.benchmarks.studies.simulation.arrivals import CLOSE, OPEN, WINDOW, Events, windows_of
from sgn_rt.benchmarks.studies.simulation.capacity import LatenessCurve, Trial, hold, most_streams
from sgn_rt.benchmarks.studies.simulation.fleet import Counted, Fleet, Plan, _levelled
from sgn_rt.benchmarks.studies.simulation.one_gpu import OneGpu
from sgn_rt.benchmarks.studies.simulation.service import Cost, Gpu, GpuModel, Kind
from sgn_rt.model.bundle import Bundle

DOCS = Path(__file__).parents[3] / "docs"
CONFIG = Bundle.open().config
SLOW = study.quick(study.Study()).model
"""A card on which 120 streams of 1 s fill all calls."""
SECOND = Kind.of(CONFIG, SLOW, 1.0)


NOTHING = Cost(0.0, 0.0, 0.0, 0.0)


class Fixed:
    """Lanes that know nothing of one another, and take the same time for every window."""

    busy_s = 0.0

    def __init__(self, seconds: float, lanes: int = 1, batch: int = 1) -> None:
        self.seconds, self.lanes, self.batch = seconds, lanes, batch

    def call(self, start_s, windows):
        return start_s + self.seconds * len(windows)


def kind(step_s: float = 1.0, stretch: float = 1.75) -> Kind:
    return Kind(latency_s=1.0, real_latency_s=1.0, step_s=step_s, stretch=stretch, cost=NOTHING)


def brought(times) -> Events:
    """Windows at some times, each of a stream of its own."""
    count = len(times)
    return Events(
        np.repeat(times, 2),
        np.repeat(np.arange(count), 2),
        np.tile(np.array([OPEN, WINDOW], np.int8), count),
    )


def waits(service, times) -> np.ndarray:
    """How long each waits before it is served, in order."""
    gpu = OneGpu(service, [kind()], [0] * len(times))
    gpu.advance(brought(times))
    gpu.drain()
    assert gpu.figures.streams == list(range(len(times)))
    return np.array(gpu.figures.lateness_s) - service.seconds


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_mean_wait_of_m_d_1(load):
    times = np.cumsum(np.random.default_rng(1).exponential(1 / load, 60_000))
    theory = load / (2 * (1 - load))  # Pollaczek and Khinchine
    assert waits(Fixed(1.0), times).mean() == pytest.approx(theory, rel=0.04)


def test_waits_of_m_d_3_one_by_one():
    times = np.cumsum(np.random.default_rng(2).exponential(1 / 2.7, 5_000))
    free, expected = np.zeros(3), []  # Kiefer and Wolfowitz
    for time in times:
        begin = max(time, free.min())
        expected.append(begin - time)
        free[free.argmin()] = begin + 1.0
    assert np.mean(expected) > 1.0
    np.testing.assert_allclose(waits(Fixed(1.0, lanes=3), times), expected, atol=1e-9)


def test_a_call_goes_through_its_stations():
    model = GpuModel(launches=1, launch_s=1.0, batch=2, lanes=2)
    cost = NOTHING._replace(host=0.5, up=1.0, kernels=2.0, down=0.25)
    gpu = Gpu(model)
    assert gpu.call(0.0, [cost, cost]) == 1.0 + 2.0 + 5.0 + 0.5
    # The second call's copies go beside the first one's kernels, which are what limits.
    assert gpu.call(0.0, [cost, cost]) == 1.0 + 2.0 + 5.0 + 5.0 + 0.5
    assert model.most_windows(cost) == 1 / 2.5


def test_windows_come_at_their_pace_and_in_order():
    rng = np.random.default_rng(3)
    end = np.array([np.inf, 40.0])
    events = windows_of(np.array([1.0, 4.0]), 100.0, rng, jitter_s=2.0, end_s=end)
    assert np.all(np.diff(events.times) >= 0)
    of = [events.what[events.streams == stream] for stream in (0, 1)]
    assert [np.count_nonzero(each == WINDOW) for each in of] == [100, 10]
    assert of[1][0] == OPEN
    assert np.count_nonzero(of[1] == CLOSE) == 1
    assert CLOSE not in of[0]


def test_no_window_is_lost_and_calls_fill_up():
    held = hold(SLOW, SECOND, 110, Trial(seconds=4.0))
    half = hold(SLOW, SECOND, 55, Trial(seconds=4.0))
    assert held.histogram.sum() == pytest.approx(110 * 2.0 / SECOND.step_s, abs=30)
    assert half.mean_batch < held.mean_batch <= SLOW.batch
    assert half.p99_s < held.p99_s


def test_most_streams_is_the_largest_number_in_time():
    trial = Trial(seconds=6.0, deadline_s=0.09)
    most = most_streams(SLOW, SECOND, trial)
    assert most.p99_s < 0.09
    assert hold(SLOW, SECOND, most.streams + 6, trial).p99_s >= 0.09


def overloaded(policy) -> OneGpu:
    """Twice as many as can be carried; after 20 s, a tenth of it."""
    rng = np.random.default_rng(4)
    end = np.where(np.arange(20) < 18, 20.0, np.inf)
    events = windows_of(np.full(20, 1.0), 60.0, rng, jitter_s=0.0, end_s=end)
    gpu = OneGpu(Fixed(0.1, batch=2), [kind()], [0] * 20, policy=policy, deadline_s=0.5)
    gpu.advance(events)
    gpu.drain()
    return gpu


def test_pass_through_is_in_time_and_fills_its_calls():
    gpu = overloaded("pass-through")
    assert max(gpu.figures.lateness_s) < 0.5 + 0.2
    # What can be computed is: 10 windows/s for 20 s, and what comes later, one by one.
    assert len(gpu.figures.done_s) >= 270
    assert 150 < gpu.figures.passed <= 480 - 270
    assert gpu.figures.batches[1] < 85


def test_longer_steps_end_when_all_is_calm():
    gpu = overloaded("longer-step")
    plain = overloaded("none")
    assert len(gpu.figures.longer) == 20
    assert max(gpu.figures.lateness_s) < max(plain.figures.lateness_s) / 2
    done, streams = np.array(gpu.figures.done_s), np.array(gpu.figures.streams)
    last = done[(streams == 19) & (done > 45.0)]
    assert np.diff(last) == pytest.approx(1.0)


def test_raise_ends_streams():
    gpu = overloaded("raise")
    assert 10 <= len(gpu.figures.raised) <= 20


def test_a_flood_hurts_nobody_else():
    rows = scenarios.flood(SLOW, SECOND, 100, Trial(seconds=4.0), times=(1, 100))
    assert rows[1]["offered"] > 1.2
    assert rows[1]["p99_ms"] < 1.5 * rows[0]["p99_ms"]


def test_new_streams_go_to_the_emptiest():
    rng = np.random.default_rng(5)
    for _ in range(200):
        streams = rng.integers(0, 20, rng.integers(1, 8))
        room = 22 - streams
        count = int(rng.integers(0, room.sum() + 1))
        given = _levelled(streams, room, count)
        assert given.sum() == count
        assert np.all((given >= 0) & (given <= room))
        after = streams + given
        if count < room.sum():
            assert after[given > 0].max(initial=0) <= after.min() + 1


def test_between_two_loads_a_curve_is_drawn_straight():
    held = [hold(SLOW, SECOND, n, Trial(seconds=4.0)) for n in (20, 60, 100)]
    curve = LatenessCurve(held, 100)
    assert curve.weights(np.array([20])) == pytest.approx([20, 0, 0])
    assert curve.weights(np.array([30, 90])) == pytest.approx([22.5, 7.5 + 22.5, 67.5])
    assert curve.weights(np.array([5, 300])) == pytest.approx([5, 0, 300])
    for each, weights in zip(held, np.eye(3), strict=True):
        assert curve.percentile(weights, 99) == pytest.approx(each.p99_s, rel=0.07)


class Simulated:
    """The streams of a fleet, and each of their windows."""

    def __init__(self, model: GpuModel, of: Kind, stay_s: float, jitter_s: float) -> None:
        self.rng = np.random.default_rng(6)
        self.model, self.kind, self.stay_s, self.jitter_s = model, of, stay_s, jitter_s
        self.gpus = defaultdict(self._gpu)
        # Of each GPU: its streams' next windows; those that have just come; windows under way.
        self.next = defaultdict(dict)
        self.fresh = defaultdict(set)
        self.coming = defaultdict(list)
        self.number = 0

    def _gpu(self):
        return OneGpu(Gpu(self.model), [self.kind], defaultdict(int))

    def _end(self, gpu, stream):
        del self.next[gpu][stream]
        if stream in self.fresh[gpu]:
            self.fresh[gpu].discard(stream)
        else:
            self.gpus[gpu].close(stream)

    def leave(self, streams, tick_s):
        left = np.zeros_like(streams)
        for gpu, there in self.next.items():
            assert len(there) == streams[gpu]
            go = self.rng.random(len(there)) < 1 - exp(-tick_s / self.stay_s)
            for stream in np.array(list(there), int)[go].tolist():
                self._end(gpu, stream)
            left[gpu] = go.sum()
        return left

    def join(self, gpu, count):
        for _ in range(count):
            self.next[gpu][self.number] = None
            self.fresh[gpu].add(self.number)
            self.number += 1

    def clear(self, gpu):
        for stream in list(self.next[gpu]):
            self._end(gpu, stream)

    def live(self, streams, begin_s, tick_s):
        for gpu, there in self.next.items():
            found = [(begin_s, 0, stream, OPEN) for stream in self.fresh[gpu]]
            self.fresh[gpu].clear()
            found += self.coming.pop(gpu, [])
            for stream, after in there.items():
                step = self.kind.step_s
                time = begin_s + self.rng.random() * step if after is None else after
                while time < begin_s + tick_s:
                    late = self.rng.exponential(self.jitter_s)
                    found.append((time + late, 1, stream, WINDOW))
                    time += step
                there[stream] = time
            found.sort()
            now = [each for each in found if each[0] < begin_s + tick_s]
            self.coming[gpu] = found[len(now) :]
            times, _, of, what = (np.array(c) for c in zip(*now, strict=True)) if now else [[]] * 4
            self.gpus[gpu].advance(Events(*map(np.asarray, (times, of, what))))


def test_a_fleet_that_is_counted_is_one_of_which_each_window_is_simulated():
    trial = Trial(seconds=10.0)
    most = most_streams(SLOW, SECOND, trial).streams
    curve = LatenessCurve.measure(SLOW, SECOND, most, trial, study.LOADS)
    plan = Plan(
        peak_streams=350, room=int(0.95 * most), stay_s=200.0, start_s=30.0, drain_s=60.0,
        failures_s=600.0, seconds=600.0,
    )  # fmt: skip
    counted = Counted(curve, plan.stay_s, np.random.default_rng(7))
    simulated = Simulated(SLOW, SECOND, plan.stay_s, trial.jitter_s)
    one, other = (
        Fleet(plan, population, np.random.default_rng(8)).run()
        for population in (counted, simulated)
    )
    assert one.failed >= 2
    assert one.moved > 50
    assert one.arrived == pytest.approx(other.arrived, rel=0.05)
    assert sum(one.streams) == pytest.approx(sum(other.streams), rel=0.05)
    assert one.gpu_per_stream == pytest.approx(other.gpu_per_stream, rel=0.05)
    late = np.concatenate([gpu.figures.lateness_s for gpu in simulated.gpus.values()])
    assert len(late) > 0.97 * sum(other.streams) * plan.tick_s / SECOND.step_s
    for percent in (50, 99):
        found = curve.percentile(counted.weights, percent)
        assert found == pytest.approx(np.percentile(late, percent), rel=0.15), percent


def test_a_fleet_takes_no_more_than_it_has_room_for():
    curve = LatenessCurve([hold(SLOW, SECOND, n, Trial(seconds=1.0)) for n in (1, 2)], 2)
    plan = Plan(peak_streams=1000.0, room=100, seconds=3600.0, start_s=1e6, headroom=0.5)
    day = Fleet(plan, Counted(curve, 1800.0, np.random.default_rng(0)), np.random.default_rng(1))
    found = day.run()
    on = 6  # as many as it began with
    assert max(found.streams) <= 100 * on
    assert day.streams.max() <= 100
    assert found.refused_streams > 300


def invoke(folder: Path, *options: str) -> dict[str, bytes]:
    (folder / command.PAGE).write_text(f"before\n{report.BEGIN}\nof yore\n{report.END}\nafter\n")
    result = CliRunner().invoke(command.main, ["--quick", "--write", str(folder), *options])
    assert result.exit_code == 0, result.output
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_command_writes_the_same_again(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = invoke(tmp_path / "one")
    assert one == invoke(tmp_path / "two")
    assert set(one) == {"scaling.md", "scaling.json", "scaling-gpu.png", "scaling-fleet.png"}
    page = one["scaling.md"].decode()
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "of yore" not in page


def test_another_seed_is_another_run():
    one, other = (hold(SLOW, SECOND, 100, Trial(seconds=2.0, seed=seed)) for seed in (0, 1))
    assert one.p99_s != other.p99_s


def test_a_folder_without_the_page_is_refused_before_any_work(tmp_path):
    result = CliRunner().invoke(command.main, ["--write", str(tmp_path)])
    assert result.exit_code == 2
    assert "Give the project's docs" in result.output
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def stored():
    return json.loads((DOCS / command.FIGURES).read_text(encoding="utf-8"))


def test_the_page_is_what_the_figures_say(stored):
    page = (DOCS / command.PAGE).read_text(encoding="utf-8")
    assert report.between(page, report.render(stored)) == page


def test_the_figures_are_what_the_command_finds(stored):
    plain = study.Study()
    assert stored["trial"] == {**stored["trial"], **_asdict(plain.trial)}
    model, row = plain.model, stored["latencies"][2]
    assert row["latency_s"] == stored["scenario_latency_s"] == 1.0
    second = Kind.of(CONFIG, model, 1.0)
    assert row["step_s"] == second.step_s
    assert row["cost_us"] == pytest.approx({k: 1e6 * v for k, v in second.cost._asdict().items()})
    load = row["loads"][2]
    found = scenarios.figures(hold(model, second, load["streams"], plain.trial))
    assert found == pytest.approx({k: v for k, v in load.items() if k != "load"}, rel=0.02)


def test_the_fleet_is_what_the_command_finds(stored):
    row = stored["latencies"][-1]
    most = row["gpu"]["streams"]
    curve = LatenessCurve([hold(SLOW, SECOND, n, Trial(seconds=1.0)) for n in (1, 2)], most)
    found, _ = study._fleet(study.Study(), curve)
    of = ("most_gpus", "mean_gpus", "gpu_hours_per_1000", "arrived", "refused", "moved")
    assert {k: found[k] for k in of} == pytest.approx({k: row["fleet"][k] for k in of}, rel=0.02)


def _asdict(trial: Trial) -> dict[str, object]:
    return {name: getattr(trial, name) for name in trial.__dataclass_fields__}
