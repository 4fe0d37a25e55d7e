"""What is joined of windows, and what is silenced."""

import numpy as np
import pytest

from sgn_rt.explain.occlusion import PARTS


def test_signals_follow_the_recording(explanation, config):
    hearing = explanation().hearing
    assert hearing.presence.shape == (len(hearing.windows.starts), 3)
    assert hearing.presence[0, 0] > 0.9 > hearing.presence[-1, 0]  # the high tone comes later
    assert hearing.names == ["bell", "horn"]
    assert hearing.masks.shape == (2, config.frequency_bins, len(hearing.column_s))
    assert hearing.column_s[-1] < hearing.duration_s <= hearing.column_s[-1] + 1


def test_the_spectrogram_is_joined_where_it_sounds(explanation, config):
    hearing = explanation().hearing
    loudest = hearing.row_hz[hearing.power.argmax(axis=0)]
    width = config.sample_rate / config.n_fft
    before = (hearing.column_s > 0.05) & (hearing.column_s < 0.95)
    assert (np.abs(loudest[before] - 300) < width).all()
    row = int(np.argmin(np.abs(hearing.row_hz - 3000)))
    rise = hearing.column_s[np.argmax(hearing.power[row] > hearing.power[row].max() / 2)]
    assert rise == pytest.approx(1, abs=2 * config.n_fft / config.sample_rate)


def test_claims_are_joined_by_row(explanation):
    hearing = explanation().hearing
    claims = hearing.joined_claims
    assert claims.shape[0] == 2
    assert claims.shape[2] == len(hearing.column_s)
    first = np.array_split(np.arange(claims.shape[1]), 3)[0]
    np.testing.assert_allclose(claims[0, first], 1, atol=1e-5)
    np.testing.assert_allclose(np.delete(claims[0], first, axis=0), 0, atol=1e-5)


def test_power_of_the_mixture_itself(explanation, signal):
    hearing = explanation().hearing
    np.testing.assert_array_equal(hearing.power_of(signal), hearing.power)


def test_a_presence_rests_on_what_it_is_made_of(explanation, config):
    explained = explanation()
    horn = explained.occlusions[1]
    assert horn.category == 2
    assert horn.fall.shape == (PARTS, PARTS)
    # Only the upper third of the axis makes the horn; without the tone of 300 Hz it rises.
    hz = explained.hearing.row_hz.reshape(PARTS, -1)
    high = int(np.argmax((hz[:, 0] <= 3000) & (hz[:, -1] >= 3000)))
    assert (horn.fall[high] > 0.01).all()
    assert horn.fall[np.argmax(hz[:, -1] > 300)].max() < 0
    assert int(horn.fall.argmax()) // PARTS == high
