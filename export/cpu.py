"""The same network, rewritten for ONNX Runtime's kernels on the CPU.

ONNX Runtime computes a transposed convolution as a matrix product and a scatter, and fuses nothing
into it; its convolutions are blocked, and take the ReLU behind them along. A 4x4 transposed
convolution of stride 2 is four 2x2 convolutions, one for each position of an output pixel within
its 2x2 cell, so nothing is lost by computing it so. With tap j and phase a (each 0 or 1) of an
axis:

    output[2 y + a] = sum over j of input[y - 1 + a + j] * weight[3 - 2 j - a]

What is done, chosen by what was measured (one thread, published network, in ms before -> after; all
of the network: 51 -> 44):

- `Phases`: four convolutions, then interleaved. Where the width fills the kernels' blocks of 16
  channels: 3.3 -> 3.1 (192 wide, 16x16), 3.6 -> 3.4 (96 wide, 32x32).
- `Grid`: one convolution with four times the channels on a grid of (H + 1) x (W + 1) cells, whose
  outermost half cells are then cut off. At other widths: 4.6 -> 4.1 (24 wide, 64x64).
- `FlatAffine`: the transformer's layers as Gemm, which adds the bias on the way: 1 ms in all.
- `GridMask`: the masks are made on the grid of the last level, cell by cell, so that sources are
  rearranged and not basis maps: 9.8 -> 5.7 for 3 sources. So the grid is what goes from ``core`` to
  ``masks``; one source alone takes 0.15, which is the same for each as for many at once.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgn_rt.export.network import Affine, Core, Level, constant
from sgn_rt.export.weights import GraphWeights
from sgn_rt.model.sgn_config import SgnConfig

CHANNEL_BLOCK: Final = 16
"""Channels that ONNX Runtime's blocked convolutions compute at once, at most (AVX-512)."""


def interleave(x: Tensor) -> Tensor:
    """Phases [B, 2 (column), 2 (row), channels, H, W] to [B, channels, 2 H, 2 W].

    Two transpositions that move one axis each: first whole rows, then single pixels. DepthToSpace
    does the same in twice the time.
    """
    batch, _, _, channels, height, width = x.shape
    rows = x.permute(0, 1, 3, 4, 2, 5).reshape(batch, 2, channels, 2 * height * width)
    return rows.permute(0, 2, 3, 1).reshape(batch, channels, 2 * height, 2 * width)


class Phase(nn.Module):
    """Output pixels at one position of every 2x2 cell: 2x2 convolution and ReLU."""

    def __init__(self, weights: GraphWeights, name: str, column: int, row: int) -> None:
        super().__init__()
        self.weight = constant(weights[f"{name}.weight"])
        self.pads = (1 - column, column, 1 - row, row)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return F.relu(F.conv2d(F.pad(x, self.pads), self.weight, bias))


class Phases(nn.Module):
    """Transposed convolution and ReLU as four convolutions."""

    def __init__(self, weights: GraphWeights, name: str) -> None:
        super().__init__()
        self.bias = constant(weights[f"{name}.bias"])
        for column in (0, 1):
            for row in (0, 1):
                phase = f"phase{column}{row}"
                self.add_module(phase, Phase(weights, f"{name}.{phase}", column, row))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        phases = torch.cat([phase(x, self.bias) for phase in self.children()], dim=1)
        return interleave(phases.reshape(batch, 2, 2, len(self.bias), height, width))


class GridConvolution(nn.Module):
    """All four phases on a grid of (H + 1) x (W + 1) cells, [B, 4 * channels, H + 1, W + 1].

    Cell (i, k) holds the output's pixels from (2 i - 1, 2 k - 1) on; half of the outermost cells
    lies outside of the output.
    """

    def __init__(self, weights: GraphWeights, name: str) -> None:
        super().__init__()
        self.grid = constant(weights[f"{name}.grid"])
        self.grid_bias = constant(weights[f"{name}.grid_bias"])

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.grid, self.grid_bias, padding=1)


class Grid(GridConvolution):
    """Transposed convolution and ReLU as one convolution on the grid."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(super().forward(x))
        batch, channels, height, width = x.shape
        x = interleave(x.reshape(batch, 2, 2, channels // 4, height, width))
        return x[:, :, 1 : 2 * height - 1, 1 : 2 * width - 1]


class GridMask(nn.Module):
    """Guide [B, S, K + 1] and grid of basis maps to masks [B, S, L, T]."""

    @staticmethod
    def basis_shape(config: SgnConfig) -> tuple[int, int, int]:
        """Of the grid of one window."""
        return (4 * config.mask_basis, config.frequency_bins // 2 + 1, config.frames // 2 + 1)

    def forward(self, guide: Tensor, grid: Tensor) -> Tensor:
        batch, channels, height, width = grid.shape
        count = channels // 4
        weights, bias = torch.split(guide.unsqueeze(1), [count, 1], dim=-1)
        logits = weights @ grid.reshape(batch, 4, count, height * width) + bias
        sources = guide.shape[1]
        masks = interleave(logits.sigmoid().reshape(batch, 2, 2, sources, height, width))
        return masks[:, :, 1 : 2 * height - 1, 1 : 2 * width - 1]


class FlatAffine(Affine):
    """`Affine` on tokens [B, tokens, in] as one matrix product that begins with the bias (Gemm)."""

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        x = torch.addmm(self.bias, x.reshape(-1, width), self.weight)
        return x.reshape(batch, tokens, -1)


class CpuNetwork(Core):
    """`Core`, float32, for ONNX Runtime on the CPU."""

    def __init__(self, weights: GraphWeights) -> None:
        super().__init__(weights)
        last = len(self.decoder) - 1
        outputs = (*reversed(self.config.encoder_channels[:-1]), self.config.mask_basis)
        for i, width in enumerate(outputs[:last]):
            form = Grid if width % CHANNEL_BLOCK else Phases
            self.decoder[i] = Level(form(weights, f"decoder.{i}.conv"))
        self.decoder[last] = Level(GridConvolution(weights, f"decoder.{last}.conv"))
        self.mask = GridMask()
        for name in weights.blocks:
            for part in ("attention.qkv", "attention.output", "mlp.up", "mlp.down"):
                self.set_submodule(f"{name}.{part}", FlatAffine(weights, f"{name}.{part}"))
