"""What an ONNX graph holds: its weights, and what it computes of nothing but them.

Read from the graph's bytes, without any ONNX package, as parity is measured where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt.model.wire import fields, lengths, varints

Array = NDArray[Any]

_TYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("<f4"), 2: np.dtype("u1"), 3: np.dtype("i1"), 6: np.dtype("<i4"),
    7: np.dtype("<i8"), 10: np.dtype("<f2"), 11: np.dtype("<f8"),
}  # fmt: skip
"""Of ONNX's element types, those of our graphs."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that a graph holds or computes of what it holds.

    Attributes
    ----------
    value
        In the graph's type; of integers that are dequantised what they stand for, in float64.
    scale
        Of those: steps in which they count, in the graph's type, as they broadcast. None for all
        others.
    """

    value: Array
    scale: Array | None = None


@dataclass(slots=True)
class _Node:
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, list[int]] = field(default_factory=dict)


def constants_of(graph: bytes, files: Mapping[str, bytes]) -> dict[str, Constant]:
    """Every constant of a graph, by its name.

    Parameters
    ----------
    graph
        An ONNX model.
    files
        Content of the files that it may have tensors in, by the names that it gives them.

    Raises
    ------
    ValueError
        For bytes that are no such model.
    KeyError
        For tensors in another file.
    """
    view = memoryview(graph)
    bodies = [at for number, *at in lengths(view, 0, len(graph)) if number == 7]
    found: dict[str, Constant] = {}
    nodes: list[_Node] = []
    for body in bodies:
        for number, start, end in lengths(view, *body):
            if number == 5:
                name, value = _tensor(view, start, end, files)
                if value is not None:
                    found[name] = Constant(value)
            elif number == 1:
                nodes.append(_node(view, start, end))
    for node in nodes:
        compute = _OPERATORS.get(node.operator)
        if compute is None or not all(name in found for name in node.inputs):
            continue
        # What makes no weight may be of any form: it is left out, as a weight would be missed.
        with suppress(ValueError, KeyError, IndexError, TypeError):
            found[node.outputs[0]] = compute([found[name] for name in node.inputs], node.attributes)
    return found


def _text(view: memoryview, start: int, end: int) -> str:
    return bytes(view[start:end]).decode("utf-8", "backslashreplace")


def _tensor(
    view: memoryview, start: int, end: int, files: Mapping[str, bytes]
) -> tuple[str, Array | None]:
    """A TensorProto; None for a type that no weight of ours has."""
    shape = _integers(view, start, end, 1)
    element = next((v for n, v, at in fields(view, start, end) if n == 2 and at is None), 0)
    parts = {number: at for number, *at in lengths(view, start, end)}
    name = _text(view, *parts[8]) if 8 in parts else ""
    if element not in _TYPES:
        return name, None
    raw = view[slice(*parts.get(9, (0, 0)))]
    entries = [at for number, *at in lengths(view, start, end) if number == 13]
    if entries:
        pairs = [{n: _text(view, *at) for n, *at in lengths(view, *entry)} for entry in entries]
        where = {pair.get(1, ""): pair.get(2, "") for pair in pairs}
        content = memoryview(files[where["location"]])
        offset = int(where.get("offset", 0))
        raw = content[offset : offset + int(where.get("length", len(content)))]
    dtype = _TYPES[element]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"{name}: {len(raw)} bytes for {dtype} of shape {shape}")
    return name, np.frombuffer(raw, dtype).reshape(shape)


def _node(view: memoryview, start: int, end: int) -> _Node:
    """A NodeProto, of its attributes those that are whole numbers."""
    node = _Node()
    for number, at, stop in lengths(view, start, end):
        if number == 1:
            node.inputs.append(_text(view, at, stop))
        elif number == 2:
            node.outputs.append(_text(view, at, stop))
        elif number == 4:
            node.operator = _text(view, at, stop)
        elif number == 5:
            names = [_text(view, *place) for n, *place in lengths(view, at, stop) if n == 1]
            numbers = [*_integers(view, at, stop, 3), *_integers(view, at, stop, 8)]
            node.attributes[names[0] if names else ""] = numbers
    return node


def _integers(view: memoryview, start: int, end: int, wanted: int) -> list[int]:
    """Whole numbers of a field that repeats, packed or not."""
    found: list[int] = []
    for number, value, at in fields(view, start, end):
        if number == wanted:
            found += [value] if at is None else varints(view, at, value)
    return [value - (1 << 64) if value >= 1 << 63 else value for value in found]


_Inputs = Sequence[Constant]
_Attributes = Mapping[str, list[int]]


def _dequantized(inputs: _Inputs, attributes: _Attributes) -> Constant:
    integers, scale = inputs[0].value, inputs[1].value
    zero = inputs[2].value if len(inputs) > 2 else np.zeros_like(scale, integers.dtype)
    shape = [1] * integers.ndim
    if scale.ndim:
        shape[attributes.get("axis", [1])[0]] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    steps = integers.astype(np.float64) - zero
    return Constant(steps * scale, scale)


def _slice(inputs: _Inputs, attributes: _Attributes) -> Constant:
    del attributes
    value = inputs[0].value
    starts, ends, axes, steps = (each.value.tolist() for each in inputs[1:])
    index = [slice(None)] * value.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, end, step)
    return Constant(value[tuple(index)])


def _reshape(inputs: _Inputs, attributes: _Attributes) -> Constant:
    del attributes
    value, wanted = inputs[0].value, inputs[1].value.tolist()
    return Constant(value.reshape([size or value.shape[i] for i, size in enumerate(wanted)]))


_OPERATORS: Final[Mapping[str, Callable[[_Inputs, _Attributes], Constant]]] = {
    "Cast": lambda i, a: Constant(i[0].value.astype(_TYPES[a["to"][0]])),
    "Concat": lambda i, a: Constant(np.concatenate([x.value for x in i], a["axis"][0])),
    "DequantizeLinear": _dequantized,
    "Identity": lambda i, a: i[0],  # noqa: ARG005
    "Mul": lambda i, a: Constant(i[0].value * i[1].value),  # noqa: ARG005
    "Reshape": _reshape,
    "Slice": _slice,
    "Transpose": lambda i, a: Constant(i[0].value.transpose(a["perm"])),
}
"""Those that make weights of weights (`sgn_rt.export.shared`, `sgn_rt.export.quantize`)."""
