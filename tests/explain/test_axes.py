import numpy as np
import pytest

from sgn_rt.explain.axes import claims_of, frequencies_hz, on_grid, stretches, token_grid


def test_claims_are_what_the_network_divided():
    claims = np.array([[0.75, 0.5, 0.0], [0.25, 0.5, 1.0]])
    sums = claims.sum(axis=1, keepdims=True)  # 1.25 and 1.75
    assignment = (claims / (sums + 1)).astype(np.float32)
    assert assignment[0, 0] == pytest.approx(0.75 / 2.25)
    np.testing.assert_allclose(claims_of(assignment), claims, atol=1e-6)


def test_claims_of_the_reference_sum_to_one_at_every_place(instruments, golden):
    claims = claims_of(golden["assignment"])
    assert claims.shape[-2:] == (11, instruments.config.tokens)
    np.testing.assert_allclose(claims.sum(axis=-2), 1.0, atol=2e-4)


def test_tokens_lie_row_by_row(config):
    rows, columns = token_grid(config)
    assert rows * columns == config.tokens
    assert rows == config.frequency_bins // 2 ** (config.token_level + 1)
    tokens = np.arange(config.tokens, dtype=np.float32)
    assert on_grid(tokens, config)[1, 0] == columns


def test_frequencies_run_from_nothing_to_half_the_rate(config):
    hz = frequencies_hz(config)
    assert len(hz) == config.frequency_bins
    assert hz[0] == 0.0
    assert hz[-1] == pytest.approx(config.sample_rate / 2)
    assert (np.diff(hz) > 0).all()
    # The middle of the log axis: s = (sqrt(21) - 11) / 10, a share of (s + 1) / 2.
    middle = (hz[len(hz) // 2 - 1] + hz[len(hz) // 2]) / 2
    assert middle == pytest.approx((21**0.5 - 1) / 20 * config.sample_rate / 2, rel=2e-3)


def test_stretches():
    assert stretches(np.array([1, 1, 0, 1, 0], bool)) == [(0, 2), (3, 4)]
    assert stretches(np.zeros(3, bool)) == []
    assert stretches(np.ones(2, bool)) == [(0, 2)]
