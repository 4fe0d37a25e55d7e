"""Faults in the layers of a graph, which `sgn-rt parity --layers` has to name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from sgn_rt.benchmarks.studies.faults import faults
from sgn_rt.benchmarks.studies.suspect import Suspect
from sgn_rt.export.checkpoint_values import Values
from sgn_rt.export.float32 import put
from sgn_rt.export.graphs import float_module
from sgn_rt.export.operators import Layer, types_of
from sgn_rt.model.bundle import Artifact
from sgn_rt.model.contract import Precision

Outputs = list[np.ndarray]
Alter = Callable[[NodeProto, Values, Callable[[Values], Outputs]], Outputs]
"""What a node gives in the place of what the function gives for its inputs."""

OF_WEIGHTS: Final = ("a weight tensor times", "one weight flipped", "a bias dropped")
PRODUCTS: Final = ("Conv", "ConvTranspose", "MatMul", "Gemm")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFault:
    """One fault.

    Attributes
    ----------
    kind, where
        As of `sgn_rt.benchmarks.studies.faults.Fault`.
    culprits
        Weights and layers of the graph that are wrong by themselves, not by what they are given.
    graph
        Makes the graph with it; None for one that is right.
    alter
        Changes what nodes give; None for nodes that do as the graph says.
    """

    kind: str
    where: str
    culprits: frozenset[str]
    graph: Callable[[], ModelProto] | None = None
    alter: Alter | None = None


def graph_faults(
    suspect: Suspect, artifact: Artifact, graph: ModelProto, layers: list[Layer], every: int = 1
) -> Iterator[GraphFault]:
    """Every fault of a graph's layers.

    Parameters
    ----------
    suspect
        Of the checkpoint.
    artifact, graph, layers
        The graph, in standard operators, and its layers.
    every
        Of the faults in weights, and in single layers, each of these many alone: a sample.
    """
    yield from weight_faults(suspect, artifact, graph, every, every // 2)
    yield from _of_epsilon(graph, every)
    yield from _of_overflow(suspect, layers)
    names = {layer.name for layer in layers}
    shown = [node for node in graph.graph.node if node.output[0] in names]
    products = [node for node in shown if node.op_type in PRODUCTS]
    yield GraphFault(
        kind=f"bfloat16, said to be {artifact.precision}", where="all",
        culprits=frozenset(names), alter=_in_bfloat16,
    )  # fmt: skip
    some = products[every // 2 :: every]
    for node in some:
        yield GraphFault(
            kind="bfloat16 in one product", where=node.output[0],
            culprits=frozenset(node.output), alter=partial(_rounded, 16, {node.output[0]}),
        )  # fmt: skip
    if artifact.precision == Precision.FP32:  # float16 has no more bits than TF32
        wrong = {"all": {node.output[0] for node in products}}
        wrong |= {node.output[0]: {node.output[0]} for node in some}
        for where, outputs in wrong.items():
            kind = "products in TF32" if where == "all" else "one product in TF32"
            alter = partial(_rounded, 13, outputs)
            yield GraphFault(kind=kind, where=where, culprits=frozenset(outputs), alter=alter)


def weight_faults(
    suspect: Suspect, artifact: Artifact, graph: ModelProto, every: int = 1, first: int = 0
) -> Iterator[GraphFault]:
    """The graph as a wrong network would give it: one tensor may be in several of its weights.

    Parameters are those of `graph_faults`; ``first`` is where each ``every`` many begin.
    """
    held = _held(graph)

    def weights() -> Values:
        with np.errstate(invalid="ignore"):  # a variance below zero
            module = float_module(suspect.model, artifact.kind, artifact.precision)
        named = {name: value.numpy() for name, value in module.named_parameters()}
        return {name: value.copy() for name, value in named.items() if name in held}

    right = weights()
    chosen = [fault for fault in faults(suspect.model) if fault.kind.startswith(OF_WEIGHTS)]
    for fault in chosen[first::every]:
        with fault.made(suspect):
            made = weights()
        wrong = {n: v for n, v in made.items() if not np.array_equal(v, right[n])}
        if wrong:  # a bias that is nothing cannot be dropped
            yield GraphFault(
                kind=fault.kind, where=fault.where, culprits=frozenset(wrong),
                graph=partial(_with, graph, wrong),
            )  # fmt: skip


def _held(graph: ModelProto) -> set[str]:
    body = graph.graph
    made = {name.partition(":")[0] for node in body.node for name in node.output}
    return {tensor.name for tensor in body.initializer} | made


def _with(graph: ModelProto, weights: Mapping[str, np.ndarray]) -> ModelProto:
    """A graph with other weights, in its own types and steps of int8."""
    result = ModelProto()
    result.CopyFrom(graph)
    held = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    types = types_of(graph) | {t.name: t.data_type for t in graph.graph.initializer}
    changed: Values = {}
    for node in graph.graph.node:
        name = node.output[0].partition(":")[0]
        if node.op_type == "DequantizeLinear" and name in weights:
            integers, scale = (held[each] for each in node.input[:2])
            shape = [1] * integers.ndim
            shape[next(a.i for a in node.attribute if a.name == "axis")] = -1
            steps = np.rint(weights[name] / scale.astype(np.float32).reshape(shape))
            limits = np.iinfo(integers.dtype)
            changed[node.input[0]] = steps.clip(limits.min, limits.max).astype(integers.dtype)
    for name, value in weights.items():
        if name in types and name not in {n.partition(":")[0] for n in _dequantized(graph)}:
            half = types[name] == TensorProto.FLOAT16
            changed[name] = value.astype(np.float16 if half else np.float32)
    put(result.graph, changed)
    return result


def _dequantized(graph: ModelProto) -> set[str]:
    return {n.output[0] for n in graph.graph.node if n.op_type == "DequantizeLinear"}


def _of_epsilon(graph: ModelProto, every: int) -> Iterator[GraphFault]:
    norms = [n.output[0] for n in graph.graph.node if n.op_type == "LayerNormalization"]
    for factor in (100.0, 0.1):
        yield GraphFault(
            kind="epsilon of the norms wrong", where=f"times {factor:g}",
            culprits=frozenset(norms), graph=partial(_other_epsilon, graph, set(norms), factor),
        )  # fmt: skip
    for norm in norms[::every]:
        yield GraphFault(
            kind="epsilon of one norm wrong", where=f"{norm}, times 100",
            culprits=frozenset({norm}), graph=partial(_other_epsilon, graph, {norm}, 100.0),
        )  # fmt: skip


def _other_epsilon(graph: ModelProto, norms: set[str], factor: float) -> ModelProto:
    result = ModelProto()
    result.CopyFrom(graph)
    for node in result.graph.node:
        if node.output[0] in norms:
            for attribute in node.attribute:
                if attribute.name == "epsilon":
                    attribute.f *= factor
    return result


def _of_overflow(suspect: Suspect, layers: list[Layer]) -> Iterator[GraphFault]:
    for level in range(len(suspect.model.encoder)):
        name = [each.name for each in layers if each.name.startswith(f"encoder.{level}.conv/")][-1]
        for saturates in (False, True):
            yield GraphFault(
                kind=f"float16 overflow, {'saturated' if saturates else 'to infinity'}",
                where=f"encoder level {level}", culprits=frozenset({name}),
                alter=partial(_overflow, name, saturates),
            )  # fmt: skip


def _overflow(
    name: str, saturates: bool, node: NodeProto, inputs: Values, run: Callable[[Values], Outputs]
) -> Outputs:
    """The largest thousandth of what a node gives is beyond float16's range."""
    made = run(inputs)
    if node.output[0] != name:
        return made
    (value,) = made
    most = np.partition(value.ravel(), int(0.999 * value.size) - 1)[int(0.999 * value.size) - 1]
    beyond = most if saturates else np.inf
    return [np.where(value > most, beyond, value).astype(value.dtype)]


