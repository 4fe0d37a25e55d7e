"""The engine as the generator sees it: in this process, on fakes, a GPU's among them.

A fake's times are nobody's: what is looked at is whether the generator takes its runs for valid,
and what it was answered.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sgn_rt.benchmarks.loadgen.child import pace_of
from sgn_rt.benchmarks.loadgen.logs import ACCURACY, DETAIL, SUMMARY, read_outcome
from sgn_rt.benchmarks.loadgen.material import WINDOWS, windows
from sgn_rt.benchmarks.loadgen.scenario import Pace, Run, Scenario
from sgn_rt.benchmarks.loadgen.sut import SystemUnderTest, drive
from sgn_rt.engines.factory import open_engine
from sgn_rt.engines.tensorrt_engine import TensorRTEngine
from sgn_rt.errors import EngineError

from ...tensorrt.conftest import (  # noqa: F401 - fixtures
    _engines_of_its_own,
    bundle,
    device,
    make_pair,
    make_sidecar,
    module,
    pair,
    trt,
)

SLOW = Pace(rate=20.0, latency_s=0.05)


@pytest.fixture
def gpu_engine(bundle, pair):
    """TensorRT's engine on a device in host memory: 4 windows a call, two calls in flight."""
    engine = TensorRTEngine("tensorrt", bundle, pair)
    yield engine
    engine.close()


@pytest.fixture
def sent(config):
    return windows(config)


@pytest.mark.parametrize("scenario", list(Scenario))
def test_a_gpu_engine_on_the_fakes_is_valid(scenario, gpu_engine, sent, module, tmp_path):
    everything = np.arange(3)
    pace = pace_of(gpu_engine, sent, everything)
    run = Run(scenario=scenario, pace=pace)
    if scenario is Scenario.SERVER:
        run = Run(scenario=scenario, pace=pace, rate=pace.rate / 4, bound_s=1.0)
    module.executed.clear()
    drive(gpu_engine, sent, everything, run, tmp_path)
    outcome = read_outcome(tmp_path, scenario)
    if scenario is Scenario.OFFLINE and not outcome.valid:  # it was slower when it was warmed
        again = Pace(rate=outcome.rate, latency_s=pace.latency_s)
        drive(gpu_engine, sent, everything, Run(scenario=scenario, pace=again), tmp_path)
        outcome = read_outcome(tmp_path, scenario)
    assert outcome.valid, outcome.words
    assert "Result is : VALID" in (tmp_path / SUMMARY).read_text()
    assert (tmp_path / DETAIL).exists()
    largest = max(batch for _, batch, _ in module.executed)
    if scenario is not Scenario.SERVER:  # what waits at a time is chance
        assert largest == (1 if scenario is Scenario.SINGLE_STREAM else gpu_engine.batch)


def answers(folder, engine, categories):
    """Position of a window -> what the generator has been answered, of an accuracy run."""
    shape = (len(categories), engine.config.window_samples)
    logged = json.loads((folder / ACCURACY).read_text())
    return {
        each["qsl_idx"]: np.frombuffer(bytes.fromhex(each["data"]), np.float32).reshape(shape)
        for each in logged
    }


@pytest.mark.parametrize("scenario", [Scenario.OFFLINE, Scenario.SINGLE_STREAM])
def test_answers_are_the_engines_own(scenario, setting, tmp_path):
    """Of a CPU's engine to the bit: alone, and with several in flight."""
    engine = open_engine("onnxruntime", setting.bundle, 2)
    sent, chosen = windows(engine.config), np.array([1, 0])
    run = Run(scenario=scenario, pace=SLOW, accuracy=True)
    drive(engine, sent, chosen, run, tmp_path)
    found = answers(tmp_path, engine, chosen)
    assert sorted(found) == list(range(WINDOWS))
    for index, sources in found.items():
        expected = engine.separate(sent[index : index + 1], chosen).sources[0]
        np.testing.assert_array_equal(sources, expected)
        assert np.abs(sources).max() > 0


