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
from torch import nn

import sgn_rt
from sgn_rt.export.clean import clean
from sgn_rt.export.cpu import CpuNetwork, GridMask
from sgn_rt.export.module_export import onnx_program, program_of
from sgn_rt.export.module_graphs import MODULES
from sgn_rt.export.network import Core, Mask, Masks, Network
from sgn_rt.export.plugin import Plugin, PluginNetwork, Synthesis, as_nodes
from sgn_rt.export.waveform import Waveform
from sgn_rt.export.weights import GraphWeights
from sgn_rt.model.contract import (
    BUNDLE_SCHEMA,
    DYNAMIC_AXES,
    OPTIONAL_OUTPUTS,
    Axis,
    GraphKey,
    Kind,
    Precision,
    body_of,
    type_of,
)
from sgn_rt.model.shapes import axes_in, axis_sizes, inputs_of, outputs_of
from sgn_rt.reference.model import Sgn
from sgn_rt.reference.module import ModuleReference
from sgn_rt.reference.spectral import Reference

OPSET: Final = 20
"""The first with Gelu; TensorRT's parsers and ONNX Runtime 1.20 take it, later ones not all."""

# The float32 core, and so its masks, is the CPU's; the others are made for GPUs, or any runtime.
_MODULES: Final[dict[Kind, type[Network]]] = {
    Kind.CORE: Core,
    Kind.WAVEFORM: Waveform,
    Kind.PLUGIN: Plugin,
}


def network_module(model: Reference, kind: Kind, precision: Precision) -> nn.Module:
    """As `export_module`, of a user's network, too."""
    if isinstance(model, ModuleReference):
        return MODULES[kind](model, half=precision == Precision.FP16).eval()
    return export_module(as_sgn(model), kind, precision)


def as_sgn(model: Reference) -> Sgn:
    """The network, which is ours."""
    assert isinstance(model, Sgn), "of another network there is no such graph"
    return model


def float_module(model: Sgn, kind: Kind, precision: Precision) -> Network:
    """As `export_module`, in float32 in every precision, weights not rounded."""
    is_for_cpu = (kind, body_of(kind, precision)) == (Kind.CORE, Precision.FP32)
    return (CpuNetwork if is_for_cpu else _MODULES[kind])(GraphWeights(model)).eval()


def export_module(model: Sgn, kind: Kind, precision: Precision) -> Network:
    """The PyTorch module that a graph is made from; it computes the same, rounding included.

    Running it in ``FP16`` on the CPU rounds after every operator, as the graph's types say. ONNX
    Runtime does not: it computes float16 operators that it lacks in float32. Of ``PLUGIN`` it is
    both halves, one behind the other. That of ``MASKS`` is `masks_module`.
    """
    module = float_module(model, kind, precision)
    return module if body_of(kind, precision) == Precision.FP32 else module.half_body()


def masks_module(precision: Precision) -> Masks:
    """As `export_module`, for ``MASKS``, which has no weights: it takes the core's basis maps."""
    return Masks(GridMask() if precision == Precision.FP32 else Mask()).eval()


def _traced(model: Reference, kind: Kind, precision: Precision) -> nn.Module:
    """The module that `build_graph` traces, with nodes for what the plugin library computes."""
    if isinstance(model, ModuleReference):
        module = network_module(model, kind, precision)
        return as_nodes(module) if kind == Kind.PLUGIN else module
    model = as_sgn(model)
    if kind == Kind.MASKS:
        return masks_module(precision)
    if kind == Kind.SYNTHESIS:
        return as_nodes(Synthesis(model.config)).eval()
    if kind != Kind.PLUGIN:
        return export_module(model, kind, precision)
    network = PluginNetwork(GraphWeights(model)).eval()
    is_half = body_of(kind, precision) == Precision.FP16
    return as_nodes(network.half_body() if is_half else network)


def _examples(model: Reference, kind: Kind, precision: Precision) -> tuple[torch.Tensor, ...]:
    """Inputs of a graph, of its types and shapes."""
    # Two of each: torch.export takes a size of one for a constant.
    sizes = axis_sizes(model.config) | {Axis.BATCH: 2, Axis.SOURCES: 2}
    if kind == Kind.MASKS:
        basis = masks_module(precision).basis_shape(as_sgn(model).config)
        sizes |= dict(zip((Axis.CHANNELS, Axis.ROWS, Axis.COLUMNS), basis, strict=True))
    return tuple(
        torch.zeros(
            [
                axis if isinstance(axis, int) else sizes[axis]
                for axis in axes_in(kind, name, model.config)
            ],
            dtype=getattr(torch, type_of(kind, name, precision)),
        )
        for name in inputs_of(kind, model.config)
    )


def build_graph(
    model: Reference, kind: Kind, precision: Precision, *, assignment: bool = False
) -> onnx.ModelProto:
    """Export a network.

    Parameters
    ----------
    model
        The reference, float32.
    kind, precision
        What the graph computes and in which number format. Names, axes and types of inputs and
        outputs are those of `sgn_rt.model.contract`.
    assignment
        Whether ``CORE`` gives its `OPTIONAL_OUTPUTS`, too; no other kind has any.

    Returns
    -------
    onnx.ModelProto
        Checked and shape-inferred. Two exports of the same weights are identical.
    """
    is_foreign = isinstance(model, ModuleReference)
    module = _traced(model, kind, precision)
    inputs, outputs = inputs_of(kind, model.config), outputs_of(kind, model.config)
    if assignment:
        assert isinstance(module, Core), kind
        module.gives_assignment, outputs = True, (*outputs, *OPTIONAL_OUTPUTS[kind])
    axes = {axis: torch.export.Dim(str(axis)) for axis in DYNAMIC_AXES}
    shapes = tuple(
        {
            i: axes[axis]
            for i, axis in enumerate(axes_in(kind, name, model.config))
            if axis in DYNAMIC_AXES
        }
        for name in inputs
    )
    examples = _examples(model, kind, precision)
    names = {"inputs": [str(name) for name in inputs], "outputs": [str(name) for name in outputs]}
    with quiet(), torch.inference_mode():
        program: Any
        if isinstance(model, ModuleReference):
            traced = program_of(module, examples, shapes, model.spec)
            program = onnx_program(traced, **names, opset=OPSET, spec=model.spec)
        else:
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                verbose=False,
                input_names=names["inputs"],
                output_names=names["outputs"],
                opset_version=OPSET,
                dynamic_shapes=shapes,
            )
    metadata = {
        GraphKey.CONFIG.value: json.dumps(model.config.to_dict()),
        GraphKey.KIND.value: str(kind),
        GraphKey.PRECISION.value: str(precision),
        GraphKey.SCHEMA.value: str(BUNDLE_SCHEMA),
        GraphKey.VERSION.value: sgn_rt.__version__,
    }
    name = f"sgn_{kind}_{precision}"
    return clean(program.model, name=name, metadata=metadata, foreign=is_foreign)


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
