"""The recordings that presence is judged on: their truth is what their stems say."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.audio.labelled_music import Piece, load_music
from sgn_rt.benchmarks.studies.presence import (
    MINUTES,
    SOLO_S,
    Heard,
    Score,
    Take,
    hear,
    highest_of_all,
    lengths,
    takes,
    tracked,
)
from sgn_rt.separator import Separator
from sgn_rt.streaming.presence import PresenceRule
from sgn_rt.streaming.windows import WindowLayout

RATE = 50


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(0)
    stems = {name: rng.standard_normal(14 * RATE).astype(np.float32) for name in "abcd"}
    pairs = ({"a": stems["a"], "b": stems["b"]}, {"c": stems["c"], "d": stems["d"]})
    return list(takes([Piece("".join(p), sum(p.values()), p) for p in pairs], RATE))


def test_recordings_are_of_one_length_and_named_once(made):
    lengths = {len(stem) for take in made for stem in take.stems.values()}
    assert lengths == {MINUTES * 60 * RATE}
    assert len({take.name for take in made}) == len(made)


def test_a_solo_sounds_once_and_alone(made):
    solos = [take for take in made if take.rest is not None]
    assert solos
    for take in solos:
        (late,) = set(take.stems) - set(take.rest.stems)
        where = np.flatnonzero(take.stems[late])
        assert where[-1] - where[0] <= SOLO_S * RATE
        assert not any(take.stems[name][where].any() for name in take.rest.stems)


def test_solos_in_turn_never_overlap(made):
    (turns,) = [take for take in made if take.name == "solos in turn"]
    assert (sum((stem != 0).astype(int) for stem in turns.stems.values()) <= 1).all()


def test_what_sounds_in_each_window(fake_engine, config):
    engine = fake_engine(config)
    layout = WindowLayout.offline(config)
    stem = np.zeros(20 * layout.step, np.float32)
    first, last = layout.final(7), layout.final(9)
    stem[first:last] = 0.1
    heard = hear(engine, Take("one", {config.categories[1]: stem}))
    assert engine.calls == len(heard.presence) == 20
    seconds = heard.sounding_s[:, 1]
    margin_s = 0.7  # what dies away, and the grid of a tenth of a second
    assert (last - first) / config.sample_rate <= seconds.sum()
    assert seconds.sum() <= (last - first) / config.sample_rate + margin_s
    assert seconds[[8, 9]] == pytest.approx(layout.step / config.sample_rate)
    assert heard.near[7:11, 1].all()
    assert not heard.near[:, [0, 2]].any()


def test_scores_count_what_is_clear():
    score = Score()
    seconds = np.array([[5, 5, 0, 0, 1]], np.float32)
    heard = Heard(np.zeros((1, 5), np.float32), seconds, seconds > 0)
    score.add(heard, np.array([True, False, True, False, False]))
    assert (score.found, score.missed, score.false, score.recordings) == (1, 1, 1, 1)
    assert (score.recall, score.precision) == (0.5, 0.5)


def test_excerpts_and_an_hour(config):
    windows = np.arange(136 * 3, dtype=np.float32).reshape(136, 3) / 1000
    heard = Heard(windows, windows, windows > 0)
    by_length = lengths(heard, heard.part(0, 10))
    assert [len(excerpts) for excerpts in by_length.values()] == [136, 45, 9, 1, 1]
    assert len(by_length["1 h"][0].presence) == 136 + 5 * 10
    rule = PresenceRule(span_s=1.0)
    tracker = tracked(rule, config.categories, windows)
    assert tracker.windows == 136
    assert not highest_of_all(windows).any()


def test_the_music_that_ships():
    """The highest of all windows finds a guitar that is not there; the rule over time does not."""
    with Separator.open(parity="off") as separator:
        rule = PresenceRule.of(separator.config)
        by_highest = set()
        for piece in load_music(None, separator.config.sample_rate):
            heard = hear(separator.engine, Take(piece.name, piece.stems))
            for again in (1, 40):  # 14 s, and ten minutes of the same
                presence = np.tile(heard.presence, (again, 1))
                tracker = tracked(rule, separator.categories, presence)
                found = np.flatnonzero(tracker.present)
                assert {separator.categories[i] for i in found} == set(piece.stems)
            by_highest |= {separator.categories[i] for i in np.flatnonzero(tracker.highest > 0.5)}
            by_highest -= set(piece.stems)
        assert by_highest == {"acoustic_guitar"}