def test_answers_of_a_gpu_engine_are_its_own(gpu_engine, sent, tmp_path):
    chosen = np.array([2, 0])
    run = Run(scenario=Scenario.OFFLINE, pace=SLOW, accuracy=True)
    drive(gpu_engine, sent, chosen, run, tmp_path)
    found = answers(tmp_path, gpu_engine, chosen)
    assert sorted(found) == list(range(WINDOWS))
    for index, sources in found.items():
        expected = gpu_engine.separate(sent[index : index + 1], chosen).sources[0]
        np.testing.assert_array_equal(sources, expected)


def test_windows_are_music_and_no_two_are_alike(sent, config):
    assert sent.shape == (WINDOWS, config.window_samples)
    assert sent.dtype == np.float32
    assert len({window.tobytes() for window in sent}) == WINDOWS
    assert np.median(np.abs(sent).max(axis=1)) > 0.01
    # Longer than all the music there is: it comes again.
    long = replace(config, window_samples=300_024, frames=37_504)
    assert windows(long).shape == (WINDOWS, 300_024)


def fails_on(engine, call):
    """The engine, failing on one call of it and on every later one."""
    right, calls = engine.separate, iter(range(1, 1 << 30))

    def separate(*arguments):
        if next(calls) >= call:
            raise MemoryError("out of memory")
        return right(*arguments)

    engine.separate = separate
    return engine


@pytest.mark.parametrize("call", [1, 7])
def test_after_an_error_all_is_answered_and_then_it_is_told(
    call, fake_engine, config, sent, tmp_path, fails
):
    told = []
    engine = fails_on(fake_engine(config, concurrency=3), call)
    run = Run(scenario=Scenario.OFFLINE, pace=SLOW)
    with fails(EngineError, "fake: got MemoryError: out of memory"):
        drive(engine, sent, np.array([0]), run, tmp_path, told.append)
    assert [str(error) for error in told] == ["out of memory"]  # the first, once


def test_an_engines_own_error_is_told_as_it_is(fake_engine, config, sent, tmp_path):
    engine = fake_engine(config, fault=lambda call, answer: answer._replace(presence=None))
    with pytest.raises(EngineError, match="fake"):
        drive(engine, sent, np.array([0]), Run(scenario=Scenario.OFFLINE, pace=SLOW), tmp_path)


class Answers:
    """The part of the generator that takes answers."""

    def __init__(self):
        self.given, self.changed = [], threading.Condition()

    def QuerySampleResponse(self, *response):  # noqa: N802
        return response

    def QuerySamplesComplete(self, responses):  # noqa: N802
        with self.changed:
            self.given.append([each[0] for each in responses])
            self.changed.notify_all()

    def count(self):
        return sum(map(len, self.given))


def test_a_call_takes_what_waits_and_waits_for_no_more(
    fake_engine, config, sent, monkeypatch
):  # fmt: skip
    answers = Answers()
    monkeypatch.setattr("sgn_rt.benchmarks.loadgen.sut.generator", lambda: answers)
    begun, go_on = threading.Event(), threading.Event()

    def fault(call, answer):
        begun.set()
        assert go_on.wait(60)
        return answer

    engine = fake_engine(config, batch=4, fault=fault)
    under_test = SystemUnderTest(engine, sent, np.array([0]), None)
    with under_test.at_work():
        under_test.issue([SimpleNamespace(id=100, index=0)])
        assert begun.wait(60)  # one alone, as no more had come
        under_test.issue([SimpleNamespace(id=id_, index=id_) for id_ in range(6)])
        under_test.flush()
        assert answers.given == []
        go_on.set()
        with answers.changed:
            assert answers.changed.wait_for(lambda: answers.count() == 7, 60)
    assert answers.given == [[100], [0, 1, 2, 3], [4, 5]]
    assert not any(thread.name.startswith("sgn-rt-loadgen") for thread in threading.enumerate())
