"""Where inside of a graph an error begins: every weight and every layer against the checkpoint.

A parity stage says that sources or masks are off; this says which layer departs first. The truth of
a weight, and of an operator that takes one, is PyTorch's (`sgn_rt.export.checkpoint_values`). That
of the operators between them is the graph's own in float32, with the checkpoint's weights in the
place of its own; an error of theirs shows at the next operator with a weight, too. Polygraphy runs
both sides and compares. So whatever a layer differs by is its weights, number format, kernels and
inputs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from polygraphy.backend.base import BaseRunner
from polygraphy.backend.onnx import modify_outputs
from polygraphy.backend.onnx.util import get_input_metadata
from polygraphy.comparator import Comparator, SnrCompareFunc
from polygraphy.exception import PolygraphyException
from polygraphy.logger import G_LOGGER

from sgn_rt.errors import EngineError
from sgn_rt.export.checkpoint_values import CheckpointValues, Values
from sgn_rt.export.float32 import widened, without_int8
from sgn_rt.export.layer_result import LIMITS, WEIGHT, WEIGHT_LIMITS, LayerResult
from sgn_rt.export.pair import load_graph
from sgn_rt.export.standard import standard_copy
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import Kind, Precision, Tensor
from sgn_rt.model.probe import Probe

Run = Callable[[Values], Values]

MOVERS: Final = frozenset(
    (
        *("Concat", "Constant", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape"),
        *("Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    )
)
"""Operators that compute nothing: what is wrong behind them was wrong before, or shows behind."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A value that a node computes: its name in the graph, and the node's operator."""

    name: str
    operator: str


def _types(graph: ModelProto) -> dict[str, int]:
    """Element type of every value that a node computes."""
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    return {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}


def layers_of(graph: ModelProto) -> list[Layer]:
    """The layers of a graph, in order: every floating-point value that is computed, not moved.

    Rounding to int8 is no layer, but part of what it stands behind or before.
    """
    graph = without_int8(graph)
    floating = {TensorProto.FLOAT, TensorProto.FLOAT16}
    types = _types(graph)
    return [
        Layer(name, node.op_type)
        for node in graph.graph.node
        if node.op_type not in MOVERS
        for name in node.output
        if types.get(name) in floating
    ]


def with_outputs(graph: ModelProto, layers: list[Layer]) -> bytes:
    """A graph that gives out its layers, and nothing else, as ONNX."""
    typed = onnx.shape_inference.infer_shapes(graph)  # TensorRT wants the types of its outputs
    typed.graph.value_info.extend(typed.graph.output)
    marked = modify_outputs(typed, outputs=[layer.name for layer in layers])
    content: bytes = marked.SerializeToString()
    return content


def compare_layers(bundle: Bundle, artifact: Artifact, run: Run | None = None) -> list[LayerResult]:
    """Compare every weight and layer of a graph with the checkpoint, on the bundle's probes.

    Parameters
    ----------
    bundle, artifact
        The graph.
    run
        Gives the layers of `layers_of` for the graph's inputs: an engine whose outputs they are.
        None for the CPU, operator by operator: each result is rounded to its type in the graph,
        which a runtime that fuses operators or widens them would not do.

    Returns
    -------
    list
        One for each layer, in the graph's order, and for each weight, before its first use.

    Raises
    ------
    EngineError
        If one of the two does not run or lacks a layer, or if there is no checkpoint.
    """
    graph = load_graph(bundle, artifact)
    truth = CheckpointValues(bundle, artifact, without_int8(graph))
    layers = [layer for layer in layers_of(graph) if layer.name not in truth.weights]
    standard = standard_copy(graph, bundle.config) if artifact.kind == Kind.PLUGIN else graph
    plain = without_int8(standard)
    sides = (_right(plain, layers, truth), run or OperatorByOperator(standard, layers))
    runners = [_Runner(graph, side, layers) for side in sides]
    compare = SnrCompareFunc()
    shapes: dict[str, tuple[int, ...]] = {}
    ratios: list[Mapping[str, Any]] = []
    feeds = _feeds(graph, bundle.probe)
    try:
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL), np.errstate(all="ignore"):
            # All windows at once would hold every layer of each.
            for (_, (theirs,)), (_, (ours,)) in Comparator.run(runners, feeds, streaming=True):
                ratios.append(compare(theirs, ours))
                shapes = {name: tuple(value.shape) for name, value in theirs.items()}
    except PolygraphyException as error:
        raise EngineError(
            f"{artifact.name}: got {error}, expected its layers. Please report this."
        ) from error
    found = {layer.name: _result(layer, shapes[layer.name], ratios, artifact) for layer in layers}
    found |= _weight_results(plain, truth.weights, artifact.precision, feeds[0])
    return _in_order(plain, found)


