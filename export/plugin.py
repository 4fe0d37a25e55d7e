"""A network for TensorRT in two graphs: mixture to basis maps, and those to sources.

`sgn::Stft` and `sgn::Istft` stand in them as one node each. The first graph (``plugin``) runs once
for a window, and says what is there; the second (``synthesis``) makes the sources that are wanted
of what the first has left on the device, when that is known.

Masks go into `sgn::Istft` in the body's type. The log-magnitude comes out of `sgn::Stft` in float32
in every precision, and is cast behind the input's norm: TensorRT does norm and cast in the one
kernel that also lays out the first convolution's input, so float16 would save none, and the masks'
error (99.9th percentile, published network) would be 9.4e-4 in the place of 7.6e-4.

What differs from the ``waveform`` graph's network is for the kernels that TensorRT makes of it;
`tests/tensorrt/plugins/rtx_figures.json` has their numbers, for both. Numbers of kernels, that is;
no time was measured.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgn_rt.errors import ModuleError
from sgn_rt.export.network import Attention, Network, constant
from sgn_rt.export.waveform import Istft, Stft
from sgn_rt.export.weights import GraphWeights
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import PLUGIN_NAMESPACE, PLUGIN_VERSION, Axis, PluginOp
from sgn_rt.model.plugin_part import plugins_part
from sgn_rt.model.shapes import axis_sizes

FLOAT = 1
"""onnx.TensorProto.FLOAT, the type of the log-magnitude in every precision."""


def _expect_window(config: ModelConfig) -> None:
    if config.window != "hann":
        window = config.window if isinstance(config.window, str) else "of its own"
        raise ModuleError(
            f"plugin: got the window {window}, expected 'hann', which is what sgn-rt's TensorRT "
            "plugins compute. Leave that kind out: engines are built of waveform, too."
        )


def _gives_input(config: ModelConfig) -> bool:
    """Whether the STFT's second output is what the network takes."""
    return (config.frequency_axis, config.input) == ("log", "log_magnitude")


def _takes_masks(config: ModelConfig) -> bool:
    """Whether the inverse STFT takes the network's masks."""
    return (config.frequency_axis, config.mask) == ("log", "ratio")


def attributes(op: PluginOp, config: ModelConfig) -> dict[str, Any]:
    """Attributes of an operation's node; those by which TensorRT finds the plugin among them."""
    config = plugins_part(config)
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


def as_nodes(module: nn.Module) -> nn.Module:
    """Have the operations in a module exported as nodes, in place; PyTorch can no longer run it."""
    for part in module.modules():
        if isinstance(part, PluginStft | PluginIstft):
            part.as_node = True
    return module


class PluginStft(nn.Module):
    """Mixture [B, N] to spectrum [B, T, F, 2] and log-magnitude [B, 1, L, T], all float32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        _expect_window(config)
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
        if not _gives_input(config):
            real, imaginary = torch.split(spectrum, 1, dim=-1)
            return spectrum, self.standard.network_input(real.squeeze(-1), imaginary.squeeze(-1))
        return spectrum, log_magnitude


class PluginIstft(nn.Module):
    """Spectrum [B, T, F, 2] float32 and masks [B, S, L, T] of any type to sources [B, S, N]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.standard = Istft(config)
        self.as_node = False
        if not _takes_masks(config):
            self.ones = constant(torch.ones(1, 1, 1, 1))

    def forward(self, spectrum: Tensor, masks: Tensor) -> Tensor:
        """MODEL steps 10 and 11, as a node or in standard operators."""
        sources: Tensor
        if not self.as_node:
            real, imaginary = torch.split(spectrum, 1, dim=-1)
            sources = self.standard(masks.float(), real.squeeze(-1), imaginary.squeeze(-1))
            return sources
        shape = (masks.shape[0], masks.shape[1], self.config.window_samples)
        if not _takes_masks(self.config):
            return self._masked(spectrum, masks).reshape(shape)
        (sources,) = _node(PluginOp.ISTFT, self.config, spectrum, masks, shapes=[shape])
        return sources

    def _masked(self, spectrum: Tensor, masks: Tensor) -> Tensor:
        """Sources [B * S, 1, N]: masked in standard operators, then each as if a mixture."""
        config = self.config
        real, imaginary = (part.squeeze(-1) for part in torch.split(spectrum, 1, dim=-1))
        parts = self.standard.masked(masks.float(), real, imaginary)
        masked = torch.stack(parts, dim=-1).flatten(0, 1)
        plane = (config.frequency_bins, config.frames)
        ones = self.ones.expand(masked.shape[0], -1, *plane)
        shape = (masked.shape[0], 1, config.window_samples)
        (sources,) = _node(PluginOp.ISTFT, config, masked, ones, shapes=[shape])
        return cast("Tensor", sources)


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
    """Guide [B, C, K + 1] and basis maps [B, L, T, K'] to masks [B, S, L, T] in the body's type.

    K' is K, padded with maps of zeros (`sgn_rt.model.contract.CHANNEL_MULTIPLE`).

    The maps stand first in the product, channels last, as TensorRT's convolutions leave them: no
    kernel rearranges them, the largest tensor there is.
    """

    def forward(self, guide: Tensor, basis: Tensor, categories: Tensor) -> Tensor:
        height, width, count = basis.shape[1:]
        known = guide.shape[-1] - 1
        chosen = guide.index_select(1, categories).to(basis.dtype)
        weights, bias = torch.split(chosen, [known, 1], dim=-1)
        if known < count:
            weights = F.pad(weights, (0, count - known))
        points = basis.reshape(-1, height * width, count)
        logits = (points @ weights.transpose(1, 2)).transpose(1, 2) + bias
        return logits.sigmoid().reshape(*logits.shape[:2], height, width)


