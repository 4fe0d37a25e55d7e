"""What appears and disappears: hysteresis in odds, and that nothing flutters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgn_rt.errors import ConfigError
from sgn_rt.streaming.presence import PresenceRule
from sgn_rt.streaming.presence_events import CLEARLY_BELOW, PresenceEvent, PresenceEvents

signals = st.lists(st.floats(0, 1, width=32), max_size=60)
thresholds = st.floats(0.001, 0.999)


def odds(probability):
    return probability / (1 - probability)


def heard(presences, threshold=0.5):
    events = PresenceEvents(threshold, ("a",))
    found = []
    for number, presence in enumerate(presences):
        found += events.update(np.array([presence], np.float32), float(number))
    return found


def test_it_appears_at_the_threshold_and_disappears_clearly_below():
    found = heard([0.49, 0.5, 0.21, 0.3, 0.19, 0.4, 0.6])
    assert found == [
        PresenceEvent(kind="appeared", category="a", time_s=1.0, probability=0.5),
        PresenceEvent(
            kind="disappeared", category="a", time_s=4.0, probability=float(np.float32(0.19))
        ),
        PresenceEvent(
            kind="appeared", category="a", time_s=6.0, probability=float(np.float32(0.6))
        ),
    ]


@given(signals, thresholds)
def test_events_alternate_and_between_them_the_odds_change_by_the_factor(presences, threshold):
    found = heard(presences, threshold)
    kinds = [event.kind for event in found]
    assert kinds == ["appeared" if i % 2 == 0 else "disappeared" for i in range(len(kinds))]
    for event in found:
        if event.kind == "appeared":
            assert event.probability >= threshold * (1 - 1e-6)
        elif event.probability > 1e-6:
            assert odds(event.probability) <= odds(threshold) / CLEARLY_BELOW * (1 + 1e-6)


@given(st.lists(st.floats(-0.69, 0.69), max_size=60), thresholds)
def test_what_hovers_about_the_threshold_does_not_flutter(wobble, threshold):
    """By a factor of two in the odds, up and down."""
    about = odds(threshold) * np.exp(wobble)
    assert len(heard(about / (1 + about), threshold)) <= 1


def test_each_category_has_its_own_threshold_and_state():
    events = PresenceEvents((0.9, 0.1), ("a", "b"))
    (appeared,) = events.update(np.array([0.5, 0.5], np.float32), 0.0)
    assert appeared.category == "b"
    both = events.update(np.array([0.95, 0.001], np.float32), 1.0)
    assert [(event.kind, event.category) for event in both] == [
        ("appeared", "a"),
        ("disappeared", "b"),
    ]
    assert events.present.tolist() == [True, False]


def test_a_threshold_of_nothing_is_always_met_and_one_of_certainty_by_what_is_certain():
    assert [event.kind for event in heard([0.0, 0.0, 1.0], threshold=0.0)] == ["appeared"]
    assert [event.time_s for event in heard([0.99, 1.0, 0.9999], threshold=1.0)] == [1.0, 2.0]


def test_thresholds_are_those_of_the_rule():
    rule = PresenceRule(thresholds=(0.25, 0.75), span_s=1.0)
    events = PresenceEvents.of(rule, ("a", "b"))
    assert [e.category for e in events.update(np.array([0.5, 0.5], np.float32), 0.0)] == ["a"]
    single = PresenceEvents.of(PresenceRule(thresholds=0.25, span_s=1.0), ("a", "b"))
    assert len(single.update(np.array([0.5, 0.5], np.float32), 0.0)) == 2


def test_what_makes_no_hysteresis():
    with pytest.raises(ConfigError, match="thresholds: got 3, expected one for each of 2"):
        PresenceEvents((0.1, 0.2, 0.3), ("a", "b"))
    for factor in (1.0, 0.5, float("nan")):
        with pytest.raises(ConfigError, match="clearly_below: got"):
            PresenceEvents(0.5, ("a",), clearly_below=factor)
