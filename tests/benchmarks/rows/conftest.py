"""A model of a size at which every row opens in a second or two."""

from __future__ import annotations

import pytest

from sgn_rt.benchmarks.rows.networks import write_random
from sgn_rt.model.bundle import Bundle


@pytest.fixture(scope="session")
def small(small_config, tmp_path_factory) -> Bundle:
    """Of a network with random weights. Frames of a power of two are those that every FFT can."""
    for module in ("torch", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("networks") / "small"
    return write_random(small_config(n_fft=256, log_epsilon=1e-3), folder, name="small")


@pytest.fixture(scope="session")
def graphs(tmp_path_factory):
    """The folder in which rows leave what they export."""
    return tmp_path_factory.mktemp("graphs")
