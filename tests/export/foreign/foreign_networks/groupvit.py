"""Grouping as GroupViT's: patches, class tokens that claim them, 21 classes, linear magnitudes.

It says what is there, and gives an embedding of each class.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = [f"class_{number:02d}" for number in range(21)]
DIM, PATCH = 32, 16


class Block(nn.Module):
    """Pre-norm transformer block of PyTorch's own attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp_norm = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.attention = nn.MultiheadAttention(DIM, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(DIM, 2 * DIM), nn.GELU(), nn.Linear(2 * DIM, DIM))

    def forward(self, x):
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.mlp_norm(x))


class Grouping(nn.Module):
    """Each patch belongs to the classes that its softmax names; classes gather what is theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(DIM, DIM) for _ in range(3))
        self.out, self.norm = nn.Linear(DIM, DIM), nn.LayerNorm(DIM)

    def forward(self, groups, patches):
        scores = self.query(groups) @ self.key(patches).transpose(1, 2) * DIM**-0.5
        shares = F.softmax(scores, dim=1)
        shares = shares / (shares.sum(dim=-1, keepdim=True) + 1.0)
        return self.norm(groups + self.out(shares @ self.value(patches)))


class GroupingNetwork(nn.Module):
    """Masks from the product of class embeddings and upsampled features."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, DIM, PATCH, PATCH)
        self.positions = nn.Parameter(0.1 * torch.randn(1, rows * columns, DIM))
        self.tokens = nn.Parameter(torch.randn(1, len(CLASSES), DIM))
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.grouping = Grouping()
        self.fine = nn.Conv2d(1, DIM, 5, padding=2)
        self.presence = nn.Linear(DIM, 1)

    def forward(self, x, categories):
        batch, _, bins, frames = x.shape
        level = torch.log1p(20.0 * x)
        grid = self.patches(level)
        patches = grid.flatten(2).transpose(1, 2) + self.positions
        tokens = self.tokens.expand(batch, -1, -1)
        both = torch.cat([patches, tokens], dim=1)
        for block in self.blocks:
            both = block(both)
        patches, tokens = both[:, : patches.shape[1]], both[:, patches.shape[1] :]
        embedding = self.grouping(tokens, patches)
        coarse = patches.transpose(1, 2).reshape(batch, DIM, grid.shape[2], grid.shape[3])
        features = F.interpolate(coarse, size=(bins, frames), mode="nearest") + self.fine(level)
        chosen = embedding.index_select(1, categories)
        logits = torch.einsum("bsd,bdft->bsft", chosen, features) * DIM**-0.5
        return {
            "masks": logits.sigmoid(),
            "presence": self.presence(embedding).squeeze(-1).sigmoid(),
            "embedding": embedding,
        }


def make(checkpoint: Path):
    """The factory."""
    model = GroupingNetwork(16, 6)
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    return model, {
        "sample_rate": 16000, "n_fft": 512, "hop_length": 256, "window_samples": 24576,
        "categories": CLASSES, "frequency_axis": "linear", "input": "magnitude", "mask": "ratio",
    }  # fmt: skip


def save_random(path: Path) -> None:
    """A checkpoint of random weights."""
    torch.manual_seed(2)
    torch.save(GroupingNetwork(16, 6).state_dict(), path)
