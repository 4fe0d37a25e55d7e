"""STFT, warp and synthesis against PyTorch, SciPy and dense matrices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.signal

from sgn_rt.model.transform import Transform, hann, log_unwarp_matrix, log_warp_matrix

SIZES = [(1022, 256), (1024, 256), (512, 160), (400, 100), (510, 255), (254, 7)]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}-{size[1]}")
def transform(request, small_config) -> Transform:
    n_fft, hop = request.param
    # A window that the hop does not divide: the last frame begins before the end.
    return Transform(small_config(n_fft=n_fft, hop_length=hop, window_samples=127 * hop + hop // 3))


@pytest.fixture
def mixture(transform):
    rng = np.random.default_rng(5)
    return (0.2 * rng.standard_normal(transform.config.window_samples)).astype(np.float32)


def test_stft_is_pytorchs(transform, mixture, tolerance):
    torch = pytest.importorskip("torch")
    config = transform.config
    expected = torch.stft(
        torch.from_numpy(mixture).double(), config.n_fft, config.hop_length,
        window=torch.hann_window(config.n_fft, periodic=True, dtype=torch.float64),
        center=True, pad_mode="reflect", return_complex=True,
    ).numpy()  # fmt: skip
    got = transform.stft(mixture)
    assert got.shape == expected.shape == (config.bins, config.frames)
    assert got.dtype == np.complex64
    assert np.abs(got - expected).max() <= tolerance["stft"] * np.abs(expected).max()


def test_stft_is_scipys(transform, mixture, tolerance):
    config, pad = transform.config, transform.config.n_fft // 2
    window = scipy.signal.get_window("hann", config.n_fft, fftbins=True)
    padded = np.pad(mixture.astype(np.float64), pad, mode="reflect")
    frames = np.stack(
        [padded[t * config.hop_length :][: config.n_fft] for t in range(config.frames)], axis=1
    )
    expected = np.fft.rfft(frames * window[:, None], axis=0)
    got = transform.stft(mixture)
    assert np.abs(got - expected).max() <= tolerance["stft"] * np.abs(expected).max()


def test_synthesis_is_pytorchs_inverse(transform, mixture, tolerance):
    torch = pytest.importorskip("torch")
    config = transform.config
    rng = np.random.default_rng(6)
    mask = rng.random((config.frequency_bins, config.frames), dtype=np.float32)
    linear = log_unwarp_matrix(config.bins, config.frequency_bins).astype(np.float64) @ mask
    spectrum = transform.stft(mixture)
    expected = torch.istft(
        torch.from_numpy(linear * spectrum), config.n_fft, config.hop_length,
        window=torch.hann_window(config.n_fft, periodic=True, dtype=torch.float64),
        length=config.window_samples,
    ).numpy()  # fmt: skip
    got = transform.synthesize(spectrum, mask)
    assert got.shape == (config.window_samples,)
    assert got.dtype == np.float32
    # Where the summed squared window vanishes, both divide rounding by next to nothing.
    total = np.zeros(config.frames * config.hop_length + config.n_fft)
    for t in range(config.frames):
        total[t * config.hop_length :][: config.n_fft] += hann(config.n_fft) ** 2
    covered = total[config.n_fft // 2 :][: config.window_samples] > 0.1
    assert covered[: -config.n_fft // 2].all()
    assert np.abs(got - expected)[covered].max() <= tolerance["istft"]


def test_a_mask_of_ones_gives_the_mixture_back(transform, mixture, tolerance):
    config = transform.config
    ones = np.ones((config.frequency_bins, config.frames), np.float32)
    got = transform.synthesize(transform.stft(mixture), ones)
    inside = slice(0, config.window_samples - config.n_fft // 2)
    assert np.abs(got - mixture)[inside].max() <= tolerance["istft"]


def test_log_magnitude_samples_the_stated_positions(transform, mixture):
    config = transform.config
    spectrum = transform.stft(mixture)
    magnitude = np.abs(spectrum.astype(np.complex128))
    y = -1 + 2 * np.arange(config.frequency_bins) / (config.frequency_bins - 1)
    s = (21 ** ((y + 1) / 2) - 11) / 10
    positions = (s + 1) / 2 * (config.bins - 1)
    warped = np.stack(
        [np.interp(positions, np.arange(config.bins), column) for column in magnitude.T], axis=1
    )
    got = transform.log_magnitude(spectrum)
    assert got.shape == (1, config.frequency_bins, config.frames)
    assert got.dtype == np.float32
    # The logarithm's slope is 1e5 at most: compare what it was taken of.
    np.testing.assert_allclose(np.exp(got[0].astype("f8")) - 1e-5, warped, rtol=2e-6, atol=2e-9)


def test_unwarp_samples_the_stated_positions(transform):
    config = transform.config
    y = -1 + 2 * np.arange(config.bins) / (config.bins - 1)
    positions = ((np.log(10 * y + 11) / np.log(21) * 2 - 1) + 1) / 2 * (config.frequency_bins - 1)
    basis = np.eye(config.frequency_bins)
    rows = np.arange(config.frequency_bins)
    expected = np.stack([np.interp(positions, rows, column) for column in basis], axis=1)
    got = log_unwarp_matrix(config.bins, config.frequency_bins)
    np.testing.assert_allclose(got, expected, atol=1e-7)


def test_warps_keep_a_flat_spectrum_flat():
    for matrix in (log_warp_matrix(512, 256), log_unwarp_matrix(512, 256)):
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-6)
        assert matrix.min() >= 0.0


def test_silence_is_exact(transform):
    config = transform.config
    spectrum = transform.stft(np.zeros(config.window_samples, np.float32))
    expected = np.float32(np.log(np.float32(config.log_epsilon)))
    np.testing.assert_array_equal(transform.log_magnitude(spectrum), expected)
    ones = np.ones((config.frequency_bins, config.frames), np.float32)
    assert not transform.synthesize(spectrum, ones).any()


def test_a_transform_is_shared_between_threads(transform, mixture):
    config = transform.config
    ones = np.ones((config.frequency_bins, config.frames), np.float32)

    def work(gain):
        return transform.synthesize(transform.stft(mixture * np.float32(gain)), ones)

    gains = [1.0, 0.5, 0.25, 2.0] * 4
    expected = [work(gain) for gain in gains]
    with ThreadPoolExecutor(4) as threads:
        for got, alone in zip(threads.map(work, gains), expected, strict=True):
            np.testing.assert_array_equal(got, alone)
