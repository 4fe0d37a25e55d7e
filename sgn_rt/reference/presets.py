"""Networks without a checkpoint: the paper's size, and random weights for any configuration."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from sgn_rt.model.sgn_config import SgnConfig
from sgn_rt.reference.checkpoint import expected_tensors, model_from_tensors
from sgn_rt.reference.model import Sgn

PAPER: Final = SgnConfig(
    sample_rate=11025,
    n_fft=1022,
    hop_length=256,
    window_samples=65280,
    frequency_bins=256,
    frames=256,
    log_epsilon=1e-5,
    encoder_channels=(64, 128, 256, 512, 512, 512, 512),
    mask_basis=32,
    token_level=3,
    embedding_dim=512,
    transformer_depth=3,
    attention_heads=8,
    categories=(
        "accordion", "acoustic_guitar", "cello", "clarinet", "flute", "piano",
        "saxophone", "trumpet", "tuba", "violin", "xylophone",
    ),
)  # fmt: skip
"""Network of the paper's scale, for throughput figures: 53 M parameters, 19.4 GFLOP per window."""


def _random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    noise = torch.randn(shape, generator=generator)
    kind = name.rsplit(".", 1)[-1]
    if name.startswith("input_norm."):
        # As of log-magnitudes of music: mean -5, deviation 3; else every window would saturate.
        centre = {"running_mean": -5.0, "running_var": 9.0, "weight": 1.0}.get(kind, 0.0)
        return centre + 0.1 * noise
    if kind == "running_var":
        return 0.5 + torch.rand(shape, generator=generator)
    if kind in ("running_mean", "bias"):
        return 0.1 * noise
    if len(shape) == 1:  # the gain of a norm
        return 1.0 + 0.2 * noise
    if name == "mask_guide.down.weight":
        # Logits of the masks as in a trained network: more, and every mask would be 0 or 1.
        return noise * math.sqrt(0.2 / shape[1])
    if kind == "weight":
        # Every output of the transposed convolution sums a quarter of the 16 taps.
        fan_in = shape[0] * 4 if name.startswith("decoder.") else math.prod(shape[1:])
        return noise * math.sqrt(2.0 / fan_in)
    return 0.5 * noise  # embeddings


def random_model(config: SgnConfig, seed: int) -> Sgn:
    """Network with random weights and random BatchNorm statistics.

    The same weights for the same ``config`` and ``seed``; activations stay of order one and masks
    vary, so that parity of exported graphs can be tested on it. Nothing else is meaningful.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = expected_tensors(config)
    tensors = {name: _random_tensor(name, shape, generator) for name, shape in shapes.items()}
    return model_from_tensors(config, tensors)
