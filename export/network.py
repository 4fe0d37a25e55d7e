"""The network as it is exported: the reference's weights, arranged so that a graph is fast.

Differences from `sgn_rt.reference.Sgn`, all of them exact but for rounding:

- BatchNorm is folded into the convolution before it. The input's norm stays, as one multiplication
  and one addition: its shift cannot move into a convolution that pads with zeros.
- LeakyReLU and ReLU stand right behind the convolution that feeds them, where runtimes fuse them,
  instead of behind a concatenation. A skip needs both: relu(leaky(x)) = relu(x).
- Class tokens are added onto zero rows, so that no shape arithmetic depends on the batch.
- Constant factors (1 / sqrt(d) of attentions and masks) are part of the weights.

In half precision the body is float16; normalisations, grouping and heads are float32 islands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgn_rt.export.weights import GraphWeights
from sgn_rt.model.contract import NORM_EPSILON
from sgn_rt.model.sgn_config import SgnConfig
from sgn_rt.reference.model import LEAKY_SLOPE


def constant(value: Tensor) -> nn.Parameter:
    """A tensor that becomes an initializer under its attribute's name."""
    return nn.Parameter(value, requires_grad=False)


class Affine(nn.Module):
    """``x @ weight + bias`` with ``weight`` [in, out]."""

    def __init__(self, weights: GraphWeights, name: str) -> None:
        super().__init__()
        self.weight = constant(weights[f"{name}.weight"])
        self.bias = constant(weights[f"{name}.bias"])

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Norm(nn.Module):
    """LayerNorm in float32, whatever the precision around it: half loses the mean of squares."""

    def __init__(self, weights: GraphWeights, name: str) -> None:
        super().__init__()
        self.weight = constant(weights[f"{name}.weight"])
        self.bias = constant(weights[f"{name}.bias"])

    def forward(self, x: Tensor) -> Tensor:
        """Float32, of any ``x``."""
        return F.layer_norm(x.float(), self.weight.shape, self.weight, self.bias, NORM_EPSILON)


class Down(nn.Module):
    """4x4 convolution, stride 2, pad 1."""

    def __init__(self, weights: GraphWeights, name: str) -> None:
        super().__init__()
        self.weight = constant(weights[f"{name}.weight"])
        self.bias = constant(weights[f"{name}.bias"])

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, stride=2, padding=1)


class Up(nn.Module):
    """4x4 transposed convolution, stride 2, pad 1, and ReLU (but at the last level)."""

    def __init__(self, weights: GraphWeights, name: str, *, last: bool) -> None:
        super().__init__()
        self.last = last
        self.weight = constant(weights[f"{name}.weight"])
        self.bias = constant(weights[f"{name}.bias"])

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)
        return x if self.last else F.relu(x)


class Level(nn.Module):
    """Holds ``conv``, so that initializers have the checkpoint's names."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x


class Projection(nn.Module):
    """1x1 convolution from an encoder level to tokens [B, P, D]."""

    def __init__(self, weights: GraphWeights) -> None:
        super().__init__()
        self.weight = constant(weights["token_projection.weight"])
        self.bias = constant(weights["token_projection.bias"])

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape[1:]
        x = x.reshape(-1, channels, height * width).transpose(1, 2)
        return x @ self.weight + self.bias


class Mlp(nn.Module):
    """down(GELU(up(x))), exact GELU."""

    def __init__(self, weights: GraphWeights, name: str) -> None:
        super().__init__()
        self.up = Affine(weights, f"{name}.up")
        self.down = Affine(weights, f"{name}.down")

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(F.gelu(self.up(x)))
        return x


class Attention(nn.Module):
    """Multi-head self-attention of [B, tokens, D]; the dot product's scale is in q's weights."""

    def __init__(self, weights: GraphWeights, name: str) -> None:
        super().__init__()
        self.heads = weights.config.attention_heads
        self.qkv = Affine(weights, f"{name}.qkv")
        self.output = Affine(weights, f"{name}.output")

    def forward(self, x: Tensor) -> Tensor:
        tokens, width = x.shape[1:]
        heads = (-1, tokens, self.heads, width // self.heads)
        q, k, v = (part.reshape(heads) for part in torch.split(self.qkv(x), width, dim=-1))
        shares = (q.permute(0, 2, 1, 3) @ k.permute(0, 2, 3, 1)).softmax(-1)
        mixed = (shares @ v.permute(0, 2, 1, 3)).permute(0, 2, 1, 3).reshape(-1, tokens, width)
        x = self.output(mixed)
        return x


class Block(nn.Module):
    """Pre-norm transformer block; the residual stream has the body's precision."""

    def __init__(self, weights: GraphWeights, name: str) -> None:
        super().__init__()
        self.attention_norm = Norm(weights, f"{name}.attention_norm")
        self.attention = Attention(weights, f"{name}.attention")
        self.mlp_norm = Norm(weights, f"{name}.mlp_norm")
        self.mlp = Mlp(weights, f"{name}.mlp")

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x).to(x.dtype))
        x = x + self.mlp(self.mlp_norm(x).to(x.dtype))
        return x


