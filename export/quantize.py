"""A graph in int8: convolutions and matrix products between QuantizeLinear and DequantizeLinear.

Weights are symmetric int8, one scale for each output channel. Activations have one scale for each
tensor, of the range that music has shown there (`sgn_rt.export.calibration`). What is not asked for
stays as it is: normalisations, grouping, heads, transforms.

- Numbers are quantised where they are made, with the scale of the layer that takes them. What lies
  between only moves them (concatenation, interleaving), a byte each.
- Names stay: a weight's DequantizeLinear gives the weight's name, a layer the name it gave before.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
from numpy.typing import NDArray
from onnx import ModelProto

from sgn_rt.model.contract import Kind

Ranges = Mapping[str, tuple[float, float]]
"""Least and largest number of each value."""

_PRODUCTS: Final = {"Conv": 0, "Gemm": 1, "MatMul": 1}
"""Operators with a weight, and the axis of the weight that is the output's channel.

No ConvTranspose, of which the CPU's graph has none: TensorRT for RTX 1.7 computes those in float16
all the same, and has a kernel more for each that turns its weights back."""
_MOVERS: Final = frozenset(("Concat", "Reshape", "Slice", "Transpose"))
_WEIGHT: Final = re.compile(
    r"((?:encoder|decoder|transformer)\.\d+\..+?)(?:\.phase\d\d)?\.(?:weight|grid)"
)
"""Weights of the body; what is in the group is the layer's name, as the checkpoint has it."""
_STEPS: Final = 127
"""From 0 to the largest number, where 0 is in the middle."""
_LARGEST_BIAS: Final = 2**31 - 1024


@dataclass(frozen=True, slots=True)
class Scheme:
    """How activations are quantised.

    Attributes
    ----------
    dtype
        Of the quantised numbers: uint8 with a zero point of its own for each tensor, or int8
        around 0.
    is_closed
        Convolutions give quantised numbers, and biases are int32 in steps of the product: what ONNX
        Runtime's kernels for the CPU want. TensorRT's take and give what they are asked for.
    """

    dtype: type[np.uint8] | type[np.int8]
    is_closed: bool

    def steps(self, low: float, high: float) -> tuple[float, Any]:
        """Scale and zero point of a range; 0 is always in it."""
        low, high = min(low, 0.0), max(high, 0.0)
        if self.dtype == np.int8:
            return (max(-low, high) or 1.0) / _STEPS, np.int8(0)
        scale = (high - low or 1.0) / 255
        return scale, np.uint8(np.clip(round(-low / scale), 0, 255))


SCHEMES: Final = {Kind.CORE: Scheme(np.uint8, True), Kind.PLUGIN: Scheme(np.int8, False)}
"""Of the graphs that exist in int8: the CPU's, and TensorRT's, which knows no zero points."""


def layers_of(graph: ModelProto) -> dict[str, list[str]]:
    """Layers that can be quantised, in the graph's order: name -> nodes."""
    return {name: [n.name or "" for n in nodes] for name, nodes in _layers(_ir(graph)).items()}


def values_of(graph: ModelProto) -> list[str]:
    """Values whose ranges `quantized` needs, whatever layers are chosen."""
    nodes = [node for nodes in _layers(_ir(graph)).values() for node in nodes]
    values = [value for node in nodes for value in (node.inputs[0], _result(node))]
    return list(dict.fromkeys(_name(value) for value in values))


def quantized(
    graph: ModelProto, layers: Collection[str], ranges: Ranges, scheme: Scheme
) -> ModelProto:
    """Quantise layers of a graph.

    Parameters
    ----------
    graph
        Of `sgn_rt.export.graphs.build_graph`, float32 or float16; not changed.
    layers
        Which, of `layers_of`.
    ranges
        Of `values_of`.
    scheme
        Of the activations.

    Returns
    -------
    onnx.ModelProto
        Checked; inputs, outputs and metadata as before.
    """
    model = _ir(graph)
    chosen = [node for name, nodes in _layers(model).items() if name in layers for node in nodes]
    work = _Quantizer(model.graph, ranges, scheme)
    for node in chosen:
        work.take_quantized(node)
    common.RemoveUnusedNodesPass()(model)  # what moves floats that nobody takes any more
    for node in chosen if scheme.is_closed else ():
        work.give_quantized(node)
    model.graph.sort()
    result = ir.to_proto(model)
    foreign = {name for node in result.graph.node if node.domain for name in node.output}
    told = [value for value in result.graph.value_info if value.name in foreign]
    del result.graph.value_info[:]
    result.graph.value_info.extend(told)  # what inference cannot know
    result = onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True)
    onnx.checker.check_model(result, full_check=True)
    return result


def _ir(graph: ModelProto) -> ir.Model:
    return ir.from_proto(graph)


def _name(value: ir.Value | None) -> str:
    assert value is not None
    assert value.name is not None
    return value.name


def _array(value: ir.Value | None) -> NDArray[Any]:
    assert value is not None
    assert value.const_value is not None
    array: NDArray[Any] = value.const_value.numpy()
    return array


def _layers(model: ir.Model) -> dict[str, list[ir.Node]]:
    found: dict[str, list[ir.Node]] = defaultdict(list)
    for node in model.graph:
        if node.op_type in _PRODUCTS and node.inputs[1] in model.graph.initializers.values():
            match = _WEIGHT.fullmatch(_name(node.inputs[1]))
            if match is not None:
                found[match[1]].append(node)
    return dict(found)


def _result(node: ir.Node) -> ir.Value:
    """What a node's kernel gives: its output, or that of the ReLU that alone takes it."""
    behind = node.outputs[0].consumers()
    is_fused = [reader.op_type for reader in behind] == ["Relu"]
    return behind[0].outputs[0] if is_fused else node.outputs[0]


