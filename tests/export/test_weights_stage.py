"""Every graph that is exported holds the checkpoint's weights; whatever else it holds is named."""

from __future__ import annotations

import onnx
import pytest

from sgn_rt.benchmarks.studies.graph_faults import weight_faults
from sgn_rt.benchmarks.studies.suspect import Suspect
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, FLOATS, SECOND_HALVES, Kind, Precision
from sgn_rt.model.graph_constants import constants_of
from sgn_rt.parity.weights import recipes_of, result_of, weights
from sgn_rt.reference import load

GRAPHS = [(k, p) for p in FLOATS for k in Kind if k not in SECOND_HALVES]
EVERY = 40
"""Of 335 faults in each graph: a tensor's factor of 1.001 among them, all of which are named."""


def plain(name: str) -> str:
    """Of a weight that layers share in int8, without the layer's."""
    return name.partition(":")[0]


def expect_named(bundle: Bundle, kind: Kind, precision: Precision, every: int, start: int) -> None:
    artifact = bundle.find(kind, precision)
    assert weights(bundle, artifact).figure == 0.0
    graph = onnx.load(bundle.root / artifact.path)
    suspect, right = Suspect(load(bundle.root / BUNDLE_CHECKPOINT)), recipes_of(bundle)
    found = 0
    for fault in weight_faults(suspect, artifact, graph, every, start):
        held = constants_of(fault.graph().SerializeToString(), {BUNDLE_CHECKPOINT: b""})
        result = result_of(held, right, artifact)
        assert not result.passed, (fault.kind, fault.where)
        assert plain(result.where) in set(map(plain, fault.culprits)), (fault.kind, fault.where)
        found += 1
    assert found >= 3


@pytest.mark.parametrize("number", range(len(GRAPHS)), ids=[f"{k}.{p}" for k, p in GRAPHS])
def test_every_graph(small_bundle, number):
    expect_named(Bundle.open(small_bundle), *GRAPHS[number], EVERY, 5 * number)


def test_int8(published_int8):
    bundle = Bundle.open(published_int8)
    expect_named(bundle, Kind.CORE, Precision.INT8, 100, 60)
