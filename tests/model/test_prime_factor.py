"""The inverse FFT by matrix products against NumPy's in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sgn_rt.model.prime_factor import ProductsInverse, prime_factor
from sgn_rt.model.transform import hann


@pytest.mark.parametrize(
    ("n", "expected"),
    [(1022, 73), (510, 17), (254, 127), (13, 13), (1024, None), (400, None), (338, None),
     (1018, None), (2 * 3 * 5 * 7 * 13, None), (1, None)],
)  # fmt: skip
def test_products_are_for_one_large_prime_that_they_are_faster_for(n, expected):
    assert prime_factor(n) == expected


@pytest.mark.parametrize("n", [1022, 510, 254, 39, 17])
@pytest.mark.parametrize("columns", [1, 16, 70])
def test_signals_are_those_of_the_inverse_fft(n, columns):
    rng = np.random.default_rng(n)
    shape = (n // 2 + 1, columns)
    # Also where no real signal has an imaginary part: the inverse FFT does not look at it.
    spectrum = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    gain = rng.random(shape, dtype=np.float32)
    window = hann(n)
    expected = np.fft.irfft((spectrum * gain).astype(np.complex128), n=n, axis=0) * window[:, None]
    inverse = ProductsInverse(n, prime_factor(n), window)
    got = inverse.of(spectrum).times(0, gain[inverse.frequencies])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_calls_of_other_widths_and_places_agree():
    rng = np.random.default_rng(3)
    spectrum = (rng.standard_normal((512, 96)) + 0.5j).astype(np.complex64)
    inverse = ProductsInverse(1022, 73, hann(1022))
    frames = inverse.of(spectrum)
    ones = np.ones((len(inverse.frequencies), 96), np.float32)
    whole = frames.times(0, ones).copy()
    parts = [frames.times(at, ones[:, :32]).copy() for at in (0, 32, 64)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-7)
    assert_array_equal(frames.times(0, ones), whole)
