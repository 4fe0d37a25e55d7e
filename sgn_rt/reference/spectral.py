"""What a reference is: a network that makes masks, between an STFT and its inverse, in PyTorch.

A network is one implementation of `Reference`: SGN is (`sgn_rt.reference.model`), and so is any
module that a user brings (`sgn_rt.reference.module`). Notation: B batch, C categories, S requested
sources, N samples, F x T spectrum, L bins of the model's axis, D dim.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sgn_rt.model.config import ModelConfig
from sgn_rt.model.transform import warps, window_of


class Separation(NamedTuple):
    """What the network says of a batch of windows.

    Attributes
    ----------
    sources
        Waveforms of the requested categories, shape = (B, S, N), float32, full scale 1.
    presence
        Probability that each category sounds, shape = (B, C); 1 where the network does not say.
    embedding
        Of each category, shape = (B, C, D); without numbers where the network gives none.
    """

    sources: Tensor
    presence: Tensor
    embedding: Tensor


class Reference(nn.Module):
    """A network and the transforms around it: the truth that artifacts are measured against.

    Attributes
    ----------
    config
        The model's configuration.
    window
        Of the STFT, shape = (n_fft,), float32.
    warp, unwarp
        Between the linear and the model's frequency axis, shapes = (L, F) and (F, L), float32; None
        where they are the same.
    """

    window: Tensor
    warp: Tensor | None
    unwarp: Tensor | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # Even where the weights are built on the meta device, the constants are real.
        if config.window == "hann":
            window = torch.hann_window(config.n_fft, dtype=torch.float64, device="cpu")
        else:
            window = torch.from_numpy(window_of(config))
        self.register_buffer("window", window.float(), persistent=False)
        pair = warps(config)
        for name, warp in zip(("warp", "unwarp"), pair or (None, None), strict=True):
            matrix = None if warp is None else torch.from_numpy(warp.matrix())
            self.register_buffer(name, matrix, persistent=False)

    @abstractmethod
    def masks(self, log_magnitude: Tensor, categories: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Masks of ``categories`` [S], presence [B, C], embedding [B, C, D].

        ``log_magnitude`` is [B, 1, L, T]. Masks are [B, S, L, T], or complex as [B, S, 2, L, T].
        """

    def presence(self, log_magnitude: Tensor) -> Tensor:
        """Presence [B, C], of ``log_magnitude`` [B, 1, L, T]."""
        return self.masks(log_magnitude, torch.arange(0))[1]

    def each_mask(self, log_magnitude: Tensor) -> Iterator[Tensor]:
        """Masks of all categories of ``log_magnitude``, one after the other; shapes [B, 1, ...]."""
        for category in range(len(self.config.categories)):
            yield self.masks(log_magnitude, torch.tensor([category]))[0]

    def forward(self, mixture: Tensor, categories: Tensor) -> Separation:
        """Separate ``mixture`` [B, N] into the categories at positions ``categories`` [S] int64."""
        spectrum = self.stft(mixture)
        masks, presence, embedding = self.masks(self.log_magnitude(spectrum), categories)
        return Separation(self.istft(spectrum, masks), presence, embedding)

    def stft(self, mixture: Tensor) -> Tensor:
        """Complex spectrum [B, F, T] of ``mixture`` [B, N] (MODEL, step 1)."""
        return torch.stft(
            mixture,
            self.config.n_fft,
            self.config.hop_length,
            window=self.window.to(mixture.dtype),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )

    def log_magnitude(self, spectrum: Tensor) -> Tensor:
        """Network input [B, 1, L, T] of ``spectrum`` [B, F, T], on the model's axis (step 2).

        Without logarithm if so told.
        """
        magnitude = spectrum.abs()
        warped = magnitude if self.warp is None else self.warp @ magnitude
        if self.config.log_epsilon is not None:
            warped = (warped + self.config.log_epsilon).log()
        return warped.unsqueeze(1)

    def istft(self, spectrum: Tensor, masks: Tensor) -> Tensor:
        """Sources [B, S, N] of ``spectrum`` [B, F, T] and masks as of `masks` (steps 10, 11)."""
        unwarped = masks if self.unwarp is None else self.unwarp @ masks
        if self.config.mask == "complex":
            unwarped = torch.complex(*unwarped.unbind(2))
        masked = unwarped * spectrum.unsqueeze(1)
        length = self.config.window_samples
        if masked.shape[1] == 0:
            return masks.new_zeros((masks.shape[0], 0, length))
        sources: Tensor = torch.istft(
            masked.flatten(0, 1),
            self.config.n_fft,
            self.config.hop_length,
            window=self.window.to(masks.dtype),
            center=True,
            length=length,
        )
        return sources.reshape(*masked.shape[:2], length)
