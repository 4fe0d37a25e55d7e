"""Graphs of a bundle as they are compared: what is a pair as one graph."""

from __future__ import annotations

import onnx
from onnx import GraphProto, ModelProto, ValueInfoProto, helper

from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import SECOND_HALVES, Tensor, partner


def load_graph(bundle: Bundle, artifact: Artifact) -> ModelProto:
    """A graph of a bundle, with its weights; of a pair both, ``core`` for all categories.

    Raises
    ------
    EngineError
        For the second of a pair alone, which nothing can be compared with.
    """
    if artifact.kind in SECOND_HALVES:
        raise EngineError(
            f"{artifact.name}: got half of a pair, expected the network that it goes with: its "
            "layers are compared with the network's. Choose that."
        )
    graph = _load(bundle, artifact)
    second = None if bundle.is_whole else partner(artifact.kind, artifact.precision)
    if second is None:
        return graph
    other = bundle.find(*second)
    assert other is not None, "no bundle opens without it"
    return joined(graph, _load(bundle, other))


def _load(bundle: Bundle, artifact: Artifact) -> ModelProto:
    bundle.read(artifact.path)  # verifies it once more
    return onnx.load_model(bundle.root / artifact.path)


def joined(first: ModelProto, second: ModelProto) -> ModelProto:
    """Both graphs of a pair as one, from what goes into the first to what comes out of the second.

    Presence and embedding come out of the first.
    """
    del second.metadata_props[:]  # it says that it is of another kind
    given = {value.name: value for value in first.graph.output}
    between = []
    for value in second.graph.input:
        if value.name not in given:
            continue
        same = given[value.name].type == value.type or value.name != Tensor.BASIS
        name = value.name if same else _channels_last(first.graph, given[value.name], value)
        between.append((name, value.name))
    return onnx.compose.merge_models(first, second, io_map=between)


def _channels_last(graph: GraphProto, given: ValueInfoProto, wanted: ValueInfoProto) -> str:
    """Rearrange a graph's basis maps, which an engine leaves so by itself; gives their new name."""
    name = f"{given.name}/Transpose"
    graph.node.append(helper.make_node("Transpose", [given.name], [name], name, perm=(0, 2, 3, 1)))
    graph.value_info.append(given)
    given.CopyFrom(wanted)
    given.name = name
    return name
