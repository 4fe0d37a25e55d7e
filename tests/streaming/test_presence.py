"""The rule of presence over time: what it finds and refuses, and that length does not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sgn_rt.errors import ConfigError
from sgn_rt.streaming.presence import PresenceRule, PresenceTracker

SPAN_S = 4.44
RULE = PresenceRule(span_s=SPAN_S)
HOUR = round(3600 / SPAN_S)

probabilities = st.floats(0, 1, width=32)
signals = st.lists(probabilities, min_size=1, max_size=40)


def heard(presences, rule=RULE, step_s=SPAN_S):
    tracker = PresenceTracker(rule, ("a",), step_s)
    for presence in presences:
        tracker.update(np.array([presence], np.float32))
    return tracker


def present(presences, rule=RULE, step_s=SPAN_S):
    return bool(heard(presences, rule, step_s).present[0])


@pytest.mark.parametrize("windows", [1, 2, 3])
def test_short_recordings_find_what_sounds_in_all_of_it(windows):
    assert present([0.5] * windows)
    assert not present([0.49] * windows)


def test_half_a_recording_at_the_threshold_is_enough_at_any_length():
    for half in (1, 2, 300):
        assert present([0.5] * half + [0.1] * half)
        assert not present([0.5] * half + [0.1] * (half + 1))


def test_one_clear_window_of_a_short_recording_is_enough():
    assert present([0.01, 0.61, 0.01])


def test_a_doubtful_window_alone_is_not():
    """The guitar in the music that ships: 0.55 in one of four windows."""
    assert not present([0.16, 0.554, 0.013, 0.003])


def test_a_clear_solo_of_ten_seconds_is_found_in_an_hour():
    for solo in ([0.97, 0.97], [0.9, 0.99, 0.9]):
        assert present([0.01] * 500 + solo + [0.01] * (HOUR - 500 - len(solo)))


def test_a_window_alone_is_not_believed_in_an_hour():
    assert not present([0.01] * 500 + [1.0] + [0.01] * (HOUR - 501))


def test_false_alarms_do_not_grow_with_length():
    """An absent instrument whose windows are above 0.5 once in sixty, as the published model's."""
    rng = np.random.default_rng(3)

    def false(windows, recordings):
        alarms, by_highest = 0, 0
        for _ in range(recordings):
            odds = np.exp(rng.normal(-4.5, 2.1, windows))
            probability = odds / (1 + odds)
            alarms += present(probability)
            by_highest += bool((probability >= 0.5).any())
        return alarms / recordings, by_highest / recordings

    short, _ = false(3, 600)
    long, highest = false(135, 100)
    assert highest > 0.7
    assert long <= short + 0.02


@given(signals, st.integers(2, 9))
@example([0.55, 0.6, 0.1], 5)
@example([0.5], 9)
@example([0.6, 0.1, 0.1], 2)
def test_a_recording_played_again_and_again_adds_nothing(presences, times):
    """But for what sounds over the seam, where a longer stretch comes to be."""
    over_the_seam = presences[0] >= 0.5 <= presences[-1] and min(presences) < 0.5
    if not over_the_seam and present(presences * times):
        assert present(presences)


@given(signals, st.integers(1, 200))
def test_silence_adds_nothing(presences, more):
    if present(presences + [0.0] * more):
        assert present(presences)


@given(signals, st.integers(1, 30), st.integers(1, 30))
def test_where_the_silence_lies_does_not_matter(presences, before, after):
    around = [0.0] * before + presences + [0.0] * after
    assert present(around) == present([0.0] * (before + after) + presences)


@given(signals, st.data())
def test_more_of_an_instrument_never_hides_it(presences, data):
    louder = [data.draw(st.floats(p, 1, width=32)) for p in presences]
    if present(presences):
        assert present(louder)


@given(signals)
def test_the_present_are_candidates_at_any_time(presences):
    tracker = PresenceTracker(RULE, ("a",), SPAN_S)
    for presence in presences:
        tracker.update(np.array([presence], np.float32))
        assert tracker.candidates[0] or not tracker.present[0]


def test_a_clear_entry_is_a_candidate_at_its_first_window():
    for silent in (0, 10, 130):
        tracker = heard([0.02] * silent + [0.95])
        assert tracker.candidates[0]


def test_a_candidate_that_falls_silent_is_taken_back_and_may_come_again():
    assert heard([0.7]).candidates[0]
    assert not heard([0.7] + [0.02] * 40).candidates[0]
    assert heard([0.7] + [0.02] * 40 + [0.95]).candidates[0]


