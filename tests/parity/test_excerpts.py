"""Windows one by one: the worst of them is named, with its category, and nothing is left out."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.audio.labelled_music import Piece
from sgn_rt.model.contract import Precision
from sgn_rt.model.stages import Stage
from sgn_rt.parity.excerpts import coarser, of_music, of_probe, worst_of
from sgn_rt.parity.measure import measure


@pytest.fixture
def piece(config, noise):
    signal = noise(1, 2 * config.window_samples + 100)[0]
    return Piece("a.wav", signal, {"drum": (0.1 * signal).astype("f4"), "cowbell": signal})


def test_every_sample_is_in_a_window_and_the_last_ends_with_the_piece(mask_engine, config, piece):
    engine = mask_engine(config)
    excerpts = list(of_music([piece], engine))
    starts = [round(e.second * config.sample_rate) for e in excerpts]
    assert starts == [0, config.window_samples, config.window_samples + 100]
    for start, excerpt in zip(starts, excerpts, strict=True):
        expected = piece.mixture[start : start + config.window_samples]
        assert np.array_equal(excerpt.probe.mixture[0], expected)
        categories = excerpt.probe.categories[0].tolist()
        assert config.categories.index("drum") in categories  # it has a stem
        assert excerpt.probe.stem_known[0, categories.index(1)]


def test_an_engine_against_itself_holds_everything(mask_engine, config, piece):
    worst = worst_of(mask_engine(config), of_music([piece], mask_engine(config)))
    unseen = {Stage.WEIGHTS, Stage.ASSIGNMENT}
    assert list(worst) == [stage for stage in Stage if stage not in unseen]
    assert all(each.result.passed for each in worst.values())


def test_the_worst_window_is_named_with_its_category(fake_engine, config, piece):
    start = config.window_samples
    marked = piece.mixture[start]

    class Wrong(fake_engine):
        def _separate(self, mixture, categories):
            answer = super()._separate(mixture, categories)
            if mixture[0, 0] == marked:
                answer.sources[:, categories == 0] *= np.float32(1.01)
            return answer

    right, wrong = fake_engine(config), Wrong(config)
    told = []
    worst = worst_of(wrong, of_music([piece], right), inside=False, tell=told.append)
    level = worst[Stage.LEVEL]
    assert not level.result.passed
    assert level.result.figure == pytest.approx(0.01, rel=0.02)
    assert level.excerpt.second == start / config.sample_rate
    assert str(level) == f"a.wav at {start / config.sample_rate:.2f} s, bell"
    assert level.expected is not None
    assert np.allclose(level.found, level.expected * 1.01)
    assert told == [1, 2, 3]
    assert Stage.NETWORK not in worst


def test_windows_of_a_probe_are_what_it_holds(mask_engine, config, probe_of):
    probe = probe_of(mask_engine(config))
    engine = mask_engine(config)
    excerpts = list(of_probe(probe))
    assert [e.file for e in excerpts] == ["probe 0", "probe 1"]
    every = {result.stage: result for result in measure(engine, probe)}
    worst = worst_of(engine, excerpts)
    for stage in (Stage.LEVEL, Stage.SHARES, Stage.PRESENCE, Stage.NETWORK_MAX):
        assert worst[stage].result.figure == every[stage].figure


def test_a_presence_that_is_off_is_named_though_no_source_of_it_is_held(
    fake_engine, config, probe_of
):
    probe = probe_of(fake_engine(config))
    worst = worst_of(fake_engine(config, presence=(0.9, 0.5, 0.2)), of_probe(probe), inside=False)[
        Stage.PRESENCE
    ]
    assert (worst.category, worst.expected) == ("horn", None)
    assert not worst.result.passed


def test_limits_are_those_of_the_coarser_of_two():
    assert coarser(Precision.FP32, Precision.FP16) == Precision.FP16
    assert coarser(Precision.INT8, Precision.FP16) == Precision.INT8
