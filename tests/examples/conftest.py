"""The model that ships as one graph from sound to sound, a clip, and what Python makes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.labelled_music import load_music
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.separator import Separator

RATE = 11025
"""Hz, the shipped model's."""
CLIP_S = 9
"""Two windows, and one that ends with the clip."""


@pytest.fixture(scope="session")
def waveform_bundle(tmp_path_factory, instruments) -> Path:
    """With the graph ``waveform.fp32``; what proves it is in the tests of the exporter."""
    writer = pytest.importorskip("sgn_rt.export.writer")
    folder = tmp_path_factory.mktemp("waveform")
    shipped = Bundle.open()
    (folder / "checkpoint.safetensors").write_bytes(shipped.read("checkpoint.safetensors"))
    writer.write_unproved(
        *(instruments, shipped.probe, folder),
        kinds=[Kind.WAVEFORM],
        precisions=[Precision.FP32],
        name=shipped.name,
        shared_weights=True,
    )
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """Of a mixture that ships, brought to the model's rate: as it is, and backwards beside it."""
    samples = load_music(None, RATE)[0].mixture[: CLIP_S * RATE]
    clip = tmp_path_factory.mktemp("clip") / "clip.wav"
    soundfile.write(clip, np.stack((samples, samples[::-1]), axis=1), RATE, subtype="FLOAT")
    return clip


@pytest.fixture(scope="session")
def stems_of(waveform_bundle) -> Callable[..., dict[str, np.ndarray]]:
    """Stems [channels, samples] that Python makes of a recording with that graph."""
    with Separator.open(waveform_bundle, engine="onnxruntime", parity="off") as separator:
        assert "waveform.fp32" in separator.engine.detail

        def separate(path: Path, categories: list[str]) -> dict[str, np.ndarray]:
            return separator.separate(path, categories, level="off").sources

        yield separate


@pytest.fixture
def missing() -> Callable[[str, str], None]:
    """Skips a test for want of a tool, or fails where a variable says that it is required."""

    def give_up(what: str, variable: str) -> None:
        if os.environ.get(variable) == "1":
            pytest.fail(f"{what}, and {variable}=1")
        pytest.skip(what)

    return give_up
