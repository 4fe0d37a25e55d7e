"""Engines of the published network's ``plugin`` graphs: what TensorRT for RTX makes of them.

What they consist of is on record in ``rtx_layers.json``, by precision. ``SGN_RT_RECORD_LAYERS=1``
writes it anew: do so where a change is meant, and look at the difference.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from sgn_rt.contract import Kind, Precision

from .conftest import missing

SCRIPT = Path(__file__).with_name("rtx_network.py")
RECORD = Path(__file__).with_name("rtx_layers.json")
CAPABILITIES = ["SM80", "SM89"]


@pytest.fixture(scope="module")
def engines(plugin_build: SimpleNamespace, instruments, tmp_path_factory) -> dict[Precision, dict]:
    """Precision -> what came of building, and the graph."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        missing("no tensorrt-rtx package")
    if shutil.which("cc") is None:
        missing("no C compiler")
    from sgn_rt.export.graphs import build_graph

    folder = tmp_path_factory.mktemp("engines")
    built = {}
    for precision in Precision:
        graph = build_graph(instruments, Kind.PLUGIN, precision)
        path = folder / f"{precision}.onnx"
        path.write_bytes(graph.SerializeToString(deterministic=True))
        arguments = {
            "library": str(plugin_build.path), "graph": str(path), "capabilities": CAPABILITIES,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, str(SCRIPT), json.dumps(arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        result = json.loads(done.stdout.rpartition("RESULT ")[2])
        assert "failed" not in result, result
        built[precision] = result | {"graph": graph}
    if os.environ.get("SGN_RT_RECORD_LAYERS") == "1":
        record = {"version": built[Precision.FP16]["version"]} | {
            str(precision): built[precision]["engines"][CAPABILITIES[0]] for precision in Precision
        }
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    return built


@pytest.mark.parametrize("precision", Precision)
def test_the_parser_takes_all_of_it(engines, precision: Precision) -> None:
    result, nodes = engines[precision], [n.op_type for n in engines[precision]["graph"].graph.node]
    # That categories are int64 is the contract's, and the only thing it remarks on.
    assert all("Int64 binding" in problem for problem in result["problems"]), result["problems"]
    parsed = result["parsed"]
    assert parsed["PLUGIN_V3"] == 2
    assert "SCALE" not in parsed  # what it makes of a BatchNorm
    for layer, node in (
        ("CONVOLUTION", "Conv"), ("DECONVOLUTION", "ConvTranspose"),
        ("MATRIX_MULTIPLY", "MatMul"), ("NORMALIZATION", "LayerNormalization"),
        ("SOFTMAX", "Softmax"),
    ):  # fmt: skip
        assert parsed[layer] == nodes.count(node), layer


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("precision", Precision)
def test_kernels(engines, precision: Precision, capability: str) -> None:
    result, graph = engines[precision]["engines"][capability], engines[precision]["graph"]
    assert result["plugins"] == ["stft/Stft", "istft/Istft"]
    nodes = [node.op_type for node in graph.graph.node]
    # All casts are part of another kernel, all activations too but where a skip is laid out.
    assert result["only_casts"] == 0
    blocks = nodes.count("Softmax") - 1  # the other is the grouping's
    assert blocks == 3
    assert result["attention"] == (blocks if precision == Precision.FP16 else 0)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("precision", Precision)
def test_kernels_are_those_on_record(engines, precision: Precision, capability: str) -> None:
    record = json.loads(RECORD.read_text())
    version = engines[precision]["version"]
    if version != record["version"]:
        pytest.skip(f"record of TensorRT for RTX {record['version']}, not {version}")
    assert engines[precision]["engines"][capability] == record[precision]


def test_the_checker_takes_the_graphs(engines) -> None:
    for result in engines.values():
        onnx.checker.check_model(result["graph"], full_check=True)
