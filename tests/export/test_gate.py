"""Every graph and engine of a bundle behind the plugin for pytest, and one that is wrong."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import SECOND_HALVES, Kind
from sgn_rt.model.stages import Stage

pytest.importorskip("onnxruntime")

INSIDE = {"network", "network-max", "analysis", "analysis-max", "synthesis"}
"""Stages that a graph from the mixture to the sources does not show."""


def expected(folder: Path) -> dict[str, dict[str, str]]:
    """Engine -> stage -> state, where all that runs here is right."""
    states: dict[str, dict[str, str]] = {}
    bundle = Bundle.open(folder)
    unknown = {"assignment"} if bundle.probe.stem_known.any() else {"assignment", "quality"}
    for artifact in bundle.artifacts:
        if artifact.kind == Kind.PLUGIN:  # no GPU here, or no engine of this bundle
            states.setdefault("sgn-rt", {})[artifact.name] = "skipped"
        elif artifact.kind not in SECOND_HALVES:
            hidden = unknown | (INSIDE if artifact.kind == Kind.WAVEFORM else set())
            states[f"onnxruntime:{artifact.name}"] = {
                str(stage): "skipped" if stage in hidden else "passed" for stage in Stage
            }
    return states


def test_every_graph_in_every_precision_is_gated(outer, small_bundle):
    """What does not run here is skipped, with the reason; it never passes."""
    code, out, _ = outer("--sgn-bundle", small_bundle, "-rs")
    assert code == 0, out
    assert outer.engines == expected(small_bundle)
    assert len(outer.engines) == 5  # two graphs for the CPU in two precisions, and those for a GPU
    for name in ("plugin.fp16", "plugin.fp32"):
        assert f"{name} runs in TensorRT alone, which has no engine of it here" in out
    assert "onnxruntime:waveform.fp32 does not show network from outside" in out
    assert "onnxruntime:core.fp32: quality: the probes have no true stems" in out


def test_int8_is_gated_too(outer, published_int8):
    code, out, _ = outer("--sgn-bundle", published_int8)
    assert code == 0, out
    assert outer.engines == expected(published_int8)
    assert {"onnxruntime:core.fp32", "onnxruntime:core.int8"} == outer.engines.keys()


@pytest.fixture
def broken(small_bundle, tmp_path, edit_manifest):
    """A bundle with one weight of some of its graphs scaled: (graph, weight, factor)."""
    folder = Path(shutil.copytree(small_bundle, tmp_path / "broken"))

    def scale(name: str, weight: str, factor: float) -> None:
        path = folder / f"{name}.onnx"
        model = onnx.load(path)
        (tensor,) = [t for t in model.graph.initializer if t.name == weight]
        values = numpy_helper.to_array(tensor)
        scaled = (values * np.float32(factor)).astype(values.dtype)
        tensor.CopyFrom(numpy_helper.from_array(scaled, weight))
        content = model.SerializeToString()
        path.write_bytes(content)
        record = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        edit_manifest(folder, lambda manifest: manifest["files"].update({path.name: record}))

    return folder, scale


def test_engines_that_are_wrong_fail_at_their_stage_and_no_others(outer, broken):
    folder, scale = broken
    scale("core.fp32", "mask_guide.down.weight", 1.05)
    scale("waveform.fp16", "istft.matrix", 1.04)
    code, out, _ = outer("--sgn-bundle", folder)
    assert code == 1, out
    right = expected(folder)
    found = {
        engine: {stage for stage, state in stages.items() if state != right[engine][stage]}
        for engine, stages in outer.engines.items()
    }
    core = found.pop("onnxruntime:core.fp32")
    assert "network" in core
    assert not core & {"synthesis", "resampling", "presence"}  # what it has no part in
    assert found.pop("onnxruntime:waveform.fp16") == {"level"}  # SI-SDR does not see it
    assert found.keys() == right.keys() - {"onnxruntime:core.fp32", "onnxruntime:waveform.fp16"}
    assert not any(found.values()), found
    assert "onnxruntime:core.fp32: network: " in out
    assert "onnxruntime:waveform.fp16: level: " in out
