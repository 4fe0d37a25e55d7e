"""``parity --layers`` names the layer that is wrong: a fault of every kind, in every graph."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sgn_rt.benchmarks.studies.graph_faults import OF_WEIGHTS
from sgn_rt.benchmarks.studies.layers import LayerBench, Named, Verdict, table
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import FLOATS, SECOND_HALVES, Kind, Precision

GRAPHS = [(k, p) for p in reversed(FLOATS) for k in Kind if k not in SECOND_HALVES]
WITHIN_LIMITS = {
    *("products in TF32", "one product in TF32"),
    *("bfloat16 in one product", "bfloat16, said to be fp16"),
    *("epsilon of one norm wrong", "epsilon of the norms wrong"),
}
"""Kinds that may hold at their own layer, as right engines of the precision differ as much: TF32 in
the STFT departs at the logarithm behind it."""
WITHIN_HALF = {"float16 overflow, saturated"}
"""The same of float16: in small layers one number is cut off, to the next below it."""


@pytest.mark.parametrize("number", range(len(GRAPHS)), ids=[f"{k}.{p}" for k, p in GRAPHS])
def test_the_layer_that_is_wrong_is_named(small_bundle, number):
    bundle = Bundle.open(small_bundle)
    artifact = bundle.find(*GRAPHS[number])
    assert artifact is not None
    bench = LayerBench(bundle, artifact)
    assert bench.sound is None
    # Of more than 300 in weights and dozens in single layers; others in each graph.
    found = [bench.find(fault) for fault in bench.faults(41 + 2 * number)]
    assert sum(named.kind.startswith(OF_WEIGHTS) for named in found) >= 5
    within = WITHIN_LIMITS | (WITHIN_HALF if artifact.precision == Precision.FP16 else set())
    seen = [named for named in found if named.kind not in within]
    assert {named.kind for named in seen} >= {"float16 overflow, to infinity"}
    assert [named for named in seen if named.verdict != Verdict.CULPRIT] == []
    tf32 = [named for named in found if named.kind == "products in TF32"]
    assert [named for named in tf32 if named.verdict == Verdict.UNSEEN] == []
    assert [named for named in found if named.verdict == Verdict.WRONG] == []


def test_the_table_tells_what_was_named_wrong_and_what_was_not():
    cases = (
        ("a", "a", "culprit"),
        ("b", "c", "wrong"),
        ("d", None, "unseen"),
        ("e", "f", "behind"),
    )
    found = [
        Named(graph="core.fp32", kind="k", where=where, layer=layer, verdict=Verdict(verdict))
        for where, layer, verdict in cases
    ]
    text = table(found)
    assert "| k | 1 of 4, 1 behind |" in text
    assert "- core.fp32: k, b: c was named" in text


def test_a_layer_that_has_nothing_to_do_with_a_fault_is_told_from_one_behind_it(small_bundle):
    bundle = Bundle.open(small_bundle)
    artifact = bundle.find(Kind.CORE, Precision.FP32)
    bench = LayerBench(bundle, artifact)
    fault = next(f for f in bench.faults(41) if f.kind == "float16 overflow, to infinity")
    for culprits, verdict in (
        (fault.culprits, Verdict.CULPRIT),
        ({"encoder.0.conv.weight"}, Verdict.BEHIND),
        ({"presence_head.weight"}, Verdict.WRONG),
    ):
        assert bench.find(replace(fault, culprits=frozenset(culprits))).verdict == verdict