class Grouping(nn.Module):
    """Category-aware grouping, float32.

    Tokens [B, C, D] and features [B, P, D] to embedding [B, C, D] and assignment [B, C, P].
    """

    def __init__(self, weights: GraphWeights) -> None:
        super().__init__()
        self.query = Affine(weights, "grouping.query")
        self.key = Affine(weights, "grouping.key")
        self.value = Affine(weights, "grouping.value")
        self.output = Affine(weights, "grouping.output")
        self.norm = Norm(weights, "grouping.norm")

    def forward(self, tokens: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        # [B, P, C]: the softmax over categories is then over the last axis, where it is cheap.
        shares = (self.key(features) @ self.query(tokens).transpose(1, 2)).softmax(-1)
        shares = shares / (shares.sum(1, keepdim=True) + 1.0)
        assignment = shares.transpose(1, 2)
        grouped = self.output(assignment @ self.value(features))
        embedding: Tensor = self.norm(tokens + grouped)
        return embedding, assignment


class Mask(nn.Module):
    """Guide [B, S, K + 1] and basis maps [B, K, L, T] to masks [B, S, L, T], float32."""

    @staticmethod
    def basis_shape(config: SgnConfig) -> tuple[int, int, int]:
        """Of the basis maps of one window."""
        return (config.mask_basis, config.frequency_bins, config.frames)

    def forward(self, guide: Tensor, basis: Tensor) -> Tensor:
        count, height, width = basis.shape[1:]
        weights, bias = torch.split(guide.to(basis.dtype), [count, 1], dim=-1)
        logits = weights @ basis.reshape(-1, count, height * width) + bias
        masks: Tensor = logits.sigmoid().float().reshape(*logits.shape[:2], height, width)
        return masks


class Masks(nn.Module):
    """Basis maps, as `Core` gives them, and guide [B, S, K + 1] to masks [B, S, L, T], float32.

    Has no weights. The guide's rows are those of the categories wanted, in any order.
    """

    def __init__(self, mask: Any) -> None:
        super().__init__()
        self.mask = mask

    def basis_shape(self, config: SgnConfig) -> tuple[int, int, int]:
        """Channels, rows and columns of the basis maps of one window."""
        shape: tuple[int, int, int] = self.mask.basis_shape(config)
        return shape

    def forward(self, basis: Tensor, guide: Tensor) -> Tensor:
        """The second part of MODEL step 9."""
        masks: Tensor = self.mask(guide, basis)
        return masks


class Network(nn.Module):
    """The parts of the network, and what is made of them; graphs differ in what goes in and out."""

    def __init__(self, weights: GraphWeights) -> None:
        super().__init__()
        self.config = config = weights.config
        last = len(config.encoder_channels) - 1
        self.input_scale = constant(weights["input_scale"])
        self.input_shift = constant(weights["input_shift"])
        self.encoder = nn.ModuleList(
            Level(Down(weights, f"encoder.{i}.conv")) for i in range(last + 1)
        )
        self.decoder = nn.ModuleList(
            Level(Up(weights, f"decoder.{i}.conv", last=i == last)) for i in range(last + 1)
        )
        self.token_projection = Projection(weights)
        self.token_offset = constant(weights["token_offset"])
        self.transformer = nn.ModuleList(Block(weights, name) for name in weights.blocks)
        self.feature_norm = Norm(weights, "feature_norm")
        self.token_norm = Norm(weights, "token_norm")
        self.grouping = Grouping(weights)
        self.presence_head = Affine(weights, "presence_head")
        self.mask_guide = Mlp(weights, "mask_guide")
        self.mask: nn.Module = Mask()

    def half_body(self) -> Network:
        """Turn all but the float32 islands to float16, in place."""
        for module in self._body():
            module.half()
        self.token_offset.data = self.token_offset.data.half()
        return self

    def _body(self) -> Iterator[nn.Module]:
        yield from (self.encoder, self.decoder, self.token_projection)
        for block in self.transformer:
            yield from (block.get_submodule("attention"), block.get_submodule("mlp"))

    def masks(self, log_magnitude: Tensor, categories: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Masks [B, S, L, T] of the categories [S], presence and embedding, in one go."""
        presence, embedding, basis, _ = self.analyze(log_magnitude)
        guide = self.mask_guide(embedding.index_select(1, categories)).to(basis.dtype)
        return self.mask(guide, basis), presence, embedding

    def analyze(self, log_magnitude: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Presence [B, C], embedding [B, C, D], basis maps in the body's type, assignment."""
        x = log_magnitude * self.input_scale + self.input_shift
        x = x.to(self.token_offset.dtype)
        levels, skips = self.encode(x)
        embedding, assignment = self.group(levels)
        presence = self.presence_head(embedding).squeeze(-1).sigmoid()
        return presence, embedding, self.decode(skips), assignment

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The level of the tokens behind LeakyReLU, and all seven levels behind ReLU."""
        skips = []
        tokens = x
        for i, level in enumerate(self.encoder):
            x = level(x)
            if i < len(self.encoder) - 1 or i == self.config.token_level:
                x = F.leaky_relu(x, LEAKY_SLOPE)
            if i == self.config.token_level:
                tokens = x
            skips.append(F.relu(x))
        return tokens, skips

    def group(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding [B, C, D] and assignment [B, C, P], float32, from one encoder level."""
        count, classes = self.config.tokens, len(self.config.categories)
        features = self.token_projection(level)
        x = F.pad(features, (0, 0, 0, classes)) + self.token_offset
        for block in self.transformer:
            x = block(x)
        features, tokens = torch.split(x, [count, classes], dim=1)
        embedding: Tensor
        assignment: Tensor
        embedding, assignment = self.grouping(self.token_norm(tokens), self.feature_norm(features))
        return embedding, assignment

    def decode(self, skips: list[Tensor]) -> Tensor:
        """Basis maps [B, K, L, T]."""
        x: Tensor = self.decoder[0](skips[-1])
        for level, skip in zip(list(self.decoder)[1:], reversed(skips[:-1]), strict=True):
            x = level(torch.cat((x, skip), dim=1))
        return x


class Core(Network):
    """Log-magnitude [B, 1, L, T] to presence, embedding, guide [B, C, K + 1] and basis maps.

    Attributes
    ----------
    gives_assignment
        Whether assignment [B, C, P] comes behind them.
    """

    gives_assignment = False

    def forward(self, log_magnitude: Tensor) -> tuple[Tensor, ...]:
        """MODEL steps 3 to 9, up to the masks; float32 but for the basis maps of a half body."""
        presence, embedding, basis, assignment = self.analyze(log_magnitude)
        outputs = (presence, embedding, self.mask_guide(embedding), basis)
        return (*outputs, assignment) if self.gives_assignment else outputs
