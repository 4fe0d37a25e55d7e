"""The published checkpoint's graphs become engines of TensorRT for RTX, for two GPUs, without one.

What they consist of is on record in ``rtx_figures.json``. ``SGN_RT_RECORD_FIGURES=1`` writes it
anew: do so where a change is meant, and look at the difference.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path

import onnx
import pytest

from sgn_rt.cli import main
from sgn_rt.errors import EngineError
from sgn_rt.export.engine_layers import build_with_layers
from sgn_rt.export.layerwise import layers_of
from sgn_rt.export.pair import load_graph
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import FLOATS, Kind, Precision, partner
from sgn_rt.tensorrt.bindings import Flavor, version_text
from sgn_rt.tensorrt.build import builder as builders
from sgn_rt.tensorrt.build.builder import build_engine
from sgn_rt.tensorrt.build.engine_summary import layers_from_log
from sgn_rt.tensorrt.build.options import BuildOptions
from sgn_rt.tensorrt.engine_files import halves_of, read_engine, read_sidecars

from .conftest import GRAPHS, NETWORKS

GPUS = ("sm89", "sm120")
RECORD = Path(__file__).with_name("rtx_figures.json")
ROOM = {"kernels": 6, "casts": 3, "movers": 3}
"""More than on record is a regression; a few, as the builder does not always choose the same."""

ENGINES = [(*graph, gpu) for graph, gpu in product(GRAPHS, GPUS)]
each_engine = pytest.mark.parametrize(("kind", "precision", "gpu"), ENGINES, ids=str)
WHOLE = "whole, before the cut"
"""On record beside the pairs: kernels of the plugin graphs when one engine went to the sources."""
PLUGINS = {Kind.WAVEFORM: [], Kind.PLUGIN: ["stft/Stft"], Kind.SYNTHESIS: ["istft/Istft"]}


def command(*arguments: object) -> None:
    """``sgn-rt`` with these arguments, in this process."""
    before, sys.argv = sys.argv, ["sgn-rt", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as exit_:
            main()
    finally:
        sys.argv = before
    assert exit_.value.code == 0


@pytest.fixture(scope="module")
def built(rtx, library, published) -> dict[str, dict]:
    """All engines, by ``sgn-rt build``; their sidecars by name."""
    sidecars = {}
    for kind, group in groupby(NETWORKS, key=itemgetter(0)):
        path = published / "built.json"
        precisions = ",".join(precision for _, precision in group)
        command("build", published, "--flavor", "tensorrt-rtx", "--gpu", ",".join(GPUS),
                "--precision", precisions, "--kind", kind, "--json", path)  # fmt: skip
        sidecars |= json.loads(path.read_text())
    if os.environ.get("SGN_RT_RECORD_FIGURES") == "1":
        figures = {
            f"{kind}.{precision}": sidecars[name_of(kind, precision, GPUS[0])]["figure"]
            for kind, precision in GRAPHS
        }
        whole = json.loads(RECORD.read_text())[WHOLE]
        record = {"version": version_text(rtx.version), WHOLE: whole} | figures
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    return sidecars


def name_of(kind: Kind, precision: Precision, gpu: str) -> str:
    return f"{kind}.{precision}.tensorrt-rtx.{gpu}"


@each_engine
def test_what_the_graph_is_made_for_is_in_the_engine(built, published, kind, precision, gpu):
    figure = built[name_of(kind, precision, gpu)]["figure"]
    nodes = [n.op_type for n in onnx.load(published / f"{kind}.{precision}.onnx").graph.node]
    plugins = [name.partition("_myl")[0] for name in figure["plugins"]]
    assert plugins == PLUGINS[kind]
    assert figure["network"].get("PLUGIN_V3", 0) == len(plugins)
    assert figure["norms"] == 0
    # One kernel for each transformer block's attention; TensorRT fuses none in float32.
    blocks = max(0, nodes.count("Softmax") - 1)  # the other is the grouping's
    assert blocks == (0 if kind == Kind.SYNTHESIS else 3)
    assert figure["attention"] == (blocks if precision == Precision.FP16 else 0)
    for layer, node in (
        ("CONVOLUTION", "Conv"), ("DECONVOLUTION", "ConvTranspose"),
        ("MATRIX_MULTIPLY", "MatMul"), ("NORMALIZATION", "LayerNormalization"),
        ("SOFTMAX", "Softmax"),
    ):  # fmt: skip
        assert figure["network"].get(layer, 0) == nodes.count(node), layer


@each_engine
def test_figures_are_those_on_record(rtx, built, kind, precision, gpu):
    record = json.loads(RECORD.read_text())
    if version_text(rtx.version) != record["version"]:
        pytest.skip(f"record of TensorRT for RTX {record['version']}, not {rtx.version}")
    figure = built[name_of(kind, precision, gpu)]["figure"]
    expected = record[f"{kind}.{precision}"]
    for what, room in ROOM.items():
        assert figure[what] <= expected[what] + room, what
    assert figure["weights_bytes"] <= 1.05 * expected["weights_bytes"]
    assert (figure["weights_bytes"] == 0) == (kind == Kind.SYNTHESIS)
    live, bulk = figure["activation_bytes"]
    assert 0 < live < bulk
    for size, most in zip((live, bulk), expected["activation_bytes"], strict=True):
        assert size <= 1.05 * most


def _both(record, precision: Precision) -> Counter:
    """Of network and synthesis together."""
    total: Counter = Counter()
    for kind in (Kind.PLUGIN, Kind.SYNTHESIS):
        figure = record[f"{kind}.{precision}"]
        total.update({what: figure[what] for what in (*ROOM, "weights_bytes")})
        total["activation_bytes"] += figure["activation_bytes"][-1]
    return total


def test_plugins_and_half_precision_save_what_they_are_for():
    record = json.loads(RECORD.read_text())
    for precision in (Precision.FP32, Precision.FP16):
        pair, waveform = _both(record, precision), record[f"{Kind.WAVEFORM}.{precision}"]
        for what in ("kernels", "weights_bytes"):
            assert pair[what] < waveform[what], what
        assert pair["activation_bytes"] < waveform["activation_bytes"][-1]
    for kind in (Kind.WAVEFORM, Kind.PLUGIN):
        half, full = (record[f"{kind}.{p}"] for p in (Precision.FP16, Precision.FP32))
        assert half["weights_bytes"] < 0.7 * full["weights_bytes"]


def test_the_cut_costs_no_more_than_a_kernel():
    """Weights lie in the network alone. What one context held is now in two."""
    record = json.loads(RECORD.read_text())
    for precision, whole in record[WHOLE].items():
        pair = _both(record, Precision(precision))
        for what in ("kernels", "casts", "movers"):
            assert pair[what] <= whole[what] + 1, what
        assert pair["weights_bytes"] <= whole["weights_bytes"] + 1024
        network = record[f"{Kind.PLUGIN}.{precision}"]["activation_bytes"][-1]
        assert network < 0.5 * whole["activation_bytes"]


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.FP32])
def test_nothing_rearranges_basis_maps_at_the_cut(rtx, library, published, monkeypatch, precision):
    """They leave with the last convolution, and are read by the product that makes masks."""
    lines = {}
    for kind in (Kind.PLUGIN, Kind.SYNTHESIS):

        def kept(messages, kind=kind):
            lines[kind] = [line for text in messages for line in text.splitlines()]
            return layers_from_log(messages)

        monkeypatch.setattr(builders, "layers_from_log", kept)
        bundle = Bundle.open(published)
        artifact = bundle.find(kind, precision)
        build_engine(rtx, bundle, artifact, BuildOptions(gpus=("sm89",), max_batch=4), library)
    layers = {kind: [line for line in of if ", LayerType: " in line] for kind, of in lines.items()}
    (maker,) = (x for x in layers[Kind.PLUGIN] if "Name: basis," in x.partition("Outputs:")[2])
    (reader,) = (x for x in layers[Kind.SYNTHESIS] if "Name: basis," in x.partition("Outputs:")[0])
    assert "LayerType: deconv," in maker
    assert "LayerType: kgen," not in reader
    assert "Fc" in reader.partition(",")[0]


def test_all_are_in_the_bundle_and_whole(built, published):
    bundle = Bundle.open(published)
    sidecars = {sidecar.name: sidecar for sidecar in read_sidecars(bundle)}
    assert sorted(sidecars) == sorted(built)
    for kind, precision, gpu in ENGINES:
        sidecar = sidecars[name_of(kind, precision, gpu)]
        assert len(read_engine(bundle, sidecar)) == sidecar.size
        largest = [next(iter(p.values())).largest[0] for p in sidecar.profiles]
        assert largest == [4, sidecar.max_batch] == [4, 8]
        assert sidecar.max_sources == (None if kind == Kind.PLUGIN else 11)
        second = partner(kind, precision)
        halves = [sidecar] if second is None else [sidecar, sidecars[name_of(*second, gpu)]]
        assert halves_of(bundle, sidecar) == halves
        assert (sidecar.gpus, sidecar.gpu_name, sidecar.proof) == ((gpu,), None, None)
        assert (sidecar.plugin is None) == (kind == Kind.WAVEFORM)


def test_info_lists_them(built, published, capsys):
    command("info", published)
    shown = capsys.readouterr().out
    command("info", published, "--json", "-")
    assert json.loads(capsys.readouterr().out)["engines"] == built
    assert all(name in shown for name in built)
    assert "unproved until its first start" in shown


@pytest.mark.parametrize("precision", FLOATS)
def test_an_engine_can_give_out_its_layers(rtx, library, built, published, precision):
    bundle = Bundle.open(published)
    artifact = bundle.find(Kind.PLUGIN, precision)
    figure = build_with_layers(rtx, bundle, artifact, "sm89").figure
    assert len(layers_of(load_graph(bundle, artifact))) > 100
    whole = built[name_of(Kind.PLUGIN, precision, "sm89")]["figure"]
    assert len(figure.plugins) == 2
    # Each comes out, so nothing that has one inside of it is fused.
    assert figure.attention == 0
    assert figure.kernels > whole["kernels"]


def test_a_batch_norm_that_is_not_folded_shows(rtx, published, tmp_path):
    bundle = Bundle.open(published)
    artifact = bundle.find(Kind.WAVEFORM, Precision.FP32)
    graph = onnx.load_from_string(bundle.read(artifact.path))
    first = next(node for node in graph.graph.node if node.op_type == "Conv")
    channels = next(
        tensor.dims[0] for tensor in graph.graph.initializer if tensor.name == first.input[1]
    )
    for name in ("scale", "bias", "mean", "var"):
        graph.graph.initializer.append(
            onnx.numpy_helper.from_array(_ramp(channels), f"norm.{name}")
        )
    behind = first.output[0]
    first.output[0] = "unfolded"
    norm = onnx.helper.make_node(
        "BatchNormalization",
        ["unfolded", *(f"norm.{name}" for name in ("scale", "bias", "mean", "var"))],
        [behind], name="norm",
    )  # fmt: skip
    at = list(graph.graph.node).index(first) + 1
    graph.graph.node.insert(at, norm)
    unfolded = _with(bundle, artifact.path, graph.SerializeToString())
    figure = build_engine(rtx, unfolded, artifact, BuildOptions(gpus=("sm89",))).figure
    assert figure.norms == 1


def _ramp(channels: int):
    import numpy as np

    return np.linspace(0.5, 1.5, channels, dtype=np.float32)


def _with(bundle, name, content):
    class Changed:
        root, config, schema = bundle.root, bundle.config, bundle.schema

        @staticmethod
        def read(path):
            return content if path == name else bundle.read(path)

    return Changed


def test_turing_is_refused_with_the_builders_own_reason(rtx, published):
    bundle = Bundle.open(published)
    artifact = bundle.find(Kind.WAVEFORM, Precision.FP32)
    with pytest.raises(EngineError, match=r"for sm75: .*FP32 GEMM is not supported"):
        build_engine(rtx, bundle, artifact, BuildOptions(gpus=("sm75",)))


def test_progress_grows_to_its_end_and_can_stop_the_build(rtx, published):
    bundle = Bundle.open(published)
    artifact = bundle.find(Kind.WAVEFORM, Precision.FP16)
    options, told = BuildOptions(gpus=("sm89",)), []
    build_engine(rtx, bundle, artifact, options, progress=told.append)
    assert told == sorted(told)
    assert 0.0 <= told[0] < 0.1
    assert told[-1] == 1.0

    def stop(done: float) -> None:
        if done > 0.1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(rtx, bundle, artifact, options, progress=stop)


def test_a_graph_that_does_not_parse_names_its_reason(rtx, published):
    bundle = Bundle.open(published)
    artifact = bundle.find(Kind.WAVEFORM, Precision.FP16)
    graph = onnx.load_model_from_string(bundle.read(artifact.path))
    graph.graph.node[0].op_type = "Nonsense"
    changed = _with(bundle, artifact.path, graph.SerializeToString())
    with pytest.raises(
        EngineError, match=r"tensorrt-rtx 1\..*waveform\.fp16: got .*Plugin not found"
    ):
        build_engine(rtx, changed, artifact, BuildOptions(gpus=("sm89",)))


def test_this_flavour_is_found(rtx):
    assert rtx.flavor == Flavor.RTX
    assert rtx.version >= (1, 7)
