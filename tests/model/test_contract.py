"""What exporter and runtime agree on: pairs of graphs, and what goes from one into the other."""

from __future__ import annotations

from itertools import product

import pytest

from sgn_rt.model.contract import (
    FLOATS,
    GRAPH_INPUTS,
    GRAPH_OUTPUTS,
    SECOND_HALVES,
    Axis,
    Kind,
    Precision,
    Tensor,
    axes_of,
    body_of,
    exists,
    networks_of,
    partner,
    type_of,
)
from sgn_rt.model.shapes import shape_of

GRAPHS = [graph for graph in product(Kind, Precision) if exists(*graph)]
PAIRS = [graph for graph in GRAPHS if partner(*graph) is not None]


def test_int8_is_of_two_networks_and_what_stays_is_what_their_makers_are_best_at():
    assert {graph for graph in GRAPHS if graph[1] == Precision.INT8} == {
        (Kind.CORE, Precision.INT8), (Kind.PLUGIN, Precision.INT8),
    }  # fmt: skip
    assert partner(Kind.CORE, Precision.INT8) == (Kind.MASKS, Precision.FP32)
    assert partner(Kind.PLUGIN, Precision.INT8) == (Kind.SYNTHESIS, Precision.FP16)
    assert body_of(Kind.PLUGIN, Precision.INT8) == Precision.FP16
    assert all(body_of(kind, precision) == precision for kind, precision in product(Kind, FLOATS))


@pytest.mark.parametrize("network", PAIRS, ids="-".join)
def test_a_pair_agrees_on_what_goes_between(network):
    second = partner(*network)
    assert second is not None
    assert second[0] in SECOND_HALVES
    assert network in networks_of(*second)
    shared = [name for name in GRAPH_INPUTS[second[0]] if name in GRAPH_OUTPUTS[network[0]]]
    assert Tensor.BASIS in shared
    for name in shared:
        of_both = ((network[0], name, network[1]), (second[0], name, second[1]))
        assert len({type_of(*each) for each in of_both}) == 1
        mine, theirs = axes_of(network[0], name), axes_of(second[0], name)
        if (second[0], name) == (Kind.SYNTHESIS, Tensor.BASIS):  # as an engine lays them out
            batch, channels, *plane = mine
            mine = (batch, *plane, channels)
        if (second[0], name) != (Kind.MASKS, Tensor.GUIDE):  # the host picks those chosen
            assert mine == theirs


def test_what_is_whole_needs_nothing_beside_it():
    for kind, precision in GRAPHS:
        whole = kind in {Kind.WAVEFORM, *SECOND_HALVES}
        assert (partner(kind, precision) is None) == whole


def test_the_network_is_run_before_categories_are_chosen():
    for kind in (Kind.CORE, Kind.PLUGIN):
        assert Tensor.CATEGORIES not in GRAPH_INPUTS[kind]
        assert all(Axis.SOURCES not in axes_of(kind, name) for name in GRAPH_OUTPUTS[kind])


def test_shapes_follow_from_the_model(config):
    def shape(name):
        return shape_of(Kind.SYNTHESIS, name, config, batch=3, sources=2)

    assert shape(Tensor.SPECTRUM) == (3, config.frames, config.bins, 2)
    channels = -(-config.mask_basis // 8) * 8  # what TensorRT pads them to
    assert shape(Tensor.BASIS) == (3, config.frequency_bins, config.frames, channels)
    assert shape(Tensor.GUIDE) == (3, len(config.categories), config.mask_basis + 1)
    assert shape(Tensor.CATEGORIES) == (2,)
    assert shape(Tensor.SOURCES) == (3, 2, config.window_samples)