def _bits(value: np.ndarray, dropped: int) -> np.ndarray:
    """Rounded to float32 without its last bits: 16 for bfloat16, 13 for TF32 (to even)."""
    if not np.issubdtype(value.dtype, np.floating):
        return value
    integers = np.ascontiguousarray(value, np.float32).view(np.uint32).astype(np.uint64)
    last = (integers >> dropped) & 1
    rounded = (integers + (1 << (dropped - 1)) - 1 + last) >> dropped << dropped
    finite = np.where(np.isfinite(value), rounded, integers).astype(np.uint32)
    return finite.view(np.float32).astype(value.dtype)


def _in_bfloat16(node: NodeProto, inputs: Values, run: Callable[[Values], Outputs]) -> Outputs:
    """What every node gives, rounded; weights that nodes make are none of its results."""
    made = run(inputs)
    is_weight = node.op_type == "DequantizeLinear" or node.output[0].startswith("checkpoint/")
    return made if is_weight else [_bits(value, 16) for value in made]


def _rounded(
    dropped: int,
    some: set[str],
    node: NodeProto,
    inputs: Values,
    run: Callable[[Values], Outputs],
) -> Outputs:
    """Products whose two factors are rounded first."""
    if node.output[0] not in some:
        return run(inputs)
    factors = set(node.input[:2])
    return run({n: _bits(v, dropped) if n in factors else v for n, v in inputs.items()})
