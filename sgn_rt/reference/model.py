"""SGN in PyTorch, exactly as published: the truth that every exported artifact is measured against.

Mo & Tian, "Semantic Grouping Network for Audio Source Separation", arXiv 2407.03736. Every size
comes from the configuration. Notation: B batch, C categories, S requested sources, N samples, F x T
spectrum, L log bins, P tokens, D dim, K basis maps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgn_rt.model.contract import NORM_EPSILON
from sgn_rt.model.sgn_config import SgnConfig
from sgn_rt.reference.spectral import Reference

LEAKY_SLOPE = 0.2


class EncoderLevel(nn.Module):
    """Halves both axes: LeakyReLU (not at level 0), 4x4 convolution, BatchNorm (not at ends)."""

    def __init__(self, in_channels: int, out_channels: int, *, first: bool, last: bool) -> None:
        super().__init__()
        self.first = first
        self.conv = nn.Conv2d(in_channels, out_channels, 4, 2, 1, bias=first or last)
        self.norm = (
            nn.Identity() if first or last else nn.BatchNorm2d(out_channels, eps=NORM_EPSILON)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.first else F.leaky_relu(x, LEAKY_SLOPE)
        x = self.norm(self.conv(x))
        return x


class DecoderLevel(nn.Module):
    """Doubles both axes: ReLU, 4x4 transposed convolution, BatchNorm (but at the last level)."""

    def __init__(self, in_channels: int, out_channels: int, *, last: bool) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=last)
        self.norm = nn.Identity() if last else nn.BatchNorm2d(out_channels, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(F.relu(x)))
        return x


class Mlp(nn.Module):
    """down(GELU(up(x))), exact erf GELU."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(F.gelu(self.up(x)))
        return x