def _rounded(scale: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Scales in the type of what is quantised, as the operators want them; never 0."""
    rounded: NDArray[Any] = np.maximum(scale, np.finfo(dtype).tiny).astype(dtype)
    return rounded


def _integers(
    weight: NDArray[Any], axis: int, scale: NDArray[Any], bias: NDArray[Any] | None
) -> tuple[NDArray[np.int8], NDArray[Any]]:
    """A weight as int8, and the scales of its output channels.

    ``scale`` is that of the activations, which with the weight's makes the steps of the bias.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    peaks = np.abs(weight.astype(np.float64)).max(others)
    least = peaks.max() * 1e-6 or 1.0  # for a channel of zeros, or a weight of them
    if bias is not None:
        least = np.maximum(least, _STEPS * np.abs(bias) / (float(scale) * _LARGEST_BIAS))
    scales = _rounded(np.maximum(peaks, least) / _STEPS, weight.dtype)
    shape = [1] * weight.ndim
    shape[axis] = -1
    integers = np.rint(weight / scales.astype(np.float64).reshape(shape))
    return np.clip(integers, -_STEPS, _STEPS).astype(np.int8), scales


class _Quantizer:
    """The work on one graph, in place; its order is lost."""

    def __init__(self, graph: ir.Graph, ranges: Ranges, scheme: Scheme) -> None:
        self._graph, self._ranges, self._scheme = graph, ranges, scheme
        self._made: dict[str, ir.Value] = {}

    def take_quantized(self, node: ir.Node) -> None:
        """Have a product computed from quantised numbers."""
        value, weight, *rest = node.inputs
        # Where biases are integers, they take part in the choice of steps.
        bias = _array(rest[0]) if rest and self._scheme.is_closed else None
        axis = _PRODUCTS[node.op_type]
        node.replace_input_with(0, self._dequantized(value, _array(weight).dtype))
        scale = _array(self._made[f"{_name(value)}.scale"])
        integers, scales = _integers(_array(weight), axis, scale, bias)
        self._replace(node, 1, integers, scales, axis)
        if bias is not None:
            steps = scale * scales
            self._replace(node, 2, np.rint(bias / steps.astype(np.float64)).astype(np.int32), steps)

    def give_quantized(self, node: ir.Node) -> None:
        """Have a convolution's result quantised, unless what takes it does just that."""
        result = _result(node)
        takers = result.consumers()
        if node.op_type != "Conv" or [taker.op_type for taker in takers] == ["QuantizeLinear"]:
            return
        known = self._dequantized(result, np.dtype(np.float32))
        for taker, index in tuple(result.uses()):
            if taker.op_type != "QuantizeLinear":
                taker.replace_input_with(index, known)
        if result in self._graph.outputs:
            known.name, result.name = result.name, f"{_name(result)}.float"
            self._graph.outputs[self._graph.outputs.index(result)] = known

    def _dequantized(self, value: ir.Value | None, dtype: np.dtype[Any]) -> ir.Value:
        """A value that went through int8, of the body's type ``dtype``."""
        assert value is not None
        name = _name(value)
        if f"{name}.dq" in self._made:
            return self._made[f"{name}.dq"]
        scale, zero = self._scheme.steps(*self._ranges[name])
        steps = [
            self._initializer(f"{name}.scale", _rounded(scale, dtype)),
            self._initializer(f"{name}.zero", np.array(zero)),
        ]
        inputs = [self._quantized(value, name, steps), *steps]
        return self._node("DequantizeLinear", inputs, f"{name}.dq")

    def _quantized(self, value: ir.Value, scale_of: str, steps: list[ir.Value]) -> ir.Value:
        """A value quantised where it is made, with the scale of another."""
        name = f"{_name(value)}.q" if value.name == scale_of else f"{value.name}.q:{scale_of}"
        maker = value.producer()
        if name in self._made:
            return self._made[name]
        if maker is None or maker.op_type not in _MOVERS:
            return self._node("QuantizeLinear", [value, *steps], name)
        count = len(maker.inputs) if maker.op_type == "Concat" else 1
        moved = [self._quantized(v, scale_of, steps) for v in maker.inputs[:count] if v is not None]
        attributes = tuple(maker.attributes.values())
        return self._node(maker.op_type, [*moved, *maker.inputs[count:]], name, attributes)

    def _replace(
        self, node: ir.Node, index: int, integers: NDArray[Any], scales: NDArray[Any], axis: int = 0
    ) -> None:
        """Have a weight or bias dequantised under its own name, or one with the node's behind it.

        So it is where several nodes share it.
        """
        held = node.inputs[index]
        name = _name(held)
        assert held is not None
        if len(held.uses()) > 1:
            name += f":{node.name}"
        else:
            del self._graph.initializers[name]
        parts = {"int": integers, "scale": scales, "zero": np.zeros(scales.shape, integers.dtype)}
        inputs = [self._initializer(f"{name}.{part}", array) for part, array in parts.items()]
        made = self._node("DequantizeLinear", inputs, name, [ir.AttrInt64("axis", axis)])
        node.replace_input_with(index, made)

    def _initializer(self, name: str, array: NDArray[Any]) -> ir.Value:
        value = ir.Value(name=name, const_value=ir.tensor(array))
        self._graph.register_initializer(value)
        self._made[name] = value
        return value

    def _node(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        attributes: Iterable[ir.Attr] = (),
    ) -> ir.Value:
        output = ir.Value(name=name)
        self._graph.append(
            ir.Node("", operator, inputs, attributes, outputs=[output], name=f"{name}/{operator}")
        )
        self._made[name] = output
        return output
