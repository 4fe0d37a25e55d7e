"""A user's own network as it is exported: as it is, between our transforms.

In half precision all of it is float16 but its normalisations: those that compute a mean of squares
are float32 islands, BatchNorm is one multiplication and one addition.
"""

from __future__ import annotations

import copy
from typing import Final

import torch
from torch import Tensor, nn

from sgn_rt.export.network import constant
from sgn_rt.export.plugin import PluginIstft, PluginStft
from sgn_rt.export.waveform import Istft, Stft
from sgn_rt.model.contract import Kind
from sgn_rt.reference.module import ModuleReference

_BATCH_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ISLANDS: Final = (
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)


class _Island(nn.Module):
    """A normalisation in float32, whatever the precision around it."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x.float())
        return y.to(x.dtype)


class _Affine(nn.Module):
    """BatchNorm by its running statistics."""

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        shift = -norm.running_mean.double() * scale
        if norm.bias is not None:
            shift = shift + norm.bias.double()
        self.scale, self.shift = constant(scale.half()), constant(shift.half())

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (x.dim() - 2))
        return x * self.scale.reshape(shape) + self.shift.reshape(shape)


def halved(network: nn.Module) -> nn.Module:
    """A copy in float16, but for its float32 islands."""
    result = copy.deepcopy(network)
    for name, part in list(result.named_modules()):
        new: nn.Module | None = None
        if isinstance(part, _BATCH_NORMS) and part.running_mean is not None:
            new = _Affine(part)
        elif isinstance(part, _ISLANDS):
            new = _Island(part)
        if new is not None and name:
            result.set_submodule(name, new)
    result.half()
    for part in result.modules():
        if isinstance(part, _Island):
            part.float()
    return result


class ModuleCore(nn.Module):
    """Network input [B, 1, L, T] and categories [S] to masks, presence and embedding, float32.

    The last only where the network gives it; presence is 1 where it does not say.
    """

    def __init__(self, reference: ModuleReference, *, half: bool) -> None:
        super().__init__()
        self.config = reference.config
        self.network = halved(reference.network) if half else reference.network
        self.dtype = torch.float16 if half else torch.float32
        if not self.config.has_presence:
            self.all_present = constant(torch.ones(1, len(self.config.categories)))

    def masks(self, x: Tensor, categories: Tensor) -> tuple[Tensor, ...]:
        """What the network says."""
        found = self.network(x.to(self.dtype), categories)
        if isinstance(found, Tensor):
            found = {"masks": found}
        if self.config.has_presence:
            presence = found["presence"].float()
        else:
            presence = self.all_present.expand(x.shape[0], -1)
        masks = found["masks"].float()
        if self.config.embedding_dim is None:
            return masks, presence
        return masks, presence, found["embedding"].float()

    def forward(self, x: Tensor, categories: Tensor) -> tuple[Tensor, ...]:
        return self.masks(x, categories)


class ModuleWaveform(ModuleCore):
    """Mixture [B, N] and categories [S] to sources [B, S, N], presence, embedding."""

    def __init__(self, reference: ModuleReference, *, half: bool) -> None:
        super().__init__(reference, half=half)
        self.stft, self.istft = Stft(self.config), Istft(self.config)

    def forward(self, x: Tensor, categories: Tensor) -> tuple[Tensor, ...]:
        real, imaginary, network_input = self.stft(x)
        masks, *others = self.masks(network_input, categories)
        return self.istft(masks, real, imaginary), *others


class ModulePlugin(ModuleCore):
    """As `ModuleWaveform`, the transforms by sgn-rt's plugins as far as they know them."""

    def __init__(self, reference: ModuleReference, *, half: bool) -> None:
        super().__init__(reference, half=half)
        self.stft, self.istft = PluginStft(self.config), PluginIstft(self.config)

    def forward(self, x: Tensor, categories: Tensor) -> tuple[Tensor, ...]:
        spectrum, network_input = self.stft(x)
        masks, *others = self.masks(network_input, categories)
        return self.istft(spectrum, masks), *others


MODULES: Final[dict[Kind, type[ModuleCore]]] = {
    Kind.CORE: ModuleCore,
    Kind.WAVEFORM: ModuleWaveform,
    Kind.PLUGIN: ModulePlugin,
}
