"""A graph as it would be in float32: no half precision, and nothing in int8."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper


def widened(graph: ModelProto, weights: Mapping[str, np.ndarray]) -> ModelProto:
    """The same graph with float32 for every float16, and ``weights`` in the place of its own."""
    result = ModelProto()
    result.CopyFrom(graph)
    body = result.graph
    del body.value_info[:]
    put(body, weights)
    own = [_wide(tensor) for tensor in body.initializer]
    del body.initializer[:]
    body.initializer.extend(own)
    for value in (*body.input, *body.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in body.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                attribute.t.CopyFrom(_wide(attribute.t))
            is_target = node.op_type == "Cast" and attribute.name == "to"
            if is_target and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    onnx.checker.check_model(result, full_check=True)
    return result


def put(body: GraphProto, weights: Mapping[str, np.ndarray]) -> None:
    """Give a graph weights in the place of those that it has, or makes, under their names."""
    kept = [node for node in body.node if not set(node.output) & weights.keys()]
    own = [tensor for tensor in body.initializer if tensor.name not in weights]
    del body.node[:], body.initializer[:]
    body.node.extend(kept)
    body.initializer.extend(own)
    body.initializer.extend(numpy_helper.from_array(v, name) for name, v in weights.items())


def _wide(tensor: TensorProto) -> TensorProto:
    if tensor.data_type != TensorProto.FLOAT16:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)


def without_int8(graph: ModelProto) -> ModelProto:
    """The graph that `sgn_rt.export.quantize.quantized` was given, but for what int8 has rounded.

    Weights are what their integers stand for; activations are not rounded at all. Values keep their
    names. A graph without int8 comes back as it is.
    """
    if not any(node.op_type == "DequantizeLinear" for node in graph.graph.node):
        return graph
    result = ModelProto()
    result.CopyFrom(graph)
    body = result.graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    outputs = {value.name for value in body.output}
    same: dict[str, str] = {}
    made: dict[str, np.ndarray] = {}
    nodes: list[NodeProto] = []
    for node in body.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            nodes.append(node)
        elif node.input[0] in held:  # a weight or bias, which several nodes may share
            name = node.output[0].partition(":")[0]
            same[node.output[0]] = name
            made[name] = _dequantized(node, held)
        else:
            same[node.output[0]] = node.input[0]
    given = {same[name]: name for name in outputs if name in same}
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [given.get(name, name) for name in names]
    used = {name for node in nodes for name in node.input}
    kept = [t for t in body.initializer if t.name in used and t.name not in made]
    del body.node[:], body.initializer[:], body.value_info[:]
    body.node.extend(nodes)
    body.initializer.extend(kept)
    body.initializer.extend(numpy_helper.from_array(value, name) for name, value in made.items())
    onnx.checker.check_model(result)
    return result


def _dequantized(node: NodeProto, held: Mapping[str, np.ndarray]) -> np.ndarray:
    integers, scale = (held[name] for name in node.input[:2])
    axis = next(helper.get_attribute_value(a) for a in node.attribute if a.name == "axis")
    shape = [1] * integers.ndim
    shape[axis] = -1
    value: np.ndarray = integers.astype(scale.dtype) * scale.reshape(shape)
    return value