def _right(graph: ModelProto, layers: list[Layer], truth: CheckpointValues) -> Run:
    """What the checkpoint has for the layers of a graph."""
    session = _session(with_outputs(widened(graph, truth.weights), layers))
    names = [output.name for output in session.get_outputs()]

    def run(feed: Values) -> Values:
        return dict(zip(names, session.run(names, feed), strict=True)) | truth.layers(feed)

    return run


def _weight_results(
    graph: ModelProto, weights: Mapping[str, np.ndarray], precision: Precision, feed: Values
) -> dict[str, LayerResult]:
    """Every weight of a graph against the checkpoint's, rounded to its type in the graph."""
    held = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    made = [Layer(name, WEIGHT) for name in weights if name not in held]  # of shared weights
    if made:
        session = _session(with_outputs(graph, made))
        names = [output.name for output in session.get_outputs()]
        held |= zip(names, session.run(names, feed), strict=True)
    return {
        name: LayerResult(
            layer=name,
            operator=WEIGHT,
            shape=right.shape,
            snr=_snr(right, held[name]),
            limit=WEIGHT_LIMITS[precision],
        )
        for name, right in weights.items()
    }


def _snr(right: np.ndarray, given: np.ndarray) -> float:
    """Of a weight that is ``right`` but for rounding to its type; nan where not finite, dB."""
    if right.shape != given.shape:
        return -np.inf
    with np.errstate(all="ignore"):
        signal = right.astype(given.dtype).astype(np.float64)
        noise = float(np.sum(np.square(signal - given)))
        return float(10.0 * np.log10(np.sum(np.square(signal)) / noise)) if noise else np.inf


def _in_order(graph: ModelProto, found: dict[str, LayerResult]) -> list[LayerResult]:
    """Layers as they are computed, each weight before its first use."""
    order = dict.fromkeys(
        name for node in graph.graph.node for name in (*node.input, *node.output) if name in found
    )
    return [found[name] for name in order]


def _result(
    layer: Layer, shape: tuple[int, ...], ratios: list[Mapping[str, Any]], artifact: Artifact
) -> LayerResult:
    found = [window.get(layer.name) for window in ratios]
    if any(ratio is None or isinstance(ratio, bool) for ratio in found):  # False: another shape
        raise EngineError(
            f"{artifact.name}: got no {layer.name} of shape {shape}, expected it from both sides. "
            "Please report this."
        )
    return LayerResult(
        layer=layer.name,
        operator=layer.operator,
        shape=shape,
        snr=float(np.min([ratio.snr for ratio in found if ratio is not None])),  # keeps a nan
        limit=LIMITS[artifact.precision],
    )


def _feeds(graph: ModelProto, probe: Probe) -> list[Values]:
    """The probe's windows as inputs of a graph."""
    taken = {value.name for value in graph.graph.input}
    return [
        {
            name: value
            for name, value in (
                (str(Tensor.MIXTURE), probe.mixture[w : w + 1]),
                (str(Tensor.LOG_MAGNITUDE), probe.log_magnitude[w : w + 1, None]),
                (str(Tensor.CATEGORIES), probe.categories[w]),
            )
            if name in taken
        }
        for w in range(probe.windows)
    ]


class OperatorByOperator:
    """Runs a graph one node at a time, so that every value is rounded to its type in the graph."""

    def __init__(self, graph: ModelProto, layers: list[Layer]) -> None:
        self._types = _types(graph)
        self._graph, self._layers = graph, {layer.name for layer in layers}
        self._weights = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
        self._sessions: dict[bytes, onnxruntime.InferenceSession] = {}

    def __call__(self, feed: Values) -> Values:
        """Values of the layers for the graph's inputs."""
        values, found = self._weights | feed, {}
        for node in self._graph.graph.node:
            inputs = {name: values[name] for name in node.input if name}
            alone = self._alone(node, inputs)
            if alone not in self._sessions:
                self._sessions[alone] = _session(alone)
            outputs = self._sessions[alone].run(list(node.output), inputs)
            for name, value in zip(node.output, outputs, strict=True):
                values[name] = value
                if name in self._layers:
                    found[name] = value
        return found

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


class _Runner(BaseRunner):  # type: ignore[misc]
    """A function as Polygraphy wants it."""

    def __init__(self, graph: ModelProto, run: Run, layers: list[Layer]) -> None:
        super().__init__()
        self._inputs, self._run = get_input_metadata(graph.graph), run
        self._wanted = {layer.name for layer in layers}

    def get_input_metadata_impl(self) -> Any:
        return self._inputs

    def infer_impl(self, feed_dict: Mapping[str, Any]) -> OrderedDict[str, np.ndarray]:
        self.inference_time = 0.0  # nobody asks
        values = self._run(dict(feed_dict)).items()
        return OrderedDict((name, value) for name, value in values if name in self._wanted)


def _session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # of hundreds of sessions, each with its own
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
