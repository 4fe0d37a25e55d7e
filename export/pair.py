"""Graphs of a bundle as they are compared: what is a pair as one graph."""

from __future__ import annotations

import onnx
from onnx import ModelProto

from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import SECOND_HALVES, partner


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
    second = None if bundle.schema == 1 else partner(artifact.kind, artifact.precision)
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
    given = {value.name for value in first.graph.output}
    between = [(value.name,) * 2 for value in second.graph.input if value.name in given]
    return onnx.compose.merge_models(first, second, io_map=between)
