"""The mixtures that levels are tried on."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.audio.labelled_music import Piece
from sgn_rt.benchmarks.level import count, mixtures, presences


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
