"""What the generator is told of a run."""

from __future__ import annotations

import dataclasses

import pytest

from sgn_rt.benchmarks.loadgen.scenario import Pace, Run, Scenario, generator

PACE = Pace(rate=40.0, latency_s=0.04)
SINGLE, MULTI, OFFLINE, SERVER = Scenario


def run(scenario, **changes):
    server = {"rate": 20.0, "bound_s": 0.25} if scenario is SERVER else {}
    return Run(scenario=scenario, pace=PACE, **server, **changes)


@pytest.mark.parametrize("scenario", list(Scenario))
def test_a_short_run(scenario):
    settings = run(scenario).settings()
    assert settings.scenario == getattr(generator().TestScenario, scenario.generators)
    assert settings.mode == generator().TestMode.PerformanceOnly
    assert settings.min_duration_ms == 2000
    assert settings.min_query_count == {OFFLINE: 1, SERVER: 100}.get(scenario, 64)
    assert settings.single_stream_target_latency_percentile == 0.9
    assert settings.multi_stream_target_latency_percentile == 0.9
    assert settings.server_target_latency_percentile == 0.9
    assert settings.multi_stream_samples_per_query == 8
    # As long as it is meant to be, also where the engine is faster than it was when it was warmed.
    assert settings.offline_expected_qps == 60.0
    assert settings.single_stream_expected_latency_ns == 10_000_000
    assert settings.multi_stream_expected_latency_ns == 50_000_000
    if scenario is SERVER:
        assert settings.server_target_qps == 20.0
        assert settings.server_target_latency_ns == 250_000_000


@pytest.mark.parametrize("scenario", list(Scenario))
def test_an_official_run_is_by_mlperfs_own_rules(scenario):
    settings = run(scenario, official=True).settings()
    assert settings.min_duration_ms == 600_000
    assert settings.min_query_count == {MULTI: 662}.get(scenario, 100)
    assert settings.single_stream_target_latency_percentile == 0.9
    assert settings.multi_stream_target_latency_percentile == 0.99
    assert settings.server_target_latency_percentile == 0.99
    assert settings.offline_expected_qps == 60.0
    # Those of MLPerf's current round, not the generator's zeros.
    assert 0 not in (settings.qsl_rng_seed, settings.sample_index_rng_seed)
    assert run(scenario, official=True).percentile == (90 if scenario is SINGLE else 99)


def test_an_accuracy_run():
    assert run(OFFLINE, accuracy=True).settings().mode == generator().TestMode.AccuracyOnly


@pytest.mark.parametrize(
    ("scenario", "official", "seconds"),
    [
        (SINGLE, False, 64 * 0.04),
        (MULTI, False, 64 * 8 / 40),
        (OFFLINE, False, 4.0),
        (SERVER, False, 100 / 20),
        (SINGLE, True, 600.0),
        (MULTI, True, 600.0),
        (OFFLINE, True, 1200.0),
    ],
)
def test_how_long_a_run_is_waited_for(scenario, official, seconds):
    assert run(scenario, official=official).expected_s == pytest.approx(seconds)


def test_a_run_is_told_and_read_again():
    for each in (run(SERVER, official=True), run(OFFLINE, accuracy=True)):
        told = each.to_dict()
        assert Run.from_dict(told) == each
        assert set(told) == {field.name for field in dataclasses.fields(Run)}
