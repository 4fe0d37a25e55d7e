"""A bundle on the disk that other processes can open, and that is fast to make."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory, small_config) -> Path:
    """One graph of a small model with random weights. Not to be changed."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    writer = pytest.importorskip("sgn_rt.export.writer")
    from sgn_rt.model.contract import Kind, Precision
    from sgn_rt.reference import random_model, save_checkpoint

    folder = tmp_path_factory.mktemp("bundle")
    config, checkpoint = small_config(n_fft=32, hop_length=8), folder / "small.safetensors"
    save_checkpoint(random_model(config, seed=1), config, checkpoint)
    writer.export_bundle(
        checkpoint, folder / "small", kinds=(Kind.WAVEFORM,), precisions=(Precision.FP32,)
    )
    return folder / "small"
