"""A small bundle with a graph of each kind, and what there is to read it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sgn_rt.model.bundle import Bundle
from sgn_rt.portability.web import PACKAGE

REQUIRE = "SGN_RT_REQUIRE_WEB"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, small_config) -> Bundle:
    """Random weights, unproved; ``core`` and ``waveform`` refer to the checkpoint's."""
    writer = pytest.importorskip("sgn_rt.export.writer")
    from sgn_rt.audio.labelled_music import load_music
    from sgn_rt.export.probes import make_probe
    from sgn_rt.model.contract import Kind, Precision
    from sgn_rt.reference import random_model, save_checkpoint

    folder = tmp_path_factory.mktemp("portability")
    model = random_model(small_config(log_epsilon=1e-3), seed=1)
    save_checkpoint(model, model.config, folder / "checkpoint.safetensors")
    writer.write_unproved(
        model,
        make_probe(model, load_music(None, model.config.sample_rate)),
        folder,
        kinds=tuple(Kind),
        precisions=[Precision.FP32],
        name="small",
        shared_weights=True,
    )
    return Bundle.open(folder)


@pytest.fixture
def web(monkeypatch) -> None:
    """onnxruntime-web as the Makefile installs it; skipped without, unless it is required."""
    modules = Path(sys.prefix) / "web" / "node_modules"
    if not (modules / PACKAGE).is_dir():
        reason = f"no {PACKAGE} in {modules}: see the Makefile"
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{reason}, and {REQUIRE}=1")
        pytest.skip(reason)
    monkeypatch.setenv("NODE_PATH", str(modules))
