"""The mixtures that levels are tried on."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.audio.labelled_music import Piece, load_music
from sgn_rt.audio.level import gain_db, measure_level
from sgn_rt.benchmarks.studies.level import count, mixtures, presences
from sgn_rt.benchmarks.studies.presence import tracked
from sgn_rt.separator import Separator
from sgn_rt.streaming.presence import PresenceRule


@pytest.fixture
def pieces():
    rng = np.random.default_rng(0)
    stems = {name: rng.standard_normal(100 + 10 * i) for i, name in enumerate("abcd")}
    pairs = ({"a": stems["a"]}, {"b": stems["b"], "c": stems["c"]})
    return [Piece("".join(pair), sum(s[:100] for s in pair.values()), pair) for pair in pairs]


def test_pieces_come_first_and_what_is_made_adds_up(pieces):
    made = mixtures(pieces, 14, 0)
    assert [piece.name for piece in made[:2]] == ["a", "bc"]
    assert len(made) == 14
    for piece in made[2:]:
        assert len(piece.stems) in (2, 3)
        assert piece.mixture == pytest.approx(sum(piece.stems.values()))


def test_they_are_the_same_every_time(pieces):
    first, second = mixtures(pieces, 14, 3), mixtures(pieces, 14, 3)
    assert all((a.mixture == b.mixture).all() for a, b in zip(first, second, strict=True))


def test_the_gain_reaches_the_network(fake_engine, config):
    engine = fake_engine(config)
    engine.seen = []
    answer = presences(engine, np.full(config.window_samples, 0.1, np.float32), 20.0)
    assert answer.shape == (engine.calls, len(config.categories))
    assert max(window.max() for window in engine.seen) == pytest.approx(1.0)


def test_right_false_missed(pieces):
    found = np.array([True, True, False])
    assert count(found, ("a", "b", "c"), pieces[1]).tolist() == [1, 1, 1]


def test_the_music_that_ships_is_found_at_any_level():
    with Separator.open(parity="off") as separator:
        config, rule = separator.config, PresenceRule.of(separator.config)

        def found(presence):
            present = tracked(rule, separator.categories, presence).present
            return {separator.categories[i] for i in np.flatnonzero(present)}

        for piece in load_music(None, config.sample_rate):
            as_it_is = set()
            for change in (-55, -40, 0, 25):
                mixture = piece.mixture * np.float32(10 ** (change / 20))
                gain = gain_db(
                    measure_level([mixture[None]], config.window_samples),
                    config.training_level_dbfs,
                )
                assert (gain == 0.0) == (change == 0)
                assert found(presences(separator.engine, mixture, gain)) == set(piece.stems)
                as_it_is.add(frozenset(found(presences(separator.engine, mixture, 0.0))))
            assert len(as_it_is) > 1  # it would depend on the level without the gain
