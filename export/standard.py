"""A ``plugin`` graph in standard operators: the copy that runs where there is no TensorRT.

Each node of the plugin library is replaced by the same operation as the ``waveform`` graph has it,
made from that node's own attributes. All the rest stays as it is, so what the copy computes, but
for the two operations' own arithmetic, is what the graph says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import onnx
import torch
from onnx import NodeProto, helper

from sgn_rt.errors import ParityError
from sgn_rt.export.clean import clean
from sgn_rt.export.graphs import OPSET, quiet
from sgn_rt.export.plugin import PluginIstft, PluginStft, attributes
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import PLUGIN_NAMESPACE, PluginOp
from sgn_rt.model.plugin_part import plugins_part

_MODULES: Final[dict[PluginOp, Callable[[ModelConfig], torch.nn.Module]]] = {
    PluginOp.STFT: PluginStft,
    PluginOp.ISTFT: PluginIstft,
}


def standard_copy(graph: onnx.ModelProto, config: ModelConfig) -> onnx.ModelProto:
    """Replace the plugins' nodes by standard operators.

    Parameters
    ----------
    graph
        Of `sgn_rt.export.graphs.build_graph`, kind ``plugin``; not changed.
    config
        Of the model, for what the nodes do not say.

    Returns
    -------
    onnx.ModelProto
        The same inputs and outputs, checked; values keep their names.

    Raises
    ------
    ParityError
        If a node's attributes are none that the operation has.
    """
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    types = {v.name: v.type.tensor_type.elem_type for v in graph.graph.value_info}
    body: list[NodeProto] = []
    for node in graph.graph.node:
        if node.domain != PLUGIN_NAMESPACE:
            body.append(node)
            continue
        part = _part(node, config, [types.get(name, 1) for name in node.input])
        body += part.node
        result.graph.initializer.extend(part.initializer)
    del result.graph.node[:], result.opset_import[:]
    result.graph.node.extend(body)
    result.opset_import.extend(o for o in graph.opset_import if o.domain != PLUGIN_NAMESPACE)
    onnx.checker.check_model(result, full_check=True)
    return result


def _config(node: NodeProto, config: ModelConfig) -> ModelConfig:
    """The configuration that a node's attributes describe."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    given = {name: v.decode() if isinstance(v, bytes) else v for name, v in given.items()}
    sizes = {"n_fft", "hop_length", "frequency_bins", "log_epsilon"} & given.keys()
    changes = {name: given[name] for name in sizes}
    if "samples" in given:
        changes["window_samples"] = given["samples"]
    described = replace(plugins_part(config), **changes)
    expected = attributes(PluginOp(node.op_type), described)
    if given != expected:
        raise ParityError(
            f"{node.name}: got attributes {given}, expected {expected}. "
            "Export the checkpoint again."
        )
    return described


def _part(node: NodeProto, config: ModelConfig, types: list[int]) -> onnx.GraphProto:
    """The operation of a node in standard operators, between the node's own inputs and outputs."""
    op = PluginOp(node.op_type)
    config = _config(node, config)
    batch, sources = torch.export.Dim("batch"), torch.export.Dim("sources")
    if op == PluginOp.STFT:
        inputs: tuple[Any, ...] = (torch.zeros(2, config.window_samples),)
        shapes: tuple[Any, ...] = ({0: batch},)
    else:
        plane = (config.frequency_bins, config.frames)
        dtype = torch.float16 if types[1] == onnx.TensorProto.FLOAT16 else torch.float32
        inputs = (
            torch.zeros(2, config.frames, config.bins, 2),
            torch.zeros(2, 2, *plane, dtype=dtype),
        )
        shapes = ({0: batch}, {0: batch, 1: sources})
    module = _MODULES[op](config).eval()
    with quiet(), torch.inference_mode():
        program: Any = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            verbose=False,
            input_names=[f"in{i}" for i in range(len(node.input))],
            output_names=[f"out{i}" for i in range(len(node.output))],
            opset_version=OPSET,
            dynamic_shapes=shapes,
        )
    part = clean(program.model, name=node.name, metadata={}).graph
    outer = {f"in{i}": name for i, name in enumerate(node.input)}
    outer |= {f"out{i}": name for i, name in enumerate(node.output)}

    def renamed(name: str) -> str:
        return outer.get(name) or (name and f"{node.name}/{name}")

    for inner in part.node:
        inner.name = renamed(inner.name)
        inner.input[:] = map(renamed, inner.input)
        inner.output[:] = map(renamed, inner.output)
    for tensor in part.initializer:
        tensor.name = renamed(tensor.name)
    return part
