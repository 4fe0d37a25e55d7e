"""A graph with both plugins becomes an engine that holds them."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from sgn_rt.contract import (
    PLUGIN_ATTRIBUTES,
    PLUGIN_NAMESPACE,
    PLUGIN_VERSION,
    Kind,
    PluginOp,
    Precision,
)
from sgn_rt.errors import ConfigError, PluginError
from sgn_rt.tensorrt.builder import BuildOptions, build_engine
from sgn_rt.tensorrt.plugin_probe import build_probe


@pytest.fixture(scope="module")
def library(rtx):
    """The plugin library: the one that is there, or built into the user's cache."""
    from sgn_rt.plugins.build import build_library
    from sgn_rt.plugins.find import find_library

    try:
        try:
            return find_library()
        except PluginError:
            return build_library()
    except PluginError as error:
        pytest.skip(str(error))


def graph(config) -> bytes:
    """Mixture to sources: forward, a stand-in for the network, inverse."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    sizes = {
        "n_fft": config.n_fft, "hop_length": config.hop_length, "window_length": config.n_fft,
        "frequency_bins": config.frequency_bins, "samples": config.window_samples,
        "log_epsilon": config.log_epsilon, "dtype": types.FLOAT,
    }  # fmt: skip

    def node(op, inputs, outputs):
        attributes = {name: sizes[name] for name in PLUGIN_ATTRIBUTES[op]}
        return helper.make_node(
            str(op), inputs, outputs, name=str(op).lower(), domain=PLUGIN_NAMESPACE,
            plugin_version=PLUGIN_VERSION, plugin_namespace=PLUGIN_NAMESPACE, **attributes,
        )  # fmt: skip

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    def constant(name, values):
        return helper.make_tensor(name, types.INT64, [len(values)], values)

    categories = len(config.categories)
    plane = [config.frequency_bins * config.frames]
    nodes = [
        node(PluginOp.STFT, ["mixture"], ["spectrum", "log_magnitude"]),
        helper.make_node("Sigmoid", ["log_magnitude"], ["mask"], name="network"),
        helper.make_node("Cast", ["categories"], ["wanted"], name="cast", to=types.FLOAT),
        helper.make_node("Unsqueeze", ["wanted", "axes"], ["weights"], name="weights"),
        helper.make_node("Mul", ["mask", "weights"], ["masks"], name="masks"),
        node(PluginOp.ISTFT, ["spectrum", "masks"], ["sources"]),
        helper.make_node("Reshape", ["log_magnitude", "flat"], ["rows"], name="rows"),
        helper.make_node("Slice", ["rows", "zero", "c", "one"], ["presence"], name="presence"),
        helper.make_node("Slice", ["rows", "zero", "cd", "one"], ["part"], name="part"),
        helper.make_node("Reshape", ["part", "shape"], ["embedding"], name="embedding"),
    ]  # fmt: skip
    initializers = [
        constant("axes", [1, 2]), constant("flat", [-1, *plane]), constant("zero", [0]),
        constant("c", [categories]), constant("one", [1]),
        constant("cd", [categories * config.embedding_dim]),
        constant("shape", [-1, categories, config.embedding_dim]),
    ]  # fmt: skip
    made = helper.make_graph(
        nodes, "plugins",
        [value("mixture", types.FLOAT, ["batch", config.window_samples]),
         value("categories", types.INT64, ["sources"])],
        [value("sources", types.FLOAT, ["batch", "sources", config.window_samples]),
         value("presence", types.FLOAT, ["batch", categories]),
         value("embedding", types.FLOAT, ["batch", categories, config.embedding_dim])],
        initializers,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(PLUGIN_NAMESPACE, 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=10)
    return model.SerializeToString()


@pytest.mark.parametrize("gpu", ["sm89", "sm120"])
def test_both_plugins_are_in_the_engine(rtx, library, small_config, tmp_path, gpu):
    config = small_config(n_fft=1022, hop_length=256, frequency_bins=256, frames=256)
    content = graph(config)
    artifact = SimpleNamespace(
        path="plugin.fp32.onnx", kind=Kind.WAVEFORM, precision=Precision.FP32, external=(),
        name="plugin.fp32",
    )  # fmt: skip
    bundle = SimpleNamespace(root=tmp_path, config=config, read=lambda path: content)
    built = build_engine(rtx, bundle, artifact, BuildOptions(gpus=(gpu,)), plugins=library)
    assert [name.split("_")[0] for name in built.figure.plugins] == ["stft", "istft"]
    assert built.figure.network["PLUGIN_V3"] == 2
    assert b"Istft" in built.content


@pytest.mark.parametrize("precision", list(Precision))
def test_the_probe_of_the_plugins_builds(rtx, library, small_config, precision):
    config = small_config(n_fft=1022, hop_length=256, frequency_bins=256, frames=256)
    content = build_probe(rtx, config, precision, library, "sm89")
    assert b"Stft" in content
    assert b"Istft" in content
    with pytest.raises(ConfigError, match="gpu: got 'sm90'"):
        build_probe(rtx, config, precision, library, "sm90")


def test_the_parser_does_not_end_the_process(library, tmp_path):
    """In a new process, where nothing has loaded the library under its unversioned name."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from sgn_rt.tensorrt.flavor import Flavor, load, load_plugins\n"
        "trt = load(Flavor.RTX)\n"
        "builder = trt.module.Builder(trt.module.Logger())\n"
        "registry = builder.get_plugin_registry()\n"
        "load_plugins(trt, registry, Path(sys.argv[1]))\n"
        "load_plugins(trt, registry, Path(sys.argv[1]))\n"
        "import ctypes\n"
        "ctypes.CDLL('libtensorrt_rtx.so').getInferLibVersion\n"
    )
    subprocess.run([sys.executable, script, library], check=True, capture_output=True)
