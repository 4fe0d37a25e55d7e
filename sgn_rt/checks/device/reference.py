"""What the kernels compute, in float64: by NumPy, and by torch.stft and torch.istft where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.model.transform import hann, log_unwarp_matrix, log_warp_matrix

Complex = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Sizes of one comparison."""

    n_fft: int
    hop_length: int
    samples: int
    log_bins: int = 64
    batch: int = 2
    sources: int = 3

    @property
    def bins(self) -> int:
        """Of the spectrum."""
        return self.n_fft // 2 + 1

    @property
    def frames(self) -> int:
        """Of a centred transform."""
        return (self.samples + 2 * (self.n_fft // 2) - self.n_fft) // self.hop_length + 1

    def __str__(self) -> str:
        return f"{self.n_fft}/{self.hop_length}, {self.samples} samples"

    def mixture(self) -> Float:
        """Noise and a tone, shape = (batch, samples), float32."""
        rng = np.random.default_rng(self.n_fft)
        tone = np.sin(0.05 * np.arange(self.samples))
        noise = rng.standard_normal((self.batch, self.samples))
        mixture: Float = (0.2 * noise + 0.3 * tone).astype(np.float32)
        return mixture

    def masks(self) -> Float:
        """Of every source, shape = (batch, sources, log_bins, frames), float32."""
        rng = np.random.default_rng(self.samples)
        shape = (self.batch, self.sources, self.log_bins, self.frames)
        masks: Float = rng.random(shape).astype(np.float32)
        return masks


def spectra(case: Case, mixture: Float) -> Complex:
    """Centred, reflected transform, shape = (batch, frames, bins)."""
    half = case.n_fft // 2
    padded = np.pad(mixture.astype(np.float64), ((0, 0), (half, half)), mode="reflect")
    starts = case.hop_length * np.arange(case.frames)
    rows = padded[:, starts[:, None] + np.arange(case.n_fft)]
    found: Complex = np.fft.rfft(rows * hann(case.n_fft), axis=-1)
    return found


def log_magnitudes(case: Case, spectrum: Complex, epsilon: float) -> NDArray[np.float64]:
    """The network's input of a spectrum, shape = (batch, 1, log_bins, frames)."""
    warp = log_warp_matrix(case.bins, case.log_bins).astype(np.float64)
    found: NDArray[np.float64] = np.log(warp @ np.abs(spectrum).swapaxes(1, 2) + epsilon)
    return found[:, None]


def sources(case: Case, spectrum: Complex, masks: Float) -> NDArray[np.float64]:
    """Masked, inverted, overlapped and added, shape = (batch, sources, samples)."""
    unwarp = log_unwarp_matrix(case.bins, case.log_bins).astype(np.float64)
    linear = (unwarp @ masks.astype(np.float64)).swapaxes(2, 3)
    rows = np.fft.irfft(linear * spectrum[:, None], case.n_fft, axis=-1)
    window = hann(case.n_fft)
    length = case.n_fft + case.hop_length * (case.frames - 1)
    added, weight = np.zeros((*rows.shape[:2], length)), np.zeros(length)
    for frame in range(case.frames):
        place = slice(frame * case.hop_length, frame * case.hop_length + case.n_fft)
        added[..., place] += rows[:, :, frame] * window
        weight[place] += window**2
    half = case.n_fft // 2
    kept = slice(half, half + case.samples)
    found: NDArray[np.float64] = added[..., kept] / weight[kept]
    return found


def torch_spectra(case: Case, mixture: Float) -> Complex | None:
    """As `spectra` by torch.stft on the CPU; None where there is no PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    window = torch.hann_window(case.n_fft, dtype=torch.float64)
    found = torch.stft(
        torch.from_numpy(mixture.astype(np.float64)), case.n_fft, case.hop_length, window=window,
        return_complex=True,
    )  # fmt: skip
    spectrum: Complex = found.mT.numpy()
    return spectrum


def torch_sources(case: Case, spectrum: Complex, masks: Float) -> NDArray[np.float64] | None:
    """As `sources` by torch.istft on the CPU; None where there is no PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    unwarp = log_unwarp_matrix(case.bins, case.log_bins).astype(np.float64)
    masked = (unwarp @ masks.astype(np.float64)) * spectrum.swapaxes(1, 2)[:, None]
    window = torch.hann_window(case.n_fft, dtype=torch.float64)
    flat = torch.from_numpy(masked).flatten(0, 1)
    found = torch.istft(flat, case.n_fft, case.hop_length, window=window, length=case.samples)
    waves: NDArray[np.float64] = found.numpy().reshape(*masked.shape[:2], case.samples)
    return waves


def decibels(got: Any, expected: Any) -> float:
    """Ratio of signal to difference, at most 300."""
    difference = np.abs(np.asarray(got, np.complex128) - expected)
    power = float(np.sum(np.abs(np.asarray(expected, np.complex128)) ** 2))
    error = float(np.sum(difference**2))
    if not np.isfinite(error):
        return -300.0
    return float(10.0 * np.log10(max(power, 1e-300) / max(error, 1e-30 * power, 1e-300)))
