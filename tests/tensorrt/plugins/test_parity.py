"""Both operations against torch.stft, torch.istft (double precision) and our own matrices.

Limits: float32 throughout keeps 110 dB. The host build, whose FFT works in double precision, leaves
140 dB and more; the rest is for a float32 FFT, and lengths that it does by a convolution have a
limit of their own on a GPU. The float16 side must not cost more than its own rounding, so it is
compared bit by bit with the rounded float32.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sgn_rt.model.contract import PluginOp
from sgn_rt.model.transform import log_unwarp_matrix, log_warp_matrix

from .harness import Host

LIMIT_DB = 110.0
EPSILON = 1e-5
FLOAT, HALF = 1, 10  # onnx.TensorProto.DataType


@dataclass(frozen=True)
class Case:
    n_fft: int
    hop: int
    batch: int = 1
    sources: int = 2
    samples: int = 8000
    log_bins: int = 64
    window: int | None = None

    @property
    def frames(self) -> int:
        return (self.samples + 2 * (self.n_fft // 2) - self.n_fft) // self.hop + 1

    @property
    def bins(self) -> int:
        return self.n_fft // 2 + 1

    def fields(self, **others: float) -> dict[str, float]:
        named = {"n_fft": self.n_fft, "hop_length": self.hop, "frequency_bins": self.log_bins}
        return named | ({"window_length": self.window} if self.window else {}) | others

    def stft_fields(self, dtype: int = FLOAT) -> dict[str, float]:
        return self.fields(log_epsilon=EPSILON, dtype=dtype)

    def istft_fields(self) -> dict[str, float]:
        return self.fields(samples=self.samples)

    def torch_arguments(self) -> dict:
        return {
            "n_fft": self.n_fft,
            "hop_length": self.hop,
            "win_length": self.window or self.n_fft,
            "window": torch.hann_window(self.window or self.n_fft, dtype=torch.float64),
            "center": True,
        }

    def __str__(self) -> str:
        window = f"w{self.window}" if self.window else ""
        sizes = f"B{self.batch}-S{self.sources}-N{self.samples}-L{self.log_bins}"
        return f"{self.n_fft}-{self.hop}{window}-{sizes}"


CASES = [
    # The published model's size, and others that the field uses; both parities of the number of
    # frames.
    Case(1022, 256, batch=2, sources=3, samples=65535 - 256, log_bins=256),
    Case(1022, 256, samples=255 * 256, log_bins=256),
    Case(1024, 256, batch=3, samples=9999),
    Case(2048, 512, samples=30000, log_bins=128),
    Case(512, 160, batch=2, sources=11, samples=7001),
    Case(400, 100, batch=16, sources=1, samples=1600),
    # Odd hop, odd length, a length with a prime factor beyond 127 and none at all, shorter windows.
    Case(1022, 255, samples=4321),
    Case(401, 100, samples=4000),
    Case(402, 67, samples=3001, log_bins=301),
    Case(274, 64, samples=2000),
    Case(401, 99, samples=3333, window=300),
    Case(1024, 128, samples=5000, window=512),
    # Limits: one window's length, the shortest that can be reflected, tiny transforms, more log
    # bins than bins.
    Case(1022, 256, samples=1022),
    Case(1024, 256, samples=513),
    Case(2048, 512, samples=1025),
    Case(4, 1, samples=3, log_bins=2),
    Case(4, 2, samples=100, log_bins=5),
    Case(5, 2, samples=37, log_bins=3),
    Case(6, 3, samples=63, log_bins=700),
    Case(64, 32, samples=4096, log_bins=33),
]


def limit_db(case: Case, host: Host) -> float:
    """That of float32; of Bluestein's algorithm where the GPU's FFT does the length by that.

    cuFFT factors lengths by primes up to 127. Others are a convolution: three transforms of the
    power of two from twice the length on, and three products. Each stage and product may cost one
    unit of float32's last place, and in the worst case they add up.
    """
    largest = next(p for p in range(case.n_fft, 1, -1) if case.n_fft % p == 0 and is_prime(p))
    if not host.on_gpu or largest <= 127:
        return LIMIT_DB
    stages = 3 * math.ceil(math.log2(2 * case.n_fft)) + 3
    return min(LIMIT_DB, -20 * math.log10(stages * 2.0**-23))


def is_prime(number: int) -> bool:
    return all(number % factor for factor in range(2, math.isqrt(number) + 1))


LARGE = Case(1022, 256, sources=2, samples=1_000_000, log_bins=256)
MANY = Case(512, 160, batch=16, sources=11, samples=512)


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> float:
    """Energy-weighted over everything, in dB."""
    e, r = np.ravel(estimate).astype(np.float64), np.ravel(reference).astype(np.float64)
    assert np.isfinite(e).all()
    target = (e @ r) / (r @ r) * r
    return float(10 * np.log10((target @ target) / np.maximum(((e - target) ** 2).sum(), 1e-300)))


def signals(case: Case, seed: int) -> np.ndarray:
    """Windows of noise, tones, clicks and near silence, full scale 1, shape = (batch, samples)."""
    rng = np.random.default_rng(seed)
    time = np.arange(case.samples)
    out = []
    for i in range(case.batch):
        kind = (i + seed) % 4
        x = rng.standard_normal(case.samples) * 0.2
        if kind == 1:
            x = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(0, 0.5, 5)) / 5
        elif kind == 2:
            x = np.where(rng.random(case.samples) < 0.05, rng.uniform(-1, 1, case.samples), 0.0)
            x[rng.integers(case.samples)] = 1.0
        elif kind == 3:
            x = x * 10.0 ** rng.uniform(-5, 0)
        out.append(x)
    return np.stack(out).astype(np.float32)


def torch_spectrum(case: Case, mixture: np.ndarray) -> torch.Tensor:
    """[B, F, T], complex128."""
    wave = torch.from_numpy(mixture).double()
    return torch.stft(wave, **case.torch_arguments(), pad_mode="reflect", return_complex=True)


def torch_sources(case: Case, spectrum: torch.Tensor, masks: np.ndarray) -> np.ndarray:
    """[B, S, N], float64."""
    unwarp = torch.from_numpy(log_unwarp_matrix(case.bins, case.log_bins)).double()
    masked = (unwarp @ torch.from_numpy(masks).double()) * spectrum.unsqueeze(1)
    waves = torch.istft(masked.flatten(0, 1), **case.torch_arguments(), length=case.samples)
    return waves.unflatten(0, masked.shape[:2]).numpy()


def as_layout(spectrum: torch.Tensor) -> np.ndarray:
    """[B, T, F, 2], float32."""
    return np.ascontiguousarray(torch.view_as_real(spectrum.mT).numpy().astype(np.float32))


@pytest.mark.parametrize("case", [*CASES, LARGE], ids=str)
def test_stft(case: Case, operate, host) -> None:
    mixture = signals(case, seed=case.n_fft + case.samples)
    expected = as_layout(torch_spectrum(case, mixture))
    spectrum, log_magnitude = operate(PluginOp.STFT, case.stft_fields(), mixture)
    assert spectrum.shape == (case.batch, case.frames, case.bins, 2) == expected.shape
    assert log_magnitude.shape == (case.batch, 1, case.log_bins, case.frames)
    for got, want in zip(spectrum, expected, strict=True):
        assert si_sdr(got, want) > limit_db(case, host)

    # From the spectrum it goes with: near silence the logarithm enlarges any difference by up to 1
    # / epsilon.
    pairs = spectrum.astype(np.float64)
    warp = log_warp_matrix(case.bins, case.log_bins).astype(np.float64)
    wanted = np.log(
        warp @ np.hypot(pairs[..., 0], pairs[..., 1]).swapaxes(1, 2) + np.float32(EPSILON)
    )
    np.testing.assert_allclose(log_magnitude[:, 0], wanted, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_stft_half_is_the_rounded_float(case: Case, operate) -> None:
    mixture = signals(case, seed=case.hop)
    spectrum, log_magnitude = operate(PluginOp.STFT, case.stft_fields(), mixture)
    same, half = operate(PluginOp.STFT, case.stft_fields(HALF), mixture)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(same, spectrum)
    np.testing.assert_array_equal(half, log_magnitude.astype(np.float16))


@pytest.mark.parametrize("case", [*CASES, LARGE, MANY], ids=str)
def test_istft(case: Case, operate, host) -> None:
    rng = np.random.default_rng(case.n_fft * case.samples)
    truth = torch_spectrum(case, signals(case, seed=case.samples))
    spectrum = as_layout(truth)
    masks = rng.random((case.batch, case.sources, case.log_bins, case.frames), np.float32)
    expected = torch_sources(case, truth, masks)
    (sources,) = operate(PluginOp.ISTFT, case.istft_fields(), spectrum, masks)
    assert sources.shape == expected.shape == (case.batch, case.sources, case.samples)
    for got, want in zip(
        sources.reshape(-1, case.samples), expected.reshape(-1, case.samples), strict=True
    ):
        assert si_sdr(got, want) > limit_db(case, host)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_istft_half_is_the_float_of_rounded_masks(case: Case, operate) -> None:
    rng = np.random.default_rng(case.samples)
    spectrum = rng.standard_normal((case.batch, case.frames, case.bins, 2), np.float32)
    masks = rng.random((case.batch, case.sources, case.log_bins, case.frames), np.float32).astype(
        np.float16
    )
    (half,) = operate(PluginOp.ISTFT, case.istft_fields(), spectrum, masks)
    (full,) = operate(PluginOp.ISTFT, case.istft_fields(), spectrum, masks.astype(np.float32))
    np.testing.assert_array_equal(half, full)


def test_imaginary_parts_of_dc_and_nyquist_are_ignored(operate) -> None:
    case = Case(512, 128, samples=2000)
    rng = np.random.default_rng(0)
    spectrum = rng.standard_normal((1, case.frames, case.bins, 2), np.float32)
    masks = rng.random((1, 2, case.log_bins, case.frames), np.float32)
    real = spectrum.copy()
    real[:, :, [0, -1], 1] = 0.0
    (sources,) = operate(PluginOp.ISTFT, case.istft_fields(), spectrum, masks)
    (wanted,) = operate(PluginOp.ISTFT, case.istft_fields(), real, masks)
    assert np.isfinite(sources).all()
    np.testing.assert_array_equal(sources, wanted)


@pytest.mark.parametrize("case", [CASES[0], CASES[6], CASES[7]], ids=str)
def test_masks_of_one_return_the_mixture(case: Case, operate) -> None:
    mixture = signals(case, seed=1)
    spectrum, _ = operate(PluginOp.STFT, case.stft_fields(), mixture)
    masks = np.ones((case.batch, 1, case.log_bins, case.frames), np.float16)
    (sources,) = operate(PluginOp.ISTFT, case.istft_fields(), spectrum, masks)
    assert si_sdr(sources[:, 0], mixture) > LIMIT_DB


def test_chunks_give_the_bits_of_single_calls(operate, host) -> None:
    """Chunks of items that do not divide their number: each item as if it were alone.

    On a GPU to the resolution of float32, as cuFFT may do plans of different batches differently.
    """
    case = Case(64, 16, batch=7, sources=29, samples=6000, log_bins=16)
    # csrc/CMakeLists.txt makes a chunk 4 MiB; a frame takes 264 bytes and 512 of the FFT's.
    items = 4 * 2**20 // (264 + 512) // case.frames
    assert case.batch * case.sources > 5 * items
    assert case.batch * case.sources % items != 0
    rng = np.random.default_rng(3)
    spectrum = rng.standard_normal((case.batch, case.frames, case.bins, 2), np.float32)
    masks = rng.random((case.batch, case.sources, case.log_bins, case.frames), np.float32).astype(
        np.float16
    )
    (sources,) = operate(PluginOp.ISTFT, case.istft_fields(), spectrum, masks)
    for batch, source in itertools.product(range(case.batch), (0, 4, 17, 28)):
        one = (
            spectrum[batch : batch + 1],
            np.ascontiguousarray(masks[batch : batch + 1, source : source + 1]),
        )
        (alone,) = operate(PluginOp.ISTFT, case.istft_fields(), *one)
        if host.on_gpu:
            assert si_sdr(sources[batch, source], alone[0, 0]) > LIMIT_DB
        else:
            np.testing.assert_array_equal(sources[batch, source], alone[0, 0])
