"""Bundles to abuse: whole ones, that tests damage in a copy."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def exported(tmp_path_factory, small_config) -> Path:
    """Both standard graphs, in float32, of a small model with random weights. Not to be changed."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    writer = pytest.importorskip("sgn_rt.export.writer")
    from sgn_rt.model.contract import Kind, Precision
    from sgn_rt.reference import random_model, save_checkpoint

    folder = tmp_path_factory.mktemp("exported")
    config = small_config(n_fft=32, hop_length=8)
    save_checkpoint(random_model(config, seed=1), config, folder / "small.safetensors")
    kinds, precisions = (Kind.CORE, Kind.WAVEFORM), (Precision.FP32,)
    writer.export_bundle(
        folder / "small.safetensors", folder / "small", kinds=kinds, precisions=precisions
    )
    return folder / "small"


@pytest.fixture
def bundle(exported, tmp_path) -> Path:
    """A copy of `exported`, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "bundle"))


@pytest.fixture
def replace_file(edit_manifest) -> Callable[[Path, str, bytes], None]:
    """Put other content into a bundle as who writes its manifest can: with the right hash."""

    def replace(folder: Path, name: str, content: bytes) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        record = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        edit_manifest(folder, lambda manifest: manifest["files"].update({name: record}))

    return replace
