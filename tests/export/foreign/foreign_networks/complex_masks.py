"""Complex masks at 44.1 kHz: convolutions, dilated ones along time, four stems."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

STEMS = ("vocals", "drums", "bass", "other")
WIDTH, BANDS = 8, 41


class ComplexMasks(nn.Module):
    """Real and imaginary part of a factor for each bin, at most 2 in each direction."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, WIDTH, (25, 3), (25, 1), (0, 1))
        self.norm = nn.GroupNorm(2, WIDTH)
        self.into = nn.Conv1d(WIDTH * BANDS, 48, 1)
        self.along = nn.ModuleList(nn.Conv1d(48, 48, 3, padding=d, dilation=d) for d in (1, 4, 16))
        self.back = nn.Conv1d(48, WIDTH * BANDS, 1)
        self.leave = nn.ConvTranspose2d(2 * WIDTH, 2 * len(STEMS), (25, 3), (25, 1), (0, 1))

    def forward(self, x, categories):
        level = torch.log(x + 1e-2)
        coarse = F.silu(self.norm(self.enter(level)))
        steps = self.into(coarse.flatten(1, 2))
        for layer in self.along:
            steps = steps + F.gelu(layer(steps))
        mixed = self.back(steps).unflatten(1, (WIDTH, BANDS))
        parts = self.leave(torch.cat([coarse, mixed], dim=1))
        masks = 2.0 * torch.tanh(parts.unflatten(1, (len(STEMS), 2)))
        return {"masks": masks[:, categories]}


def make(checkpoint: Path):
    """The factory."""
    model = ComplexMasks()
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    return model, {
        "sample_rate": 44100, "n_fft": 2048, "hop_length": 512, "window_samples": 65536,
        "categories": STEMS, "window": "hann", "input": "magnitude", "frequency_axis": "linear",
        "mask": "complex",
    }  # fmt: skip


def save_random(path: Path) -> None:
    """A checkpoint of random weights."""
    torch.manual_seed(3)
    torch.save(ComplexMasks().state_dict(), path)
