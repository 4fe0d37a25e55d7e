"""The network between the plugins' two operations: mixture to sources, for TensorRT.

`sgn::Stft` and `sgn::Istft` stand in the graph as one node each. Masks go into `sgn::Istft` in the
body's type. The log-magnitude comes out of `sgn::Stft` in float32 in every precision, and is cast
behind the input's norm: TensorRT does norm and cast in the one kernel that also lays out the
first convolution's input, so float16 would save none, and the masks' error (99.9th percentile,
published network) would be 9.4e-4 in the place of 7.6e-4.

What differs from the ``waveform`` graph's network is for the kernels that TensorRT makes of it (for
RTX 1.7.1, published network, float16: 80 kernels before, 73 now;
`tests/tensorrt/plugins/rtx_figures.json`). Numbers of kernels, that is; no time was measured.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sgn_rt.export.network import Attention, Network
from sgn_rt.export.waveform import Istft, Stft
from sgn_rt.export.weights import GraphWeights
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import PLUGIN_NAMESPACE, PLUGIN_VERSION, PluginOp

FLOAT = 1
"""onnx.TensorProto.FLOAT, the type of the log-magnitude in every precision."""


def attributes(op: PluginOp, config: ModelConfig) -> dict[str, Any]:
    """Attributes of an operation's node; those by which TensorRT finds the plugin among them."""
    common = {
        "plugin_version": PLUGIN_VERSION,
        "plugin_namespace": PLUGIN_NAMESPACE,
        "n_fft": config.n_fft,
        "hop_length": config.hop_length,
        "window_length": config.n_fft,
        "frequency_bins": config.frequency_bins,
    }
    if op == PluginOp.STFT:
        return common | {"log_epsilon": config.log_epsilon, "dtype": FLOAT}
    return common | {"samples": config.window_samples}


def _node(op: PluginOp, config: ModelConfig, *inputs: Tensor, shapes: Any) -> Any:
    """A node of the plugins' domain, with float32 outputs of these shapes."""
    return torch.onnx.ops.symbolic_multi_out(
        f"{PLUGIN_NAMESPACE}::{op}",
        inputs,
        attributes(op, config),
        dtypes=[torch.float32] * len(shapes),
        shapes=shapes,
        version=int(PLUGIN_VERSION),
    )


class PluginStft(nn.Module):
    """Mixture [B, N] to spectrum [B, T, F, 2] and log-magnitude [B, 1, L, T], all float32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.standard = Stft(config)
        self.as_node = False

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """MODEL steps 1 and 2, as a node or in standard operators."""
        if not self.as_node:
            real, imaginary, log_magnitude = self.standard(mixture)
            return torch.cat((real.unsqueeze(-1), imaginary.unsqueeze(-1)), -1), log_magnitude
        config, batch = self.config, mixture.shape[0]
        spectrum, log_magnitude = _node(
            PluginOp.STFT,
            config,
            mixture,
            shapes=[
                (batch, config.frames, config.bins, 2),
                (batch, 1, config.frequency_bins, config.frames),
            ],
        )
        return spectrum, log_magnitude


class PluginIstft(nn.Module):
    """Spectrum [B, T, F, 2] float32 and masks [B, S, L, T] of any type to sources [B, S, N]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.standard = Istft(config)
        self.as_node = False

    def forward(self, spectrum: Tensor, masks: Tensor) -> Tensor:
        """MODEL steps 10 and 11, as a node or in standard operators."""
        sources: Tensor
        if not self.as_node:
            real, imaginary = torch.split(spectrum, 1, dim=-1)
            sources = self.standard(masks.float(), real.squeeze(-1), imaginary.squeeze(-1))
            return sources
        shape = (masks.shape[0], masks.shape[1], self.config.window_samples)
        (sources,) = _node(PluginOp.ISTFT, self.config, spectrum, masks, shapes=[shape])
        return sources


class PluginAttention(Attention):
    """`Attention` whose heads are split after one transposition of q, k and v together.

    TensorRT then adds the bias in the matrix product and moves all three at once: one kernel in the
    place of three.
    """

    def forward(self, x: Tensor) -> Tensor:
        tokens, width = x.shape[1:]
        heads = (-1, tokens, 3 * self.heads, width // self.heads)
        parts = self.qkv(x).reshape(heads).permute(0, 2, 1, 3)
        q, k, v = torch.split(parts, self.heads, dim=1)
        mixed = (q @ k.transpose(2, 3)).softmax(-1) @ v
        x = self.output(mixed.permute(0, 2, 1, 3).reshape(-1, tokens, width))
        return x


class PluginMask(nn.Module):
    """Guide [B, S, K + 1] and basis maps [B, K, L, T] to masks [B, S, L, T] in the body's type.

    The maps stand first in the product, channels last, as TensorRT's convolutions leave them: no
    kernel rearranges them, the largest tensor there is.
    """

    def forward(self, guide: Tensor, basis: Tensor) -> Tensor:
        count, height, width = basis.shape[1:]
        weights, bias = torch.split(guide, [count, 1], dim=-1)
        points = basis.permute(0, 2, 3, 1).reshape(-1, height * width, count)
        logits = (points @ weights.transpose(1, 2)).transpose(1, 2) + bias
        return logits.sigmoid().reshape(*logits.shape[:2], height, width)


class Plugin(Network):
    """Mixture [B, N] and categories [S] to sources [B, S, N], presence, embedding; all float32.

    In PyTorch it computes all of that, operator by operator; in a graph, after `as_nodes`, the
    transforms are nodes of the plugin library.
    """

    def __init__(self, weights: GraphWeights) -> None:
        super().__init__(weights)
        self.stft = PluginStft(weights.config)
        self.istft = PluginIstft(weights.config)
        self.mask = PluginMask()
        for name in weights.blocks:
            self.set_submodule(f"{name}.attention", PluginAttention(weights, f"{name}.attention"))

    def as_nodes(self) -> Plugin:
        """Have the two operations exported as nodes, in place; PyTorch can no longer run it."""
        self.stft.as_node = self.istft.as_node = True
        return self

    def forward(self, mixture: Tensor, categories: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """MODEL steps 1 to 11."""
        spectrum, log_magnitude = self.stft(mixture)
        masks, presence, embedding = self.masks(log_magnitude, categories)
        return self.istft(spectrum, masks), presence, embedding
