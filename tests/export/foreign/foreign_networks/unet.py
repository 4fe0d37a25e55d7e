"""A U-Net of Sound-of-Pixels' shape: log-frequency spectrograms, bilinear upsampling, no presence.

It makes feature maps, and weighs them for each category.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

CATEGORIES = ["accordion", "cello", "clarinet", "flute", "piano", "trumpet", "violin"]
WIDTHS = (6, 8, 8, 12, 12, 12, 12)
MAPS = 8


class Level(nn.Module):
    """One level of the U around the deeper ones."""

    def __init__(self, given: int, width: int, out: int, deeper: nn.Module | None) -> None:
        super().__init__()
        self.down = nn.Conv2d(given, width, 4, 2, 1, bias=False)
        self.down_norm = nn.BatchNorm2d(width)
        self.deeper = deeper
        self.up = nn.Conv2d(width if deeper is None else 2 * width, out, 3, 1, 1)
        self.up_norm = nn.BatchNorm2d(out)

    def forward(self, x):
        y = F.leaky_relu(self.down_norm(self.down(x)), 0.2)
        if self.deeper is not None:
            y = torch.cat([y, self.deeper(y)], dim=1)
        y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
        return F.relu(self.up_norm(self.up(y)))


class UNet(nn.Module):
    """Maps and their weights for each category."""

    def __init__(self) -> None:
        super().__init__()
        level = None
        for i in reversed(range(len(WIDTHS))):
            given = WIDTHS[i - 1] if i else 1
            level = Level(given, WIDTHS[i], MAPS if i == 0 else given, level)
        self.level = level
        self.weights = nn.Parameter(torch.randn(len(CATEGORIES), MAPS))

    def forward(self, x, categories):
        maps = self.level((x + 4.0) / 3.0)
        logits = torch.einsum("sk,bkft->bsft", self.weights[categories], maps)
        return torch.sigmoid(logits - 1.0)


def make(checkpoint: Path):
    """The factory."""
    model = UNet()
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    return model, {
        "sample_rate": 11025, "n_fft": 1022, "hop_length": 256, "window_samples": 65280,
        "categories": CATEGORIES, "frequency_axis": "log", "frequency_bins": 256,
        "input": "log_magnitude", "log_epsilon": 1e-3, "mask": "ratio",
    }  # fmt: skip


def save_random(path: Path) -> None:
    """A checkpoint of random weights."""
    torch.manual_seed(1)
    model = UNet()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0.0, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    torch.save(model.state_dict(), path)
