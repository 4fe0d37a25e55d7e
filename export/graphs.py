"""ONNX graphs of a network: standard operators, dynamic batch and sources, reproducible bytes."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import onnx
import torch

import sgn_rt
from sgn_rt.export.clean import clean
from sgn_rt.export.cpu import CpuNetwork
from sgn_rt.export.network import Network
from sgn_rt.export.plugin import Plugin
from sgn_rt.export.waveform import Waveform
from sgn_rt.export.weights import GraphWeights
from sgn_rt.model.contract import (
    AXES,
    BUNDLE_SCHEMA,
    CHECKPOINT_CONFIG_KEY,
    DYNAMIC_AXES,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    Kind,
    Precision,
)
from sgn_rt.reference.model import Sgn

OPSET: Final = 20
"""The first with Gelu; TensorRT's parsers and ONNX Runtime 1.20 take it, later ones not all."""

# The float32 core is the CPU's graph; the others are made for GPUs, or for any runtime.
_MODULES: Final[dict[Kind, type[Network]]] = {
    Kind.CORE: Network,
    Kind.WAVEFORM: Waveform,
    Kind.PLUGIN: Plugin,
}


def float_module(model: Sgn, kind: Kind, precision: Precision) -> Network:
    """As `export_module`, in float32 in every precision, weights not rounded."""
    is_for_cpu = (kind, precision) == (Kind.CORE, Precision.FP32)
    return (CpuNetwork if is_for_cpu else _MODULES[kind])(GraphWeights(model)).eval()


def export_module(model: Sgn, kind: Kind, precision: Precision) -> Network:
    """The PyTorch module that a graph is made from; it computes the same, rounding included.

    Running it in ``FP16`` on the CPU rounds after every operator, as the graph's types say. ONNX
    Runtime does not: it computes float16 operators that it lacks in float32.
    """
    module = float_module(model, kind, precision)
    return module if precision == Precision.FP32 else module.half_body()


def build_graph(model: Sgn, kind: Kind, precision: Precision) -> onnx.ModelProto:
    """Export a network.

    Parameters
    ----------
    model
        The reference, float32.
    kind, precision
        What the graph computes and in which number format; inputs and outputs are float32 (and
        int64) in every precision. Names and axes are those of `sgn_rt.model.contract`.

    Returns
    -------
    onnx.ModelProto
        Checked and shape-inferred. Two exports of the same weights are identical.
    """
    module = export_module(model, kind, precision)
    if isinstance(module, Plugin):
        module.as_nodes()
    config = model.config
    inputs, outputs = GRAPH_INPUTS[kind], GRAPH_OUTPUTS[kind]
    signal = (
        torch.zeros(2, 1, config.frequency_bins, config.frames)
        if kind == Kind.CORE
        else torch.zeros(2, config.window_samples)
    )
    # Two of each: torch.export takes a size of one for a constant.
    categories = torch.zeros(2, dtype=torch.int64)
    axes = {axis: torch.export.Dim(str(axis)) for axis in DYNAMIC_AXES}
    shapes = tuple(
        {i: axes[axis] for i, axis in enumerate(AXES[name]) if axis in DYNAMIC_AXES}
        for name in inputs
    )
    with quiet(), torch.inference_mode():
        program: Any = torch.onnx.export(
            module,
            (signal, categories),
            dynamo=True,
            verbose=False,
            input_names=[str(name) for name in inputs],
            output_names=[str(name) for name in outputs],
            opset_version=OPSET,
            dynamic_shapes=shapes,
        )
    metadata = {
        CHECKPOINT_CONFIG_KEY: json.dumps(config.to_dict()),
        "sgn_kind": str(kind),
        "sgn_precision": str(precision),
        "sgn_schema": str(BUNDLE_SCHEMA),
        "sgn_rt_version": sgn_rt.__version__,
    }
    return clean(program.model, name=f"sgn_{kind}_{precision}", metadata=metadata)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter silent about what is not about the model."""
    # It reports at every call that torchvision, which nothing here needs, is not installed.
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # PyTorch's own use of its own deprecated tree type.
            warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*", FutureWarning)
            # Two inputs that share an axis, which is what is meant.
            warnings.filterwarnings("ignore", ".*axis name: batch will not be used", UserWarning)
            yield
    finally:
        log.setLevel(level)
