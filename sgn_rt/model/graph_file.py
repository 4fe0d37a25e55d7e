"""Where a graph takes weights from, and what it calls itself: from its bytes, before any parser.

A tensor of a graph may lie in another file, by a path that parsers follow wherever it leads. The
walk below finds every such path, also inside of branches, functions and sparse tensors, and needs
no ONNX package.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from sgn_rt.errors import BundleError, ConfigError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import GraphKey
from sgn_rt.model.wire import fields, lengths

# Messages of onnx.proto that can hold tensors: field -> the message in it.
_FIELDS: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_METADATA: Final = 14
"""Field of a model that holds an entry of its metadata: key and value."""
_GRAPH, _NODE, _INPUT, _OUTPUT = 7, 1, 11, 12
"""Fields: the graph of a model, and the nodes, inputs and outputs of that."""
_OPERATOR, _DOMAIN = 4, 7
"""Fields of a node."""
_ELEMENTS: Final = {1: "float32", 7: "int64", 10: "float16"}
"""Of ONNX's element types, those of inputs and outputs of our graphs."""
_LOCATION: Final = b"location"


def external_files(graph: bytes) -> set[str]:
    """Files in which a graph's tensors lie, as it names them; empty where it holds them itself.

    Parameters
    ----------
    graph
        An ONNX model.

    Raises
    ------
    ValueError
        For bytes that are no protobuf message.
    """
    view, found = memoryview(graph), set()
    open_messages = [("model", 0, len(graph))]
    while open_messages:  # no recursion: branches of a hostile graph nest as deep as it likes
        message, start, end = open_messages.pop()
        if message == "entry":
            found |= _location(view, start, end)
            continue
        inside = _FIELDS[message]
        for number, at, stop in lengths(view, start, end):
            if number in inside:
                open_messages.append((inside[number], at, stop))
    return found


def expect_inside(graph: bytes, allowed: Collection[str], what: str) -> None:
    """Refuse a graph whose tensors lie in files that it was not declared to have.

    Parameters
    ----------
    graph
        An ONNX model.
    allowed
        Files of the bundle that it may refer to, as named in the manifest.
    what
        The graph, for the message.

    Raises
    ------
    BundleError
        Naming the file; also for what is no ONNX graph.
    """
    try:
        files = external_files(graph)
    except ValueError as error:
        raise BundleError(
            f"{what}: got a graph that does not parse ({error}), expected an ONNX model. "
            "Export the bundle again."
        ) from error
    foreign = sorted(files.difference(allowed))
    if foreign:
        raise BundleError(
            f"{what}: got a graph with tensors in {foreign[0]!r:.200}, expected them "
            f"{'in ' + ', '.join(sorted(allowed)) if allowed else 'inside'}, as the manifest "
            "says. Export the bundle again."
        )


def metadata_of(graph: bytes) -> dict[str, str]:
    """What a graph says of itself, by key.

    Raises
    ------
    ValueError
        For bytes that are no protobuf message.
    """
    view = memoryview(graph)
    entries = [
        {field: bytes(view[i:j]).decode("utf-8", "replace") for field, i, j in lengths(view, *at)}
        for number, *at in lengths(view, 0, len(graph))
        if number == _METADATA
    ]
    return {entry.get(1, ""): entry.get(2, "") for entry in entries}


class GraphTensor(NamedTuple):
    """An input or output of a graph.

    Attributes
    ----------
    name
        As in the graph.
    dtype
        As NumPy names it.
    shape
        Sizes; -1 for an axis of any size.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


def tensors_of(graph: bytes) -> tuple[list[GraphTensor], list[GraphTensor]]:
    """Inputs and outputs of a graph, as it declares them.

    Raises
    ------
    ValueError
        For bytes that are no protobuf message, and types that no graph of ours has.
    """
    view = memoryview(graph)
    ((start, end),) = (at for number, *at in lengths(view, 0, len(graph)) if number == _GRAPH)
    body = list(lengths(view, start, end))
    inputs, outputs = (
        [_graph_tensor(view, *at) for number, *at in body if number == wanted]
        for wanted in (_INPUT, _OUTPUT)
    )
    return inputs, outputs


def operators_of(graph: bytes) -> list[str]:
    """Operators of a graph, each once: ``Type``, or ``domain::Type`` of those that are not ONNX's.

    Those within functions and branches are not among them: graphs of ours have none.

    Raises
    ------
    ValueError
        For bytes that are no protobuf message.
    """
    view = memoryview(graph)
    found: dict[str, None] = {}
    ((start, end),) = (at for number, *at in lengths(view, 0, len(graph)) if number == _GRAPH)
    for number, *at in lengths(view, start, end):
        if number == _NODE:
            texts = {field: bytes(view[i:j]).decode() for field, i, j in lengths(view, *at)
                     if field in (_OPERATOR, _DOMAIN)}  # fmt: skip
            domain = texts.get(_DOMAIN, "")
            found[f"{domain}::{texts[_OPERATOR]}" if domain else texts[_OPERATOR]] = None
    return list(found)


def _graph_tensor(view: memoryview, start: int, end: int) -> GraphTensor:
    """A ValueInfoProto: name 1, type 2, in it the tensor 1 of an element type 1 and a shape 2."""
    parts = {number: at for number, *at in lengths(view, start, end)}
    name = bytes(view[slice(*parts[1])]).decode()
    ((_, *tensor),) = lengths(view, *parts[2])
    element, axes = 0, []
    for number, value, begin in fields(view, *tensor):
        if begin is None:
            element = value
        elif number == 2:
            axes = [_size(view, *at) for _, *at in lengths(view, begin, value)]
    if element not in _ELEMENTS:
        raise ValueError(f"{name} of element type {element}")
    return GraphTensor(name, _ELEMENTS[element], tuple(axes))


def _size(view: memoryview, start: int, end: int) -> int:
    """Of an axis: its value 1, or -1 where it has a name instead."""
    sizes = [value for number, value, begin in fields(view, start, end)
             if number == 1 and begin is None]  # fmt: skip
    return sizes[0] if sizes else -1


def expect_described(graph: bytes, bundle: Bundle, artifact: Artifact, what: str) -> None:
    """Refuse a graph that says something else of itself than the bundle says of it.

    Raises
    ------
    BundleError
        If it is of another model, schema, kind or precision; also for what is no ONNX graph.
    """
    try:
        metadata = metadata_of(graph)
        config = ModelConfig.from_json(metadata.get(GraphKey.CONFIG, "null"))
    except (ValueError, ConfigError, RecursionError):
        metadata, config = {}, None
    if config != bundle.config:
        raise BundleError(
            f"{what}: got a graph of another model, expected the one that the bundle's "
            "configuration describes. Export the bundle again."
        )
    found = [metadata.get(key) for key in (GraphKey.SCHEMA, GraphKey.KIND, GraphKey.PRECISION)]
    expected = [str(bundle.schema), str(artifact.kind), str(artifact.precision)]
    if found != expected:
        raise BundleError(
            f"{what}: got a graph that calls itself {found!r:.100}, expected {expected} (schema, "
            "kind, precision). Export the bundle again."
        )


def _location(view: memoryview, start: int, end: int) -> set[str]:
    """The path that a key and value name; of repeated ones all, whichever a parser takes."""
    found = [(number, bytes(view[at:stop])) for number, at, stop in lengths(view, start, end)]
    if (1, _LOCATION) not in found:
        return set()
    return {value.decode("utf-8", "backslashreplace") for number, value in found if number == 2}
