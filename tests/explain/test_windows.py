"""Windows that are looked into are those that a separation hears."""

import numpy as np
import pytest

from sgn_rt.explain.windows import Windows
from sgn_rt.streaming.windows import WindowLayout


@pytest.mark.parametrize("samples", [1200, 2031, 2032, 2033, 3000, 8001])
def test_own_windows_are_those_that_the_separator_hears(config, fake_separator, noise, samples):
    signal = noise(1, samples)[0]
    opened = fake_separator()
    opened.engine.seen = []
    opened.separator.separate(signal, ["bell"], sample_rate=config.sample_rate)
    # A window that ends with the recording may be heard twice.
    heard = {tuple(window) for window in np.concatenate(opened.engine.seen).tolist()}
    windows = Windows.of(config, samples)
    own = np.flatnonzero(windows.own)
    assert heard == {tuple(windows.cut(signal, index).tolist()) for index in own}


def test_windows_between_lie_within_the_recording(config):
    windows = Windows.of(config, 8001)
    between = windows.starts[~windows.own]
    assert len(between) > 4
    assert (between + config.window_samples <= 8001).all()
    assert (np.diff(windows.starts) > 0).all()


def test_a_window_takes_over_in_the_middle_of_the_cross_fade(config):
    layout, windows = WindowLayout.offline(config), Windows.of(config, 8001)
    own = np.flatnonzero(windows.own)
    middle = layout.final(0) + layout.fade // 2
    assert windows.heard_at(np.array([0, middle - 1, middle, 8000])).tolist() == [
        own[0], own[0], own[1], own[-1],
    ]  # fmt: skip
