"""Transforms of networks that are not ours: NumPy's, PyTorch's and the graphs' own agree."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from sgn_rt.model.config import ModelConfig  # noqa: E402
from sgn_rt.model.transform import Transform  # noqa: E402
from sgn_rt.reference.spectral import Reference  # noqa: E402

WINDOWS = {
    "hann": "hann",
    "hamming": "hamming",
    "own": tuple(np.sin(np.pi * (np.arange(64) + 0.5) / 64).tolist()),
}
CASES = list(product(WINDOWS, ("linear", "log"), ("magnitude", "log_magnitude"),
                     ("ratio", "complex")))  # fmt: skip


class Masks(Reference):
    """Its masks are given."""

    def masks(self, log_magnitude, categories):
        raise NotImplementedError


def config_of(window: str, axis: str, taken: str, mask: str) -> ModelConfig:
    return ModelConfig(
        sample_rate=8000, n_fft=64, hop_length=16, window=WINDOWS[window], window_samples=333,
        frequency_axis=axis, frequency_bins=33 if axis == "linear" else 40, frames=21,
        input=taken, log_epsilon=None if taken == "magnitude" else 1e-3, mask=mask,
        categories=("a", "b"),
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_all_of_them_agree(case):
    from sgn_rt.export.waveform import Istft, Stft

    config = config_of(*case)
    rng = np.random.default_rng(3)
    mixture = (0.1 * rng.standard_normal(config.window_samples)).astype(np.float32)
    masks = rng.uniform(0, 1, (1, 2, *config.mask_shape)).astype(np.float32)
    truth, transform = Masks(config), Transform(config)
    spectrum = truth.stft(torch.from_numpy(mixture)[None])
    network_input = truth.log_magnitude(spectrum)
    sources = truth.istft(spectrum, torch.from_numpy(masks))[0].numpy()

    np.testing.assert_allclose(transform.stft(mixture), spectrum[0], atol=2e-6)
    np.testing.assert_allclose(
        transform.log_magnitude(spectrum[0].numpy()), network_input[0], atol=2e-5
    )
    one = transform.synthesis(spectrum[0].numpy())
    for mask, source in zip(masks[0], sources, strict=True):
        np.testing.assert_allclose(one(mask), source, atol=1e-6)

    real, imaginary, x = Stft(config)(torch.from_numpy(mixture)[None])
    np.testing.assert_allclose(real.mT, spectrum.real, atol=5e-6)
    np.testing.assert_allclose(imaginary.mT, spectrum.imag, atol=5e-6)
    assert x.shape == (1, 1, config.frequency_bins, config.frames)
    again = Istft(config)(torch.from_numpy(masks), real, imaginary)
    np.testing.assert_allclose(again[0], sources, atol=2e-6)


@pytest.mark.parametrize("window", WINDOWS)
def test_masks_of_one_give_the_mixture_back(window):
    config = config_of(window, "linear", "magnitude", "complex")
    mixture = np.random.default_rng(4).standard_normal(config.window_samples).astype(np.float32)
    masks = np.zeros(config.mask_shape, np.float32)
    masks[0] = 1.0
    transform = Transform(config)
    back = transform.synthesize(transform.stft(mixture), masks)
    heard = slice(0, config.hop_length * (config.frames - 1))  # what lies within all its frames
    np.testing.assert_allclose(back[heard], mixture[heard], atol=1e-5)
