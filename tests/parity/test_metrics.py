"""SI-SDR against its definition in float64."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.parity.metrics import si_sdr


@pytest.fixture
def signals():
    rng = np.random.default_rng(3)
    reference = rng.standard_normal((2, 4000)).astype(np.float32)
    return reference + 0.1 * rng.standard_normal((2, 4000)).astype(np.float32), reference


def test_definition(signals, si_sdr, tolerance):
    from sgn_rt.parity.metrics import si_sdr as ours

    estimate, reference = signals
    expected = si_sdr(reference.ravel(), estimate.ravel())
    assert ours(estimate, reference) == pytest.approx(float(expected), abs=tolerance["si_sdr"])


@pytest.mark.parametrize(("gain", "expected"), [(1.0, 20.0), (3.0, 29.542425094393), (0.1, 0.0)])
def test_known_ratio(gain, expected):
    """A tone and another at right angles to it: the ratio is that of their amplitudes."""
    phase = 2 * np.pi * np.arange(1000) / 1000
    reference, other = np.sin(5 * phase), 0.1 * np.sin(9 * phase)
    assert si_sdr(gain * reference + other, reference) == pytest.approx(expected, abs=1e-9)


def test_scale_does_not_matter_and_sign_neither(signals):
    estimate, reference = signals
    expected = si_sdr(estimate, reference)
    assert 19.5 < expected < 20.5  # noise of a tenth
    for gain in (1e-3, 7.0, -1.0):
        assert si_sdr(gain * estimate.astype("f8"), reference) == pytest.approx(expected)


def test_the_mean_is_not_removed():
    reference = np.ones(100)
    assert si_sdr(np.r_[np.ones(50), -np.ones(50)], reference) == float("-inf")
    assert si_sdr(2 * reference, reference) == float("inf")


def test_edges():
    sound = np.sin(np.arange(50.0))
    assert si_sdr(sound, sound) == float("inf")
    assert si_sdr(np.zeros(50), sound) == float("-inf")
    assert np.isnan(si_sdr(sound, np.zeros(50)))
    assert np.isnan(si_sdr(np.full(50, np.nan), sound))
    assert np.isnan(si_sdr(sound, np.full(50, np.nan)))
