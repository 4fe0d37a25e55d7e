"""What a factory and its module may get wrong: one clear message for each."""

from __future__ import annotations

import textwrap

import pytest
import torch

from sgn_rt.errors import ModuleError
from sgn_rt.reference.factory import load_module

GOOD = """
import torch
from torch import nn

SIZES = {
    "sample_rate": 8000, "n_fft": 64, "hop_length": 16, "window_samples": 320,
    "categories": ["a", "b", "c"], "frequency_axis": "linear", "input": "magnitude",
    "mask": "ratio",
}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
    def forward(self, x, categories):
        return torch.sigmoid(self.conv(x))[:, categories]

def make(checkpoint):
    torch.manual_seed(0)
    return Net(), dict(SIZES)
"""
"""Changed in each test."""

RETURN = "return torch.sigmoid(self.conv(x))[:, categories]"
MADE = "return Net(), dict(SIZES)"
WRONG = {
    "raises": (MADE, "raise KeyError('weights')", ["KeyError", "weights", "net_raises.py, line"]),
    "one": (MADE, "return Net()", ["got Net", "(torch.nn.Module, dict)"]),
    "swapped": (MADE, "return dict(SIZES), Net()", ["got (dict, Net)"]),
    "missing": (MADE, "return Net(), {'n_fft': 64}", ["no sample_rate, hop_length"]),
    "unknown": (MADE, "return Net(), {**SIZES, 'rate': 1}", ["the unknown rate"]),
    "text": (MADE, "return Net(), {**SIZES, 'n_fft': '64'}", ["integers above 0"]),
    "axis": (MADE, "return Net(), {**SIZES, 'frequency_axis': 'mel'}", ["'linear' or 'log'"]),
    "bins": (MADE, "return Net(), {**SIZES, 'frequency_axis': 'log'}", ["frequency_bins"]),
    "linear": (MADE, "return Net(), {**SIZES, 'frequency_bins': 20}", ["= 33 on the linear"]),
    "epsilon": (MADE, "return Net(), {**SIZES, 'input': 'log_magnitude'}", ["log_epsilon"]),
    "window": (MADE, "return Net(), {**SIZES, 'window': 'kaiser'}", ["'hann' or 'hamming'"]),
    "short": (MADE, "return Net(), {**SIZES, 'window': [1.0] * 63}", ["64 finite numbers"]),
    "gaps": (MADE, "return Net(), {**SIZES, 'window': [0.] * 60 + [1.] * 4}", ["gaps"]),
    "thresholds": (MADE, "return Net(), {**SIZES, 'presence_thresholds': [.5] * 3}",
                   ["does not say what is present"]),
    "channels": ("nn.Conv2d(1, 3", "nn.Conv2d(2, 3", ["RuntimeError", "net_channels.py, line 16"]),
    "shape": (RETURN, "return torch.sigmoid(self.conv(x))", ["[2, 3, 33, 21]", "[2, 2, 33, 21]"]),
    "type": (RETURN, "return torch.sigmoid(self.conv(x))[:, categories].double()", ["float64"]),
    "list": (RETURN, "return [x]", ["got masks list"]),
    "other": (RETURN, "return {'mask': x}", ["answers with mask,"]),
    "range": (RETURN, "return self.conv(x)[:, categories]", ["0 to 1", "sigmoid"]),
    "presence": (RETURN, "return {'masks': torch.sigmoid(self.conv(x))[:, categories], "
                 "'presence': torch.ones(2, 3, 1)}", ["presence float32 [2, 3, 1]"]),
    "finite": (RETURN, "return torch.sigmoid(self.conv(x) / 0)[:, categories] * float('nan')",
               ["not finite"]),
    "random": (RETURN, "return torch.sigmoid(nn.functional.dropout(self.conv(x)))[:, categories]",
               ["differ from call to call", "training=self.training"]),
    "training": (RETURN, "self.train(); " + RETURN, ["in training mode although eval()"]),
    "batch": (RETURN, "return torch.sigmoid(self.conv(x) - self.conv(x).mean())[:, categories]",
              ["stand beside it in a batch"]),
    "order": (RETURN, "return torch.sigmoid(self.conv(x))[:, : len(categories)]",
              ["asked for beside it", "in their order"]),
}  # fmt: skip


def write(folder, name: str, source: str) -> str:
    (folder / f"{name}.py").write_text(textwrap.dedent(source))
    (folder / "weights.pt").write_bytes(b"")
    return f"{name}:make"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch, _in_their_folder):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_against_the_interface(tmp_path, fails, name):
    old, new, parts = WRONG[name]
    assert old in GOOD
    spec = write(tmp_path, f"net_{name}", GOOD.replace(old, new))
    before = torch.random.get_rng_state()
    with fails(ModuleError, *parts) as failure:
        load_module(spec, tmp_path / "weights.pt")
    assert "\n" not in failure.message
    if name not in ("raises",):  # our own calls leave the caller's random state alone
        assert before.shape == torch.random.get_rng_state().shape


def test_a_good_one(tmp_path):
    spec = write(tmp_path, "net_good", GOOD)
    model = load_module(spec, tmp_path / "weights.pt")
    config = model.config
    assert (config.bins, config.frames, config.has_presence) == (33, 21, False)
    assert config.embedding_dim is None
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("nowhere", ["expected package.file:factory"]),
        ("no_such_file:make", ["no Python module 'no_such_file'"]),
        ("net_there.no_such:make", ["no Python module"]),
        ("net_there:other", ["no function 'other'", "Net, make"]),
        ("net_there:make()", ["expected package.file:factory"]),
        ("net_broken:make", ["SyntaxError"]),
        ("net_needs:make", ["ModuleNotFoundError", "Install 'package_that_is_not_here'"]),
    ],
)
def test_factories_that_are_not_there(tmp_path, fails, spec, parts):
    write(tmp_path, "net_there", GOOD)
    write(tmp_path, "net_broken", "def make(:")
    write(tmp_path, "net_needs", "import package_that_is_not_here")
    with fails(ModuleError, *parts):
        load_module(spec, tmp_path / "weights.pt")


def test_a_checkpoint_that_is_not_there(tmp_path, fails):
    spec = write(tmp_path, "net_alone", GOOD)
    with fails(ModuleError, "got no such file"):
        load_module(spec, tmp_path / "other.pt")


def test_nothing_is_left_on_the_path(tmp_path):
    import sys

    before = list(sys.path)
    load_module(write(tmp_path, "net_path", GOOD), tmp_path / "weights.pt")
    assert sys.path == before
