"""Parity stages: each sees the fault it is for, and the right engine passes them all."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from sgn_rt.errors import EngineError, ParityError
from sgn_rt.model.contract import Precision
from sgn_rt.model.probe import Probe
from sgn_rt.model.stages import (
    EPSILON,
    LIMITS,
    Limit,
    Stage,
    StageResult,
    decision_margin,
    limit_for,
)
from sgn_rt.parity.measure import decision, measure, require


@pytest.fixture
def probe(mask_engine, probe_of, config):
    return probe_of(mask_engine(config))


def failed(results) -> set[Stage]:
    return {result.stage for result in results if not result.passed}


def test_the_reference_itself_passes_every_stage(mask_engine, config, probe):
    results = measure(mask_engine(config), probe)
    assert [result.stage for result in results] == [
        Stage.NETWORK, Stage.NETWORK_MAX, Stage.ANALYSIS, Stage.ANALYSIS_MAX, Stage.SYNTHESIS,
        Stage.RESAMPLING, Stage.WHOLE, Stage.LEVEL, Stage.SHARES, Stage.PRESENCE, Stage.DECISION,
        Stage.QUALITY,
    ]  # fmt: skip
    assert failed(results) == set()


def test_an_engine_of_waveforms_shows_what_it_can(fake_engine, config, probe_of):
    engine = fake_engine(config)
    results = measure(engine, probe_of(engine))
    assert [result.stage for result in results] == [
        Stage.RESAMPLING, Stage.WHOLE, Stage.LEVEL, Stage.SHARES, Stage.PRESENCE, Stage.DECISION,
        Stage.QUALITY,
    ]  # fmt: skip
    assert failed(results) == set()


def masks(change):
    return lambda masked: masked._replace(masks=change(masked.masks).astype(np.float32))


def one_cell(x):
    x[..., 5, 5] += 0.01
    return x


def presence(masked):
    flipped = masked.presence.copy()
    flipped[:, 2] = 0.9
    return masked._replace(presence=flipped)


N, X, W, L, D, Q = (
    Stage.NETWORK, Stage.NETWORK_MAX, Stage.WHOLE, Stage.LEVEL, Stage.DECISION, Stage.QUALITY,
)  # fmt: skip
A, B, S, P = Stage.ANALYSIS, Stage.ANALYSIS_MAX, Stage.SHARES, Stage.PRESENCE
NOISE = np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)
WRONG = {
    # What is wrong with the masks -> the stages that must see it, and no others.
    "scaled": (masks(lambda m: m * 0.9), {N, X, A, L, S}),
    "offset": (masks(lambda m: m + 0.1), {N, X, A, B, W, L, S, Q}),
    "noisy": (masks(lambda m: m + 0.01 * NOISE), {N, X, W, Q}),
    "one in a hundred": (masks(lambda m: m + 1.5e-5 * (NOISE > 2.33)), {N}),
    "one cell": (masks(one_cell), {X}),
    "swapped": (masks(lambda m: m[:, ::-1]), {N, X, A, B, W, L, S, Q}),
    "presence": (presence, {P, D}),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_stage_sees_its_fault(mask_engine, config, probe, name):
    change, stages = WRONG[name]
    assert failed(measure(mask_engine(config, change=change), probe)) == stages


@pytest.mark.parametrize("name", [name for name in WRONG if WRONG[name][1] & {W, L, D}])
def test_the_start_up_probe_refuses_it_by_stage_figure_and_limit(
    mask_engine, config, probe, fails, name
):
    change, stages = WRONG[name]
    first = next(stage for stage in (W, L, D) if stage in stages)
    limit = limit_for(first, Precision.FP32, config.log_epsilon)
    with fails(ParityError, f"masks: parity stage {first}: got ", str(limit)):
        require(mask_engine(config, change=change), probe)


def test_a_wrong_synthesis_is_seen_with_the_references_masks(mask_engine, config, probe):
    engine = mask_engine(config)
    right = engine.transform.synthesis

    def late(spectrum):
        synthesize = right(spectrum)
        return lambda mask: np.roll(synthesize(mask), 1)

    engine.transform.synthesis = late
    assert failed(measure(engine, probe)) == {Stage.SYNTHESIS, W, L, S, Q}


def test_half_precision_has_limits_of_its_own(mask_engine, config, probe):
    def change(masked):
        return masked._replace(masks=masked.masks + np.float32(1e-4) * NOISE)

    assert failed(measure(mask_engine(config, change=change), probe)) >= {N}
    half = mask_engine(config, change=change, precision="fp16")
    assert failed(measure(half, probe)) == set()


def test_the_first_window_is_enough_at_start_up(fake_engine, config, probe_of):
    engine = fake_engine(config)
    probe = probe_of(engine)
    calls = engine.calls
    results = require(engine, probe)
    assert engine.calls == calls + 1
    assert [result.stage for result in results] == [W, L, D]


def test_an_engine_that_fails_on_a_probe(fake_engine, config, probe_of, fails):
    def nan(call, answer):
        answer.sources[0, 0, 3] = np.nan
        return answer

    probe = probe_of(fake_engine(config))
    with fails(EngineError, "1 non-finite"):
        require(fake_engine(config, fault=nan), probe)


def test_a_presence_at_the_threshold_decides_nothing(fake_engine, config, probe_of):
    probe = probe_of(fake_engine(config, presence=(0.50005, 0.9, 0.1)))
    results = [
        fake_engine(config, presence=values).separate(probe.mixture[:1], probe.categories[0])
        for values in ((0.49995, 0.9, 0.1), (0.49995, 0.4, 0.9))
    ]
    assert decision(results[:1], probe, 1e-4) == 0
    assert decision(results[1:], probe, 1e-4) == 2


def test_sources_that_the_reference_does_not_hear_do_not_count(fake_engine, config, probe_of):
    """What is left of a source that is not there has a poor SI-SDR, and says nothing."""

    def rough(call, answer):
        answer.sources[:, 1] += 0.1
        return answer

    heard = probe_of(fake_engine(config, presence=(0.9, 0.8, 0.1)))
    unheard = replace(heard, presence=np.tile(np.array([0.9, 0.1, 0.1], "f4"), (2, 1)))
    engine = fake_engine(config, presence=(0.9, 0.1, 0.1), fault=rough)
    assert W in failed(measure(engine, heard, quick=True))
    assert failed(measure(engine, unheard, quick=True)) == set()


def test_silence_is_silence(fake_engine, config, probe_of):
    engine = fake_engine(config)
    probe = probe_of(engine)
    silent = replace(
        probe,
        mixture=np.zeros_like(probe.mixture),
        sources=np.zeros_like(probe.sources),
        stem_known=np.zeros_like(probe.stem_known),
        shares=np.zeros_like(probe.shares),
    )
    assert failed(measure(engine, silent)) == set()

    def hum(call, answer):
        return answer._replace(sources=answer.sources + np.float32(1e-6))

    assert failed(measure(fake_engine(config, fault=hum), silent)) == {W}


def test_categories_that_nobody_hears_are_not_swapped_unseen(fake_engine, config, probe_of):
    """The probe has sources of the first two alone, and the last does not sound."""

    def louder(call, answer):
        if answer.sources.shape[1] == 3:
            answer.sources[:, 2] *= np.float32(1.01)
        return answer

    probe = probe_of(fake_engine(config))
    assert failed(measure(fake_engine(config, fault=louder), probe)) == {S}
    rarer = fake_engine(config, presence=(0.9, 0.5, 0.099))
    assert failed(measure(rarer, probe)) == {P}


def test_probes_from_before_shares_were_kept(fake_engine, config, probe_of, tmp_path):
    probe = replace(probe_of(fake_engine(config)), shares=None)
    read = Probe.from_bytes(probe.to_bytes(), config, tmp_path)
    assert read.shares is None
    assert S not in {result.stage for result in measure(fake_engine(config), read)}


def test_quality_is_left_out_where_no_stem_is_known(fake_engine, config, probe_of):
    engine = fake_engine(config)
    probe = probe_of(engine)
    unknown = replace(probe, stem_known=np.zeros_like(probe.stem_known))
    assert [result.stage for result in measure(engine, unknown)] == [
        Stage.RESAMPLING, W, L, S, P, D,
    ]  # fmt: skip


def test_limits():
    more, less = Limit(value=80, unit="dB", at_least=True), Limit(value=1e-5, unit="")
    assert (more.holds(80.0), more.holds(79.9), more.holds(math.inf)) == (True, False, True)
    assert (less.holds(1e-5), less.holds(1.1e-5), less.holds(-1.0)) == (True, False, True)
    assert not more.holds(math.nan)
    assert not less.holds(math.nan)
    assert (str(more), str(less)) == ("at least 80 dB", "at most 1e-05")
    assert all(set(limits) == set(Precision) for limits in LIMITS.values())
    assert set(LIMITS) == set(Stage)
    result = StageResult(stage=W, figure=math.inf, limit=more)
    assert result.to_dict() == {
        "figure": None, "limit": 80, "better": "higher", "unit": "dB", "passed": True,
    }  # fmt: skip
    assert str(replace(result, figure=81.2345)) == "whole: 81.23 dB (at least 80 dB)"


def test_limits_follow_what_the_logarithm_amplifies():
    """The published models' log_epsilon, its predecessor's, and more than either."""
    single = [limit_for(W, Precision.FP32, epsilon).value for epsilon in (0.1, EPSILON, 1e-5)]
    assert single == pytest.approx([90.0, 90.0, 70.0])
    gains = [limit_for(L, Precision.FP32, epsilon).value for epsilon in (0.1, EPSILON, 1e-5)]
    assert gains == pytest.approx([8e-5, 8e-5, 8e-4])
    for stage in Stage:
        limits = [limit_for(stage, Precision.FP32, epsilon) for epsilon in (EPSILON, 1e-5)]
        amplified = (A, B, W, L, S, P, Q)
        assert (limits[0] != limits[1]) == (stage in amplified)
        assert limits[0] == LIMITS[stage][Precision.FP32]
    margins = [decision_margin(Precision.FP32, epsilon) for epsilon in (0.1, EPSILON, 1e-5)]
    assert margins == pytest.approx([2e-4, 2e-4, 2e-3])


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("epsilon", [0.5, EPSILON, 1e-5, 1e-9])
def test_half_precision_need_not_hold_what_single_precision_cannot(stage, epsilon):
    half = limit_for(stage, Precision.FP16, epsilon)
    single = limit_for(stage, Precision.FP32, epsilon)
    assert single.holds(single.value)
    assert half.holds(single.value)
    assert decision_margin(Precision.FP16, epsilon) >= decision_margin(Precision.FP32, epsilon)