class Attention(nn.Module):
    """Multi-head self-attention, packed q, k, v rows, contiguous heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        x = self.output((weights @ v).transpose(1, 2).flatten(-2))
        return x


class TransformerBlock(nn.Module):
    """Pre-norm block: x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Mlp(width, 4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        x = x + self.mlp(self.mlp_norm(x))
        return x


class Grouping(nn.Module):
    """Category-aware grouping: categories share out the features, then gather their own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)

    def forward(self, tokens: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """``tokens`` [B, C, D], ``features`` [B, P, D] to embedding [B, C, D], shares [B, C, P]."""
        scale = tokens.shape[-1] ** -0.5
        logits = self.query(tokens) @ self.key(features).transpose(-1, -2) * scale
        assignment = logits.softmax(dim=1)
        assignment = assignment / (assignment.sum(dim=-1, keepdim=True) + 1.0)
        grouped = self.output(assignment @ self.value(features))
        return self.norm(tokens + grouped), assignment


class Sgn(Reference):
    """The network of a ``config``: tensor names are a checkpoint's; nothing is trained here."""

    def __init__(self, config: SgnConfig) -> None:
        super().__init__(config)
        self.config: SgnConfig = config
        c, dim = config.encoder_channels, config.embedding_dim
        last = len(c) - 1

        self.input_norm = nn.BatchNorm2d(1, eps=NORM_EPSILON)
        self.encoder = nn.ModuleList(
            EncoderLevel(c[i - 1] if i else 1, c[i], first=i == 0, last=i == last)
            for i in range(len(c))
        )
        outputs = (*reversed(c[:last]), config.mask_basis)
        self.decoder = nn.ModuleList(
            DecoderLevel(c[last] if i == 0 else 2 * c[last - i], outputs[i], last=i == last)
            for i in range(len(c))
        )
        self.token_projection = nn.Conv2d(c[config.token_level], dim, 1)
        self.position_embedding = nn.Parameter(torch.zeros(1, config.tokens, dim))
        self.class_tokens = nn.Parameter(torch.zeros(1, len(config.categories), dim))
        self.transformer = nn.ModuleList(
            TransformerBlock(dim, config.attention_heads) for _ in range(config.transformer_depth)
        )
        self.feature_norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.token_norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.grouping = Grouping(dim)
        self.presence_head = nn.Linear(dim, 1)
        self.category_head = nn.Linear(dim, len(config.categories))
        self.mask_guide = Mlp(dim, dim, config.mask_basis + 1)

    def encode(self, log_magnitude: Tensor) -> list[Tensor]:
        """Encoder levels e0 [B, c0, L/2, T/2] .. e6 of ``log_magnitude`` [B, 1, L, T] (step 3)."""
        levels = []
        x = self.input_norm(log_magnitude)
        for level in self.encoder:
            x = level(x)
            levels.append(x)
        return levels

    def group(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens, transformer, grouping and presence from one encoder level (steps 4 to 7).

        Returns embedding [B, C, D], assignment [B, C, P], presence [B, C], class tokens [B, C, D].
        """
        features = self.token_projection(F.leaky_relu(level, LEAKY_SLOPE)).flatten(2).mT
        tokens = self.class_tokens.expand(features.shape[0], -1, -1)
        x = torch.cat((features + self.position_embedding, tokens), dim=1)
        for block in self.transformer:
            x = block(x)
        features = self.feature_norm(x[:, : self.config.tokens])
        tokens = self.token_norm(x[:, self.config.tokens :])
        embedding, assignment = self.grouping(tokens, features)
        presence = self.presence_head(embedding).squeeze(-1).sigmoid()
        return embedding, assignment, presence, tokens

    def signals(self, log_magnitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the network says beside masks (steps 3 to 7), without its decoder.

        Of ``log_magnitude`` [B, 1, L, T]: presence [B, C], embedding [B, C, D], assignment
        [B, C, P].
        """
        level = self.encode(log_magnitude)[self.config.token_level]
        embedding, assignment, presence, _ = self.group(level)
        return presence, embedding, assignment

    def decode(self, levels: list[Tensor]) -> Tensor:
        """Basis maps [B, K, L, T] from the encoder's levels (step 8)."""
        x: Tensor = self.decoder[0](levels[-1])
        for level, skip in zip(list(self.decoder)[1:], reversed(levels[:-1]), strict=True):
            x = level(torch.cat((x, skip), dim=1))
        return x

    def masks(self, log_magnitude: Tensor, categories: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Masks [B, S, L, T] of ``categories`` [S], presence [B, C], embedding [B, C, D] (3 to 9).

        ``log_magnitude`` is [B, 1, L, T]. The cost of a mask is paid per chosen category, whatever
        the number the model knows.
        """
        basis, guide, presence, embedding = self.network(log_magnitude)
        return self.mask(basis, guide.index_select(1, categories)), presence, embedding

    def each_mask(self, log_magnitude: Tensor) -> Iterator[Tensor]:
        """Mask after mask, shape = (B, 1, L, T), of ``log_magnitude`` [B, 1, L, T].

        The network runs once.
        """
        basis, guide, _, _ = self.network(log_magnitude)
        for category in range(guide.shape[1]):
            yield self.mask(basis, guide[:, category : category + 1])

    def network(self, log_magnitude: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What masks are made of, and what is there (steps 3 to 8).

        Of ``log_magnitude`` [B, 1, L, T]: basis maps [B, K, L, T], guides [B, C, K + 1], presence
        [B, C], embedding [B, C, D].
        """
        levels = self.encode(log_magnitude)
        embedding, _, presence, _ = self.group(levels[self.config.token_level])
        return self.decode(levels), self.mask_guide(embedding), presence, embedding

    def mask(self, basis: Tensor, guide: Tensor) -> Tensor:
        """Masks [B, S, L, T] of ``basis`` [B, K, L, T] and ``guide`` [B, S, K + 1] (step 9)."""
        weights, bias = torch.split(guide, [self.config.mask_basis, 1], dim=-1)
        logits = (weights / math.sqrt(self.config.mask_basis)) @ basis.flatten(2) + bias
        masks: Tensor = logits.sigmoid().reshape(*logits.shape[:2], *basis.shape[2:])
        return masks

    def category_logits(self, class_tokens: Tensor) -> Tensor:
        """Training head: which category each class token is (step 7).

        [B, C, C] from ``class_tokens`` [B, C, D].
        """
        logits: Tensor = self.category_head(class_tokens)
        return logits
