"""Builds an engine of a plugin graph with TensorRT for RTX, without a GPU; run by test_rtx.py.

In a process of its own: its parser ends the process where it cannot open ``libtensorrt_rtx.so``, an
unversioned name that the package does not contain. A stub of that name, which needs the versioned
library, stands in.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

N_FFT, HOP, SAMPLES, LOG_BINS = 1022, 256, 65280, 256
FRAMES, BINS = SAMPLES // HOP + 1, N_FFT // 2 + 1


def load_stub(folder: str) -> None:
    import tensorrt_rtx_libs

    library = next(Path(tensorrt_rtx_libs.__file__).parent.glob("libtensorrt_rtx.so.*"))
    stub = Path(folder) / "libtensorrt_rtx.so"
    subprocess.run(
        [
            "cc",
            "-shared",
            "-o",
            stub,
            "-Wl,-soname,libtensorrt_rtx.so",
            "-Wl,--no-as-needed",
            library,
        ],
        check=True,
    )
    ctypes.CDLL(str(stub), mode=ctypes.RTLD_GLOBAL)


def graph(kind: str, changes: dict) -> bytes:
    """Stft and Istft around a stand-in for the network ("chain"), or with masks given ("masks")."""
    common = {
        "domain": "sgn", "plugin_version": "1", "plugin_namespace": "sgn",
        "n_fft": N_FFT, "hop_length": HOP, "window_length": N_FFT, "frequency_bins": LOG_BINS,
    }  # fmt: skip
    forward = common | {"log_epsilon": 1e-5, "dtype": TensorProto.FLOAT16} | changes.get("Stft", {})
    network = changes.get(
        "mask_type", forward["dtype"] if isinstance(forward["dtype"], int) else TensorProto.FLOAT16
    )
    mixture = helper.make_tensor_value_info("mixture", TensorProto.FLOAT, ["batch", SAMPLES])
    masks = helper.make_tensor_value_info(
        "masks", network, ["batch", "sources", changes.get("log_bins", LOG_BINS), FRAMES]
    )
    nodes = [
        helper.make_node("Stft", ["mixture"], ["spectrum", "log_magnitude"], name="stft", **forward)
    ]
    if kind == "chain":
        nodes.append(helper.make_node("Sigmoid", ["log_magnitude"], ["masks"], name="network"))
    inverse = common | {"samples": SAMPLES} | changes.get("Istft", {})
    nodes.append(
        helper.make_node("Istft", ["spectrum", "masks"], ["sources"], name="istft", **inverse)
    )
    outputs = [
        helper.make_tensor_value_info("sources", TensorProto.FLOAT, ["batch", "sources", SAMPLES])
    ]
    if kind == "masks":
        shape = ["batch", 1, LOG_BINS, FRAMES]
        outputs.append(helper.make_tensor_value_info("log_magnitude", network, shape))
    inputs = [mixture] if kind == "chain" else [mixture, masks]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("sgn", 1)]
    model = helper.make_model(
        helper.make_graph(nodes, "plugins", inputs, outputs), opset_imports=opsets, ir_version=10
    )
    return model.SerializeToString()


def build(library: str, kind: str, changes: dict, capabilities: list[str]) -> dict:
    import tensorrt_rtx as trt

    result: dict = {"version": trt.__version__, "onnx": onnx.__version__, "numpy": np.__version__}
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    registry = builder.get_plugin_registry()
    if registry.load_library(library) is None:
        return result | {"failed": "load_library"}
    result["creators"] = sorted(
        [c.plugin_namespace, c.name, c.plugin_version]
        for c in registry.all_creators
        if c.plugin_namespace == "sgn"
    )
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph(kind, changes)):
        return result | {
            "failed": "parse",
            "errors": [parser.get_error(i).desc() for i in range(parser.num_errors)],
        }
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    result["layers"] = [layer.type.name for layer in layers]
    tensors = {
        network.get_output(i).name: network.get_output(i) for i in range(network.num_outputs)
    }
    result["outputs"] = {
        name: [tensor.dtype.name, list(tensor.shape)] for name, tensor in tensors.items()
    }
    profile = builder.create_optimization_profile()
    profile.set_shape("mixture", (1, SAMPLES), (4, SAMPLES), (16, SAMPLES))
    if kind == "masks":
        bins = changes.get("log_bins", LOG_BINS)
        profile.set_shape(
            "masks", (1, 1, bins, FRAMES), (4, 3, bins, FRAMES), (16, 11, bins, FRAMES)
        )
    sizes = {}
    for capability in capabilities:
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
        config.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            return result | {"failed": "build"}
        data = bytes(plan)
        sizes[capability] = len(data)
        result["names_in_plan"] = [
            name
            for name in ("Stft", "Istft", "log_epsilon", "frequency_bins")
            if name.encode() in data
        ]
    return result | {"plans": sizes}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        load_stub(folder)
        arguments = json.loads(sys.argv[1])
        print("RESULT " + json.dumps(build(**arguments)), flush=True)