class Synthesis(nn.Module):
    """The second half: what the first gives, and categories [S], to sources [B, S, N], float32.

    Has no weights.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.mask = PluginMask()
        self.istft = PluginIstft(config)

    def forward(self, spectrum: Tensor, basis: Tensor, guide: Tensor, categories: Tensor) -> Tensor:
        """MODEL steps 9, from the masks on, to 11."""
        sources: Tensor = self.istft(spectrum, self.mask(guide, basis, categories))
        return sources


class Plugin(Network):
    """Both halves: mixture [B, N] and categories [S] to sources [B, S, N], presence, embedding.

    All of these are float32. In PyTorch it computes all of that, operator by operator.
    """

    def __init__(self, weights: GraphWeights) -> None:
        super().__init__(weights)
        self.stft = PluginStft(weights.config)
        synthesis = Synthesis(weights.config)
        self.mask, self.istft = synthesis.mask, synthesis.istft
        for name in weights.blocks:
            self.set_submodule(f"{name}.attention", PluginAttention(weights, f"{name}.attention"))
        last: Any = self.decoder.get_submodule(f"{len(self.decoder) - 1}.conv")
        more = axis_sizes(weights.config)[Axis.CHANNELS] - weights.config.mask_basis
        if more:
            last.weight = constant(F.pad(last.weight, (0, 0, 0, 0, 0, more)))
            last.bias = constant(F.pad(last.bias, (0, more)))

    def forward(self, mixture: Tensor, categories: Tensor) -> tuple[Tensor, ...]:
        """MODEL steps 1 to 11."""
        spectrum, log_magnitude = self.stft(mixture)
        masks, presence, embedding = self.masks(log_magnitude, categories)
        return self.istft(spectrum, masks), presence, embedding

    def masks(self, log_magnitude: Tensor, categories: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Masks [B, S, L, T] of the categories [S] in the body's type, presence and embedding."""
        presence, embedding, guide, basis = self.network(log_magnitude)
        return self.mask(guide, basis.permute(0, 2, 3, 1), categories), presence, embedding

    def network(self, log_magnitude: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Presence, embedding, guide [B, C, K + 1] and, in the body's type, maps [B, K', L, T].

        The masks' guide is computed of every category: which are wanted is not known yet.
        """
        presence, embedding, basis, _ = self.analyze(log_magnitude)
        return presence, embedding, self.mask_guide(embedding), basis


class PluginNetwork(Plugin):
    """The first half: mixture [B, N] to presence, embedding, guide, basis maps and spectrum.

    The spectrum is [B, T, F, 2], float32.
    """

    def forward(self, mixture: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """MODEL steps 1 to 9, up to the masks."""
        spectrum, log_magnitude = self.stft(mixture)
        return *self.network(log_magnitude), spectrum
