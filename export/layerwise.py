"""Where inside of a graph an error begins: every layer against the same graph in float32.

A parity stage says that sources or masks are off; this says which layer departs first. Polygraphy
runs both and compares. The graph in float32 is the one that is looked at, value for value, its
weights not rounded; so whatever a layer differs by is its own number format, kernels and inputs.
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
from polygraphy.backend.onnxrt import OnnxrtRunner
from polygraphy.comparator import Comparator, SnrCompareFunc
from polygraphy.exception import PolygraphyException
from polygraphy.logger import G_LOGGER

from sgn_rt.errors import EngineError
from sgn_rt.export.standard import standard_copy
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import GRAPH_INPUTS, Kind, Precision, Tensor
from sgn_rt.model.probe import Probe

Values = dict[str, np.ndarray]
"""Inputs, or outputs, by name."""
Run = Callable[[Values], Values]

LIMITS: Final = {Precision.FP32: 70.0, Precision.FP16: 40.0}
"""Least SNR of a layer, dB, with all that the layers before it did. The published graphs show 50 to
75 dB in float16, least behind softmaxes, and 82 dB in float32, at the logarithm of what is silent;
float32 products rounded to 10 bits (TF32) stay below 70 dB."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResult:
    """How far a layer is from float32.

    Attributes
    ----------
    layer, operator
        Name of the value in the graph, and what computes it.
    shape
        Of the value, for one window.
    snr
        Signal-to-noise ratio, dB, the least of all probes; nan for numbers that are not finite.
    limit
        Least that holds, dB.
    """

    layer: str
    operator: str
    shape: tuple[int, ...]
    snr: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether it is within the limit; never for nan."""
        return self.snr >= self.limit

    def __str__(self) -> str:
        return f"{self.layer} ({self.operator}): {self.snr:.1f} dB (at least {self.limit:g} dB)"

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; ratios that are not finite (equal, or not numbers) as null."""
        return {
            "layer": self.layer,
            "operator": self.operator,
            "shape": list(self.shape),
            "snr_db": round(self.snr, 2) if np.isfinite(self.snr) else None,
            "limit_db": self.limit,
            "passed": self.passed,
        }


def first_departure(results: list[LayerResult]) -> LayerResult | None:
    """The first layer, in the graph's order, that is beyond its limit."""
    return next((result for result in results if not result.passed), None)


def load_graph(bundle: Bundle, artifact: Artifact) -> ModelProto:
    """A graph of a bundle, with its weights."""
    bundle.read(artifact.path)  # verifies it once more
    return onnx.load_model(bundle.root / artifact.path)


def _types(graph: ModelProto) -> dict[str, int]:
    """Element type of every value that a node computes."""
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    return {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}


def layers_of(graph: ModelProto) -> list[Layer]:
    """The layers of a graph, in order: every floating-point value that is computed, not moved."""
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
    """Compare every layer of a graph with the same graph in float32, on the bundle's probes.

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
        One for each layer, in the graph's order.

    Raises
    ------
    EngineError
        If one of the two does not run, or lacks a layer.
    """
    graph = load_graph(bundle, artifact)
    layers = layers_of(graph)
    standard = standard_copy(graph, bundle.config) if artifact.kind == Kind.PLUGIN else graph
    reference = widened(standard, full_weights(bundle, graph))
    runners = [
        OnnxrtRunner(lambda: _session(with_outputs(reference, layers)), name="float32"),
        _Runner(graph, run or OperatorByOperator(standard, layers)),
    ]
    compare = SnrCompareFunc()
    shapes: dict[str, tuple[int, ...]] = {}
    ratios: list[Mapping[str, Any]] = []
    try:
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL), np.errstate(all="ignore"):
            # All windows at once would hold every layer of each.
            feeds = _feeds(artifact, bundle.probe)
            for (_, (theirs,)), (_, (ours,)) in Comparator.run(runners, feeds, streaming=True):
                ratios.append(compare(theirs, ours))
                shapes = {name: tuple(value.shape) for name, value in theirs.items()}
    except PolygraphyException as error:
        raise EngineError(
            f"{artifact.name}: got {error}, expected its layers. Please report this."
        ) from error
    return [_result(layer, shapes[layer.name], ratios, artifact) for layer in layers]


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


def _feeds(artifact: Artifact, probe: Probe) -> list[Values]:
    """The probe's windows as inputs of a graph."""
    signal, _ = GRAPH_INPUTS[artifact.kind]
    windows = probe.mixture if signal == Tensor.MIXTURE else probe.log_magnitude[:, None]
    return [
        {str(signal): windows[w : w + 1], str(Tensor.CATEGORIES): probe.categories[w]}
        for w in range(probe.windows)
    ]


def full_weights(bundle: Bundle, graph: ModelProto) -> Mapping[str, TensorProto]:
    """A graph's weights in float32, from a float32 graph of the bundle that has all of them.

    None where no graph has: `core` in float32 is laid out for the CPU.
    """
    halves = {
        tensor.name: tuple(tensor.dims)
        for tensor in graph.graph.initializer
        if tensor.data_type == TensorProto.FLOAT16
    }
    for artifact in bundle.artifacts:
        if not halves or artifact.precision != Precision.FP32:
            continue
        full = {t.name: t for t in load_graph(bundle, artifact).graph.initializer}
        if all(name in full and tuple(full[name].dims) == dims for name, dims in halves.items()):
            return {name: full[name] for name in halves}
    return {}


def widened(graph: ModelProto, weights: Mapping[str, TensorProto]) -> ModelProto:
    """The same graph with float32 for every float16; ``weights`` in the place of those rounded."""
    result = ModelProto()
    result.CopyFrom(graph)
    body = result.graph
    del body.value_info[:]
    for tensor in body.initializer:
        tensor.CopyFrom(weights.get(tensor.name, _wide(tensor)))
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


def _wide(tensor: TensorProto) -> TensorProto:
    if tensor.data_type != TensorProto.FLOAT16:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)


class OperatorByOperator:
    """Runs a graph one node at a time, so that every value is rounded to its type in the graph."""

    def __init__(self, graph: ModelProto, layers: list[Layer]) -> None:
        self._types = _types(graph)
        self._graph, self._layers = graph, {layer.name for layer in layers}
        self._weights = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}

    def __call__(self, feed: Values) -> Values:
        """Values of the layers for the graph's inputs."""
        values, found = self._weights | feed, {}
        for node in self._graph.graph.node:
            inputs = {name: values[name] for name in node.input if name}
            outputs = _session(self._alone(node, inputs)).run(list(node.output), inputs)
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

    def __init__(self, graph: ModelProto, run: Run) -> None:
        super().__init__(name="layers")
        self._inputs, self._run = get_input_metadata(graph.graph), run

    def get_input_metadata_impl(self) -> Any:
        return self._inputs

    def infer_impl(self, feed_dict: Mapping[str, Any]) -> OrderedDict[str, np.ndarray]:
        self.inference_time = 0.0  # nobody asks
        return OrderedDict(self._run(dict(feed_dict)))


def _session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