def test_a_doubtful_window_late_is_no_candidate():
    assert not heard([0.02] * 130 + [0.6]).candidates[0]


def test_categories_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    table = rng.random((20, 5)).astype(np.float32)
    tracker = PresenceTracker(RULE, tuple("abcde"), SPAN_S)
    for row in table:
        tracker.update(row)
    assert tracker.present.tolist() == [present(column) for column in table.T.tolist()]


def test_what_the_report_states():
    tracker = heard([0.25, 0.75, 0.5])
    assert tracker.highest.dtype == np.float32
    assert tracker.highest.tolist() == [0.75]
    assert tracker.windows == 3


def test_nothing_is_present_before_the_first_window():
    tracker = PresenceTracker(RULE, ("a", "b"), SPAN_S)
    assert not tracker.present.any()
    assert not tracker.candidates.any()


@pytest.mark.parametrize("finer", [4, 40])
def test_windows_that_overlap_count_for_what_they_add(finer):
    """A live stream hears the same peak again and again; that makes it no more certain."""
    step_s = SPAN_S / finer
    for peak in (0.6, 0.9, 0.95, 0.99):
        coarse = [0.01] * 30 + [peak] + [0.01] * 30
        fine = np.repeat(coarse, finer)
        assert present(fine, step_s=step_s) == present(coarse)


@given(signals)
def test_a_window_of_a_longer_step_counts_for_all_of_it(presences):
    """Of twice the step, as two that say the same."""
    long, short = (PresenceTracker(RULE, ("a",), SPAN_S / 4) for _ in range(2))
    for presence in presences:
        window = np.array([presence], np.float32)
        long.update(window, 2.0)
        short.update(window)
        short.update(window)
    np.testing.assert_allclose(long._best, short._best)
    assert long.present.tolist() == short.present.tolist()
    assert long.candidates.tolist() == short.candidates.tolist()


def test_thresholds_by_category():
    rule = PresenceRule(span_s=SPAN_S, thresholds=(0.2, 0.9))
    tracker = PresenceTracker(rule, ("a", "b"), SPAN_S)
    tracker.update(np.array([0.4, 0.4], np.float32))
    assert tracker.present.tolist() == [True, False]


def test_thresholds_by_name(config):
    second = config.categories[1]
    rule = PresenceRule.of(config, {second: 0.7})
    assert rule.thresholds == (0.5, 0.7, 0.5)
    assert PresenceRule.of(config, 0.3).thresholds == 0.3
    assert PresenceRule.of(config).thresholds == 0.5


def test_thresholds_of_the_model_and_the_users_before_them(config):
    own = replace(config, presence_thresholds=(0.3, 0.4, 0.6))
    assert PresenceRule.of(own).thresholds == (0.3, 0.4, 0.6)
    assert PresenceRule.of(own, {own.categories[1]: 0.7}).thresholds == (0.3, 0.7, 0.6)
    assert PresenceRule.of(own, 0.5).thresholds == 0.5


def test_threshold_0_takes_everything_and_1_nothing_doubtful():
    everything, nothing = (PresenceRule(span_s=SPAN_S, thresholds=t) for t in (0.0, 1.0))
    assert present([0.0] * 50, everything)
    assert not present([0.99] * 50, nothing)


def test_the_rule_is_stated_with_its_threshold():
    assert "(0.5)" in RULE.describe()
    assert "(0.2 to 0.9)" in PresenceRule(span_s=SPAN_S, thresholds=(0.2, 0.9)).describe()
    assert RULE.describe().count(". ") == 1


def test_what_is_no_rule(fails, config):
    for wrong in (-0.1, 1.1, float("nan"), (0.5, 2.0)):
        with fails(ConfigError, "threshold"):
            PresenceRule(span_s=SPAN_S, thresholds=wrong)
    with fails(ConfigError, "span"):
        PresenceRule(span_s=0.0)
    with fails(ConfigError, "odds"):
        PresenceRule(span_s=SPAN_S, most_odds=1.0)
    with fails(ConfigError, "candidate_share"):
        PresenceRule(span_s=SPAN_S, candidate_share=2.0)
    with fails(ConfigError, "plain_share"):
        PresenceRule(span_s=SPAN_S, plain_share=0.0)
    with fails(ConfigError, "'kazoo'"):
        PresenceRule.of(config, {"kazoo": 0.5})
    with fails(ConfigError, "thresholds: got 2"):
        PresenceTracker(PresenceRule(span_s=SPAN_S, thresholds=(0.5, 0.5)), ("a",), SPAN_S)
    with fails(ConfigError, "step"):
        PresenceTracker(RULE, ("a",), 0.0)
