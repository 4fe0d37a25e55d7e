"""TensorRT for RTX takes the library: parses, infers, negotiates, serialises; with no GPU."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from .conftest import missing

SCRIPT = Path(__file__).with_name("rtx_build.py")
SAMPLES, LOG_BINS, FRAMES = 65280, 256, 256
CAPABILITIES = ["SM75", "SM89"]
FLOAT, HALF = 1, 10  # onnx.TensorProto.DataType


@pytest.fixture
def engine(plugin_build: SimpleNamespace):
    """Builds engines in a fresh process: (kind, changes) -> what came of it, and standard error."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        missing("no tensorrt-rtx package")
    if importlib.util.find_spec("onnx") is None or shutil.which("cc") is None:
        missing("no onnx package or no C compiler")

    def build(
        kind: str, changes: dict | None = None, capabilities: list[str] | None = None
    ) -> tuple[dict, str]:
        arguments = {
            "library": str(plugin_build.path), "kind": kind, "changes": changes or {},
            "capabilities": CAPABILITIES[:1] if capabilities is None else capabilities,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, str(SCRIPT), json.dumps(arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.rpartition("RESULT ")[2]), done.stdout + done.stderr

    return build


@pytest.mark.parametrize("dtype", [FLOAT, HALF])
def test_waveform_to_waveform(engine, dtype: int) -> None:
    result, _ = engine("chain", {"Stft": {"dtype": dtype}}, CAPABILITIES)
    assert result["creators"] == [["sgn", "Istft", "1"], ["sgn", "Stft", "1"]]
    assert result["layers"] == ["PLUGIN_V3", "ACTIVATION", "PLUGIN_V3"]
    assert result["outputs"] == {"sources": ["FLOAT", [-1, 1, SAMPLES]]}
    assert result["plans"].keys() == set(CAPABILITIES)
    assert result["names_in_plan"] == ["Stft", "Istft", "log_epsilon", "frequency_bins"]


def test_dynamic_sources(engine) -> None:
    result, _ = engine("masks")
    assert result["layers"] == ["PLUGIN_V3", "PLUGIN_V3"]
    assert result["outputs"] == {
        "sources": ["FLOAT", [-1, -1, SAMPLES]],
        "log_magnitude": ["HALF", [-1, 1, LOG_BINS, FRAMES]],
    }
    assert result["plans"].keys() == {"SM75"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # A float where an integer belongs arrives as its bits: 1149222912.
        ({"Stft": {"n_fft": 1022.0}}, "attribute n_fft: got"),
        ({"Stft": {"hop_length": 700}}, "attribute hop_length: got 700"),
        ({"Stft": {"log_epsilon": -1.0}}, "attribute log_epsilon: got -1"),
        ({"Istft": {"samples": 100}}, "attribute samples: got 100"),
        ({"Stft": {"dtype": 7}}, "attribute dtype: got 7"),
        ({"Istft": {"frequency_bins": 128}}, "bins of masks: got 256, expected 128"),
        ({"Istft": {"hop_length": 128}}, "frames of spectrum: got 256, expected 511"),
        ({"mask_type": 7}, "expected float32 or float16"),
    ],
    ids=str,
)
def test_wrong_graphs_fail_with_a_message(engine, changes: dict, message: str) -> None:
    """A parser's or builder's error, this library's message, and a process that goes on."""
    result, output = engine("masks", changes)
    assert result.get("failed") in ("parse", "build"), result
    assert message in output
