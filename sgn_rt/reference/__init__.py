"""The PyTorch reference of SGN: what every exported artifact is measured against."""

from sgn_rt._optional import require

require("torch", extra="export", purpose="The PyTorch reference")

from sgn_rt.reference.checkpoint import load, load_content, read_checkpoint, save_checkpoint  # noqa: E402
from sgn_rt.reference.model import Sgn  # noqa: E402
from sgn_rt.reference.presets import PAPER, random_model  # noqa: E402
from sgn_rt.reference.spectral import Reference, Separation  # noqa: E402

__all__ = [
    "PAPER",
    "Reference",
    "Separation",
    "Sgn",
    "load",
    "load_content",
    "random_model",
    "read_checkpoint",
    "save_checkpoint",
]
