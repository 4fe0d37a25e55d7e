"""What the exporter cannot take is named by operator and line of the user's module."""

from __future__ import annotations

import pytest

from sgn_rt.errors import ModuleError
from sgn_rt.export.graphs import build_graph
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.reference.factory import load_module

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, x, categories):
        y = self.conv(x)
        {line}
        return torch.sigmoid(y)[:, categories]

def make(checkpoint):
    torch.manual_seed(0)
    return Net(), {{
        "sample_rate": 8000, "n_fft": 64, "hop_length": 16, "window_samples": 320,
        "categories": ["a", "b", "c"], "frequency_axis": "linear", "input": "magnitude",
        "mask": "ratio",
    }}
"""
LINE = 12
UNSUPPORTED = {
    "operator": ("y = torch.special.bessel_j0(y)", ["bessel_j0", "operators that ONNX has"]),
    "branch": ("y = y if y.sum() > 0 else -y", ["torch.export"]),
    "fixed": ("y = y.reshape(2, 3, *y.shape[2:]) if len(y) == 2 else y", ["any batch"]),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_it_is_named_by_operator_and_line(tmp_path, monkeypatch, fails, name):
    monkeypatch.chdir(tmp_path)
    line, parts = UNSUPPORTED[name]
    (tmp_path / f"unsupported_{name}.py").write_text(SOURCE.format(line=line))
    (tmp_path / "weights.pt").touch()
    model = load_module(f"unsupported_{name}:make", tmp_path / "weights.pt")
    place = [] if name == "fixed" else [f"unsupported_{name}.py, line {LINE}"]
    with fails(ModuleError, *parts, *place):
        build_graph(model, Kind.CORE, Precision.FP32)
