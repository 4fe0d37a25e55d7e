"""Windows cover the signal, and their weights add up to one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from sgn_rt.errors import ConfigError
from sgn_rt.streaming.windows import WindowLayout, place


@pytest.fixture(params=[None, 64, 65, 100, 333, 800, 2000])
def layout(request, config) -> WindowLayout:
    if request.param is None:
        return WindowLayout.offline(config)
    return WindowLayout.within(config, request.param)


def test_windows_meet_without_gap_and_within_what_may_be_heard(layout):
    for index in range(5):
        first, last = layout.final(index - 1), layout.final(index)
        assert last > first
        assert layout.start(index) <= first, "the window begins before it is heard"
        assert last + layout.fade <= layout.stop(index) - layout.discard_right
        if index:
            assert first - layout.start(index) >= layout.discard_left
            assert layout.start(index) - layout.start(index - 1) == layout.step


def test_cross_fades_add_up_to_one(layout):
    rise = layout.rise
    assert rise.shape == (layout.fade,)
    assert (np.diff(rise) > 0).all()
    np.testing.assert_allclose(rise + rise[::-1], 1.0, atol=1e-6)


@pytest.mark.parametrize("look_ahead", [64, 65, 66, 67, 100, 333, 800, 952])
def test_a_layout_keeps_to_its_look_ahead(config, look_ahead):
    layout = WindowLayout.within(config, look_ahead)
    assert layout.look_ahead == look_ahead
    assert layout.discard_left >= 0


def test_more_look_ahead_than_needed_is_the_offline_layout(config):
    offline = WindowLayout.offline(config)
    assert WindowLayout.within(config, offline.look_ahead) == offline
    assert WindowLayout.within(config, 10**9) == offline
    assert WindowLayout.within(config, offline.look_ahead - 1) != offline


@pytest.mark.parametrize("latency_s", [1e308, 1e300, 1e18, 60, np.float32(60)])
def test_more_latency_than_is_needed_is_that_of_the_offline_layout(config, latency_s):
    expected = place(config, 44100, Fraction(128, 8000), None)
    assert place(config, 44100, Fraction(128, 8000), latency_s) == expected


@pytest.mark.parametrize(
    "latency_s", [0, -1.0, float("inf"), float("nan"), 10**400, "0.2", True, 1j, [0.2]]
)
def test_what_is_no_latency(config, fails, latency_s):
    with fails(ConfigError, "latency: got"):
        place(config, 44100, Fraction(128, 8000), latency_s)


@pytest.mark.parametrize("rate", [8000, 44099, 192000])
@pytest.mark.parametrize("latency_s", [None, 0.05, 0.08, 0.1])
def test_latency_covers_every_window_and_both_conversions(config, rate, latency_s):
    """Before window k is in, nothing later than its predecessor's final sample is asked for."""
    context = Fraction(0) if rate == 8000 else Fraction(128, 8000)
    asked = None if latency_s is None else latency_s + 2 * float(context)
    layout, latency = place(config, rate, context, asked)
    for index in range(40):
        needed = (Fraction(layout.stop(index), 8000) + context) * rate
        settled = (Fraction(layout.final(index - 1), 8000) - context) * rate
        fed = -(-needed // 1) - 1  # one sample short of the window
        assert fed - latency <= max(0, settled // 1)
