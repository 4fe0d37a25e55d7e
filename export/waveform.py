"""STFT and inverse STFT in standard operators, around the network: mixture to sources in one graph.

A frame is padded with zeros to R blocks of ``hop`` samples, so framing is R slices of the signal's
blocks side by side, and overlap-add is R shifted sums; n_fft and hop need not divide. The DFT is a
matrix product with the window in the matrix, and so is its inverse. All of it is float32 in every
precision: sums over n_fft samples and the logarithm's slope near silence need it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sgn_rt.export.network import Network, constant
from sgn_rt.export.weights import GraphWeights
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.transform import warps, window_of


def _angles(n_fft: int) -> NDArray[np.float64]:
    """2 pi n k / n_fft, shape = (n_fft, F); the product is reduced while it is an exact integer."""
    products = np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) % n_fft
    return (2.0 * np.pi / n_fft) * products.astype(np.float64)


def blocks_per_frame(config: ModelConfig) -> int:
    """R, the blocks of ``hop_length`` samples that cover a frame."""
    return -(-config.n_fft // config.hop_length)


def dft_matrix(config: ModelConfig) -> NDArray[np.float32]:
    """Windowed forward DFT, shape = (R * hop, 2 F): real parts, then imaginary parts."""
    angles = _angles(config.n_fft)
    matrix = np.concatenate((np.cos(angles), -np.sin(angles)), axis=1)
    matrix *= window_of(config)[:, None]
    rows = blocks_per_frame(config) * config.hop_length
    return np.pad(matrix, ((0, rows - config.n_fft), (0, 0))).astype(np.float32)


def inverse_dft_matrix(config: ModelConfig) -> NDArray[np.float32]:
    """Inverse DFT with the synthesis window, shape = (2 F, R * hop)."""
    angles = _angles(config.n_fft).T
    # All bins but the first and the last stand for two of the full spectrum.
    weight = np.full((len(angles), 1), 2.0 / config.n_fft)
    weight[[0, -1]] /= 2.0
    matrix = np.concatenate((weight * np.cos(angles), -weight * np.sin(angles)))
    matrix *= window_of(config)
    columns = blocks_per_frame(config) * config.hop_length
    return np.pad(matrix, ((0, 0), (0, columns - config.n_fft))).astype(np.float32)


def inverse_envelope(config: ModelConfig) -> NDArray[np.float32]:
    """One over the summed squared windows at each sample of the network window, shape = (N,)."""
    envelope = np.zeros(config.n_fft + config.hop_length * (config.frames - 1))
    for frame in range(config.frames):
        start = frame * config.hop_length
        envelope[start : start + config.n_fft] += window_of(config) ** 2
    start = config.n_fft // 2
    inverse = 1.0 / envelope[start : start + config.window_samples]
    return inverse.astype(np.float32)


def _constant(value: NDArray[np.float32]) -> nn.Parameter:
    return constant(torch.from_numpy(np.ascontiguousarray(value)))


class Stft(nn.Module):
    """Mixture [B, N] to real and imaginary parts [B, T, F] and network input [B, 1, L, T]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.matrix = _constant(dft_matrix(config))
        pair = warps(config)
        self.warp = None if pair is None else _constant(pair[0].matrix().T)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """MODEL steps 1 and 2."""
        spectrum = self.frames(mixture) @ self.matrix
        real, imaginary = torch.split(spectrum, self.config.bins, dim=-1)
        return real, imaginary, self.network_input(real, imaginary)

    def network_input(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """[B, 1, L, T] of the spectrum's parts [B, T, F]; the magnitude if the model takes that."""
        x = (real * real + imaginary * imaginary).sqrt()
        if self.warp is not None:
            x = x @ self.warp
        if self.config.log_epsilon is not None:
            x = (x + self.config.log_epsilon).log()
        return x.transpose(1, 2).unsqueeze(1)

    def frames(self, mixture: Tensor) -> Tensor:
        """Centred frames [B, T, R * hop], reflect-padded."""
        config = self.config
        count, hop = blocks_per_frame(config), config.hop_length
        half = config.n_fft // 2
        length = (config.frames - 1 + count) * hop
        x = F.pad(mixture, (half, half), mode="reflect")
        x = F.pad(x, (0, length - config.window_samples - config.n_fft))
        blocks = x.reshape(-1, config.frames - 1 + count, hop)
        shifted = [blocks[:, i : i + config.frames] for i in range(count)]
        return torch.cat(shifted, dim=-1)


class Istft(nn.Module):
    """Masks [B, S, L, T], or complex, on the spectrum's parts [B, T, F] to sources [B, S, N]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.matrix = _constant(inverse_dft_matrix(config))
        pair = warps(config)
        unwarp = None if pair is None else pair[1].matrix()
        if unwarp is not None and not config.is_whole:
            unwarp = unwarp.T
        self.unwarp = None if unwarp is None else _constant(unwarp)
        self.envelope = _constant(inverse_envelope(config))

    def forward(self, masks: Tensor, real: Tensor, imaginary: Tensor) -> Tensor:
        """MODEL steps 10 and 11."""
        masked = torch.cat(self.masked(masks, real, imaginary), dim=-1)
        return self.overlap_add(masked @ self.matrix)

    def masked(self, masks: Tensor, real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
        """Parts [B, S, T, F] of the sources' spectra."""
        if self.config.is_whole:
            return self._masked_as_given(masks, real, imaginary)
        linear = masks.transpose(2, 3)
        if self.unwarp is not None:
            linear = linear @ self.unwarp
        return linear * real.unsqueeze(1), linear * imaginary.unsqueeze(1)

    def _masked_as_given(
        self, masks: Tensor, real: Tensor, imaginary: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `masked`, of a user's network: its masks are read as they are.

        A transposition that met one of its own would be joined with it, and there would be no
        value in the graph that is the masks.
        """
        linear = masks if self.unwarp is None else self.unwarp @ masks
        real, imaginary = (x.transpose(1, 2).unsqueeze(1) for x in (real, imaginary))
        if self.config.mask == "ratio":
            parts = (linear * real, linear * imaginary)
        else:
            a, b = linear[:, :, 0], linear[:, :, 1]
            parts = (a * real - b * imaginary, a * imaginary + b * real)
        return parts[0].transpose(2, 3), parts[1].transpose(2, 3)

    def overlap_add(self, frames: Tensor) -> Tensor:
        """Sources [B, S, N] of windowed frames [B, S, T, R * hop]."""
        config = self.config
        parts = torch.split(frames, config.hop_length, dim=-1)
        last = len(parts) - 1
        x = F.pad(parts[0], (0, 0, 0, last))
        for i, part in enumerate(parts[1:], start=1):
            x = x + F.pad(part, (0, 0, i, last - i))
        x = x.flatten(2)
        start = config.n_fft // 2
        return x[..., start : start + config.window_samples] * self.envelope


class Waveform(Network):
    """Mixture [B, N] and categories [S] to sources [B, S, N], presence, embedding; all float32."""

    def __init__(self, weights: GraphWeights) -> None:
        super().__init__(weights)
        self.stft = Stft(weights.config)
        self.istft = Istft(weights.config)

    def forward(self, mixture: Tensor, categories: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """MODEL steps 1 to 11."""
        real, imaginary, log_magnitude = self.stft(mixture)
        masks, presence, embedding = self.masks(log_magnitude, categories)
        return self.istft(masks, real, imaginary), presence, embedding
