"""Graphs without weights of their own: they point into the checkpoint that lies beside them.

A safetensors file is raw little-endian tensors behind a header, which is what ONNX calls external
data. So a bundle ships its weights once, in half precision, and the float32 graph turns them into
float32 by nodes that a runtime folds when it loads: the same bits as the weights they replace.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from sgn_rt.errors import CheckpointError
from sgn_rt.export.weights import GraphWeights
from sgn_rt.model.contract import Precision
from sgn_rt.model.safetensors_file import Header, read_header
from sgn_rt.model.weight_recipes import Pick, Recipe, Reshape, Scale, Transpose
from sgn_rt.reference import load

INLINE_BYTES: Final = 8192
"""Weights up to this size stay in the graph: biases and gains, not worth nodes of their own."""

_TYPES: Final = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}


def share_weights(graph: onnx.ModelProto, checkpoint: str | Path) -> onnx.ModelProto:
    """Replace the weights of a float32 graph by references into its checkpoint.

    Parameters
    ----------
    graph
        Of `sgn_rt.export.graphs.build_graph` in ``FP32``; not changed.
    checkpoint
        The safetensors file that the graph was exported from. The result needs it, unchanged and
        under the same name, in its own folder.

    Returns
    -------
    onnx.ModelProto
        The same function, to the bit. Its size is that of its constants.

    Raises
    ------
    CheckpointError
        If the graph is not float32, or not of this checkpoint.
    """
    path = Path(checkpoint)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    if metadata.get("sgn_precision") != Precision.FP32:
        raise CheckpointError(
            f"shared weights: got a graph in {metadata.get('sgn_precision')!r}, expected "
            f"{str(Precision.FP32)!r}. Keep the weights of other graphs inside of them."
        )
    weights = GraphWeights(load(path))
    header = read_header(path)
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    kept: list[TensorProto] = []
    nodes: list[NodeProto] = []
    sources: dict[str, TensorProto] = {}
    for tensor in result.graph.initializer:
        recipe = weights.recipes.get(tensor.name)
        value = numpy_helper.to_array(tensor)
        if recipe is not None and not np.array_equal(recipe.value(weights.tensors), value):
            raise CheckpointError(
                f"shared weights: got a graph whose {tensor.name} differs from {path.name}, "
                "expected the checkpoint that it was exported from. Export the graph again."
            )
        if recipe is None or value.nbytes <= INLINE_BYTES:
            kept.append(tensor)
            continue
        for name in recipe.sources:
            if name not in sources:
                sources[name] = _external(name, path.name, header)
                nodes.append(_widen(name, sources[name]))
        made, constants = _nodes(tensor.name, recipe)
        nodes += made
        kept += constants
    body = list(result.graph.node)
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend([*nodes, *body])
    result.graph.initializer.extend([*sources.values(), *kept])
    return result


def _external(name: str, location: str, header: Header) -> TensorProto:
    entry = header.tensors[name]
    tensor = TensorProto(
        name=f"checkpoint/{name}",
        dims=entry.shape,
        data_type=_TYPES[entry.dtype],
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", location), ("offset", entry.offset), ("length", entry.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _operator(step: Reshape | Pick | Scale) -> tuple[str, list[NDArray[Any]]]:
    """Operator of a step and its inputs behind the first."""
    if isinstance(step, Scale):
        return "Mul", [step.factor]
    if isinstance(step, Reshape):
        return "Reshape", [np.array(step.shape, np.int64)]
    # Counting down, an end below every index means "to the first item".
    ends = [np.iinfo(np.int64).min if step.step < 0 else np.iinfo(np.int64).max] * 2
    values = (step.starts, ends, step.axes, [step.step] * 2)
    return "Slice", [np.array(value, np.int64) for value in values]


def _wide(name: str) -> str:
    """Name in the graph of a checkpoint's tensor in float32."""
    return f"checkpoint/{name}/float32"


def _widen(name: str, source: TensorProto) -> NodeProto:
    return helper.make_node("Cast", [source.name], [_wide(name)], _wide(name), to=TensorProto.FLOAT)


def _nodes(name: str, recipe: Recipe) -> tuple[list[NodeProto], list[TensorProto]]:
    """The recipe as nodes, the last of them with the output ``name``, and their constants."""
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []

    def emit(operator: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{name}/{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    values = [_wide(source) for source in recipe.sources]
    value = values[0] if len(values) == 1 else emit("Concat", values, axis=1)
    for step in recipe.steps:
        if isinstance(step, Transpose):
            value = emit("Transpose", [value], perm=step.order)
            continue
        operator, arrays = _operator(step)
        inputs = [f"{name}/{len(nodes)}.input{i}" for i in range(1, len(arrays) + 1)]
        constants += map(numpy_helper.from_array, arrays, inputs)
        value = emit(operator, [value, *inputs])
    if not nodes:
        emit("Identity", [value])
    nodes[-1].output[0] = name
    return nodes, constants
