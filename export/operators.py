"""The layers of a graph, and a graph one operator at a time: each result rounded to its type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, helper, numpy_helper

from sgn_rt.export.checkpoint_values import Values

Run = Callable[[Values], Values]
"""Gives the layers for a graph's inputs."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A value that a node computes: its name in the graph, and the node's operator."""

    name: str
    operator: str


def types_of(graph: ModelProto) -> dict[str, int]:
    """Element type of every value that a node computes."""
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    return {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}


class OperatorByOperator:
    """Runs a graph one node at a time, so that every value is rounded to its type in the graph."""

    def __init__(self, graph: ModelProto, layers: list[Layer]) -> None:
        self._types = types_of(graph)
        self._graph, self._layers = graph, {layer.name for layer in layers}
        self._weights = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
        self._sessions: dict[bytes, onnxruntime.InferenceSession] = {}

    def __call__(self, feed: Values) -> Values:
        """Values of the layers for the graph's inputs."""
        values, found = self._weights | feed, {}
        for node in self._graph.graph.node:
            outputs = self.outputs(node, {name: values[name] for name in node.input if name})
            for name, value in zip(node.output, outputs, strict=True):
                values[name] = value
                if name in self._layers:
                    found[name] = value
        return found

    def outputs(self, node: NodeProto, inputs: Values) -> list[np.ndarray]:
        """What a node makes of its inputs."""
        alone = self._alone(node, inputs)
        if alone not in self._sessions:
            self._sessions[alone] = session_of(alone)
        made: list[np.ndarray] = self._sessions[alone].run(list(node.output), inputs)
        return made

    def _alone(self, node: NodeProto, inputs: Values) -> bytes:
        graph = helper.make_graph(
            [node],
            node.name,
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
                )
                for name, value in inputs.items()
            ],
            [helper.make_tensor_value_info(name, self._types[name], None) for name in node.output],
        )
        model = helper.make_model(
            graph, opset_imports=self._graph.opset_import, ir_version=self._graph.ir_version
        )
        content: bytes = model.SerializeToString()
        return content


def session_of(content: bytes) -> onnxruntime.InferenceSession:
    """A session for one small graph on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # of hundreds of sessions, each with its own
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
