"""The published checkpoint's graphs become engines of TensorRT for RTX, for two GPUs, without one.

Figures are those of version 1.7.1, with a few percent of room: its builder does not always choose
the same kernels. What is more than a few off is a regression of the graph, or another version's
progress: look at ``sgn-rt build --json -`` and then change the number.
"""

from __future__ import annotations

import json
import sys

import pytest

from sgn_rt.bundle import Bundle
from sgn_rt.cli import main
from sgn_rt.contract import Kind, Precision
from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.builder import BuildOptions, build_engine
from sgn_rt.tensorrt.flavor import Flavor
from sgn_rt.tensorrt.sidecar import read_engine, read_sidecars

GPUS = ("sm89", "sm120")
AT_MOST = {
    # precision: kernels, casts, kernels that only move numbers, activation memory in MB
    "fp16": (93, 26, 16, 235),
    "fp32": (110, 2, 22, 260),
}
ATTENTIONS = {"fp16": 3, "fp32": 0}
"""As many as transformer blocks in half precision; TensorRT fuses none in float32."""


@pytest.fixture(scope="module")
def built(rtx, published) -> dict[str, dict]:
    """All four engines, by ``sgn-rt build``; their sidecars by name."""
    path = published / "built.json"
    arguments = ["sgn-rt", "build", published, "--flavor", "tensorrt-rtx", "--gpu", ",".join(GPUS),
                 "--precision", "fp16,fp32", "--json", path]  # fmt: skip
    before, sys.argv = sys.argv, [str(argument) for argument in arguments]
    try:
        with pytest.raises(SystemExit) as exit_:
            main()
    finally:
        sys.argv = before
    assert exit_.value.code == 0
    return json.loads(path.read_text())


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("precision", list(Precision))
def test_figures(built, gpu, precision):
    sidecar = built[f"waveform.{precision}.tensorrt-rtx.{gpu}"]
    figure = sidecar["figure"]
    kernels, casts, movers, megabytes = AT_MOST[precision]
    assert kernels - 12 <= figure["kernels"] <= kernels
    assert figure["casts"] <= casts
    assert figure["movers"] <= movers
    assert figure["attention"] == ATTENTIONS[precision]
    assert figure["norms"] == 0
    assert figure["network"]["CONVOLUTION"] + figure["network"]["DECONVOLUTION"] == 14
    assert 0 < figure["activation_bytes"] <= megabytes * 1_000_000
    assert figure["weights_bytes"] > 10_000_000
    assert sidecar["gpus"] == [gpu]
    assert (sidecar["proof"], sidecar["gpu_name"], sidecar["plugin"]) == (None, None, None)


def test_half_precision_halves_the_weights(built):
    weights = {
        precision: built[f"waveform.{precision}.tensorrt-rtx.sm89"]["figure"]["weights_bytes"]
        for precision in Precision
    }
    assert weights["fp16"] < 0.7 * weights["fp32"]


def test_all_are_in_the_bundle_and_whole(built, published):
    bundle = Bundle.open(published)
    sidecars = read_sidecars(bundle)
    assert [sidecar.name for sidecar in sidecars] == sorted(built)
    for sidecar in sidecars:
        assert len(read_engine(bundle, sidecar)) == sidecar.size
        assert sidecar.profiles["mixture"].largest == (8, bundle.config.window_samples)
        assert sidecar.profiles["categories"].largest == (11,)


def test_a_batch_norm_that_is_not_folded_shows(rtx, published, tmp_path):
    onnx = pytest.importorskip("onnx")
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
        root, config = bundle.root, bundle.config

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
    with pytest.raises(
        EngineError, match=r"tensorrt-rtx 1\..*waveform\.fp16: got .*Failed to parse the ONNX"
    ):
        build_engine(
            rtx, _with(bundle, artifact.path, b"no graph"), artifact, BuildOptions(gpus=("sm89",))
        )


def test_this_flavour_is_found(rtx):
    assert rtx.flavor == Flavor.RTX
    assert rtx.version >= (1, 7)
