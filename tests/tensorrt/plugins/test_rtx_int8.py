"""The published network in int8 becomes engines of TensorRT for RTX, whose kernels take int8.

Which these are, and their number, is on record in ``rtx_int8_figures.json``;
``SGN_RT_RECORD_FIGURES=1`` writes it anew.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgn_rt.model.contract import Kind, Precision
from sgn_rt.tensorrt.bindings import version_text
from sgn_rt.tensorrt.build import builder as builders
from sgn_rt.tensorrt.build.builder import build_engine
from sgn_rt.tensorrt.build.engine_summary import layers_from_log
from sgn_rt.tensorrt.build.options import BuildOptions

RECORD = Path(__file__).with_name("rtx_int8_figures.json")
KEPT = {f"encoder.{level}.conv" for level in range(4)}
"""As the export decides for this network; ranges of activations change no kernel."""
KERNEL = re.compile(r"Name: (?P<name>[^,]*), LayerType: \w+, Inputs: (?P<rest>.*)")


@pytest.fixture(scope="module", params=["sm89", "sm120"])
def engine(request, rtx, library, instruments):
    """The engine for a GPU, and each of its kernels with the types of all that goes in and out."""
    pytest.importorskip("onnx_ir")
    from sgn_rt.export.graphs import build_graph
    from sgn_rt.export.quantize import SCHEMES, layers_of, quantized, values_of

    body = build_graph(instruments, Kind.PLUGIN, Precision.INT8)
    layers = set(layers_of(body)) - KEPT
    ranges = dict.fromkeys(values_of(body), (-4.0, 4.0))
    graph = quantized(body, layers, ranges, SCHEMES[Kind.PLUGIN])
    content = graph.SerializeToString()
    bundle = SimpleNamespace(
        root=Path("published"), config=instruments.config, schema=3, read=lambda path: content
    )
    artifact = SimpleNamespace(
        path="plugin.int8.onnx", kind=Kind.PLUGIN, precision=Precision.INT8, external=(),
        name="plugin.int8",
    )  # fmt: skip
    kernels: dict[str, list[str]] = {}

    def kept(messages):
        for line in (line for text in messages for line in text.splitlines()):
            if match := KERNEL.match(line):
                kernels[match["name"]] = re.findall(r"Datatype: (\w+)", match["rest"])
        return layers_from_log(messages)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builders, "layers_from_log", kept)
        options = BuildOptions(gpus=(request.param,), max_batch=4)
        built = build_engine(rtx, bundle, artifact, options, library)
    found = SimpleNamespace(
        layers=layers, kernels=kernels, figure=built.figure.to_dict(), size=len(built.content)
    )
    if os.environ.get("SGN_RT_RECORD_FIGURES") == "1":
        in_int8 = sorted(layer for layer in layers if types_of(found, layer)[:2] == ["Int8"] * 2)
        record = {
            "version": version_text(rtx.version), "engine_bytes": found.size, "in_int8": in_int8,
            "figure": found.figure,
        }  # fmt: skip
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    return found


def types_of(engine: SimpleNamespace, layer: str) -> list[str]:
    """Types of what the kernel of a layer takes and gives: activations and weights come first."""
    found = [t for name, t in engine.kernels.items() if name.startswith(f"{layer}/")]
    return next((t for t in found if t[:2] == ["Int8"] * 2), found[0] if found else [])


def test_layers_in_int8_have_kernels_that_take_it(engine):
    assert len(engine.layers) == 15
    others = {
        layer: types
        for layer in engine.layers
        if (types := types_of(engine, layer))[:2] != ["Int8", "Int8"]
    }
    # For sm89 some builds of this very graph take half for the encoder's last three convolutions,
    # others int8. The transformer's products are int8 in all.
    assert set(others) <= {"encoder.4.conv", "encoder.5.conv", "encoder.6.conv"}, others


def test_what_stays_is_in_half_and_attention_is_one_kernel(engine):
    decoders = [t for name, t in engine.kernels.items() if "ConvTranspose" in name]
    assert len(decoders) == 7
    assert all(types[:2] == ["Half", "Half"] for types in decoders)
    assert engine.figure["attention"] == 3


def test_engines_in_int8_are_those_on_record(rtx, engine):
    record = json.loads(RECORD.read_text())
    if version_text(rtx.version) != record["version"]:
        pytest.skip(f"record of TensorRT for RTX {record['version']}, not {rtx.version}")
    assert record["in_int8"] == sorted(engine.layers)
    for what, room in (("kernels", 6), ("casts", 3), ("movers", 3)):
        assert engine.figure[what] <= record["figure"][what] + room, what
    assert engine.size <= 1.05 * record["engine_bytes"]
    assert engine.figure["weights_bytes"] <= 1.05 * record["figure"]["weights_bytes"]
