"""A bundle on the disk that other processes can open, recordings for it, and their stems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.separator import Separator


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


SAMPLES = 1000
"""Of a recording: one window of the model."""


@pytest.fixture(scope="session")
def material() -> list[np.ndarray]:
    """Recordings of which others are copies."""
    rng = np.random.default_rng(5)
    return [(0.2 * rng.standard_normal(SAMPLES + 37 * i)).astype(np.float32) for i in range(8)]


@pytest.fixture(scope="session")
def stems(small_bundle, material, tmp_path_factory) -> list[dict[str, np.ndarray]]:
    """What a separator of this process makes of each."""
    folder = tmp_path_factory.mktemp("reference")
    with Separator.open(small_bundle, "onnxruntime", threads=1) as separator:
        made = []
        for i, samples in enumerate(material):
            soundfile.write(folder / f"{i}.wav", samples, 8000, subtype="FLOAT")
            files = separator.separate_to(folder / f"{i}.wav", folder / "out", ["bell", "horn"])
            made.append({name: soundfile.read(path)[0] for name, path in files.stems.items()})
    return made
