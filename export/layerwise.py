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
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper
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
from sgn_rt.export.operators import Layer, OperatorByOperator, Run, session_of, types_of
from sgn_rt.export.pair import load_graph
from sgn_rt.export.standard import standard_copy
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import Kind, Precision, Tensor
from sgn_rt.model.probe import Probe

MOVERS: Final = frozenset(
    (
        *("Concat", "Constant", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape"),
        *("Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    )
)
"""Operators that compute nothing: what is wrong behind them was wrong before, or shows behind."""


def layers_of(graph: ModelProto) -> list[Layer]:
    """The layers of a graph, in order: every floating-point value that is computed, not moved.

    Rounding to int8 is no layer, but part of what it stands behind or before.
    """
    graph = without_int8(graph)
    floating = {TensorProto.FLOAT, TensorProto.FLOAT16}
    types = types_of(graph)
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
    return LayerComparison(bundle, artifact).results(run)


class LayerComparison:
    """The layers of one graph, and the truth of them: for several that claim to be the same.

    Attributes
    ----------
    graph
        In standard operators, with what int8 rounds.
    layers
        Its own, weights apart.
    right
        What the checkpoint has for the layers.

    Parameters and errors are those of `compare_layers`.
    """

    def __init__(self, bundle: Bundle, artifact: Artifact) -> None:
        given = load_graph(bundle, artifact)
        truth = CheckpointValues(bundle, artifact, without_int8(given))
        is_plugin = artifact.kind == Kind.PLUGIN
        self.layers = [layer for layer in layers_of(given) if layer.name not in truth.weights]
        self.graph = standard_copy(given, bundle.config) if is_plugin else given
        self.right: Run = _right(without_int8(self.graph), self.layers, truth)
        self._given, self._weights, self._artifact = given, truth.weights, artifact
        self._feeds = _feeds(given, bundle.probe)

    def results(self, run: Run | None = None, graph: ModelProto | None = None) -> list[LayerResult]:
        """Compare what gives the layers, and the weights of a graph, with what is right.

        Parameters
        ----------
        run
            As in `compare_layers`.
        graph
            In the place of `graph`, with values of the same names; None for that itself.
        """
        graph = graph or self.graph
        plain = without_int8(graph)
        sides = (self.right, run or OperatorByOperator(graph, self.layers))
        runners = [_Runner(self._given, side, self.layers) for side in sides]
        compare = SnrCompareFunc()
        shapes: dict[str, tuple[int, ...]] = {}
        ratios: list[Mapping[str, Any]] = []
        try:
            with G_LOGGER.verbosity(G_LOGGER.CRITICAL), np.errstate(all="ignore"):
                # All windows at once would hold every layer of each.
                for (_, (theirs,)), (_, (ours,)) in Comparator.run(
                    runners, self._feeds, streaming=True
                ):
                    ratios.append(compare(theirs, ours))
                    shapes = {name: tuple(value.shape) for name, value in theirs.items()}
        except PolygraphyException as error:
            raise EngineError(
                f"{self._artifact.name}: got {error}, expected its layers. Please report this."
            ) from error
        found = {
            each.name: _result(each, shapes[each.name], ratios, self._artifact)
            for each in self.layers
        }
        found |= _weight_results(plain, self._weights, self._artifact.precision, self._feeds[0])
        return _in_order(plain, found)


def _right(graph: ModelProto, layers: list[Layer], truth: CheckpointValues) -> Run:
    """What the checkpoint has for the layers of a graph."""
    session = session_of(with_outputs(widened(graph, truth.weights), layers))
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
        session = session_of(with_outputs(graph, made))
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
