"""ONNX Runtime's engines: a pair of graphs, one of schema 1, and that a source stands alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import BundleError, EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import GraphKey
from sgn_rt.model.graph_file import metadata_of
from sgn_rt.parity.measure import measure

pytest.importorskip("onnxruntime")

SCHEMA_1 = Path(__file__).parents[1] / "data" / "bundle_schema1"


@pytest.fixture(scope="module")
def engine():
    return open_engine("onnxruntime", Bundle.open())


@pytest.fixture
def mixture(golden):
    window = golden["mixture"].reshape(1, -1)
    return np.concatenate([window, np.roll(window, 4001) * np.float32(0.3), window])


def watch(session, monkeypatch) -> list[tuple[str, ...]]:
    """Outputs of every run of a session, as they are asked for."""
    asked, run = [], session.run
    monkeypatch.setattr(
        session, "run", lambda outputs, inputs: asked.append(outputs) or run(outputs, inputs)
    )
    return asked


def test_a_source_is_the_same_to_the_bit_whatever_else_is_asked(engine, mixture):
    everything = np.arange(len(engine.config.categories))
    full = engine.separate(mixture[:1], everything)
    assert np.ptp(full.sources) > 0.01
    for choice in ([3], [10, 4], [4, 4, 0], everything[::-1]):
        some = engine.separate(mixture[:1], np.array(choice))
        np.testing.assert_array_equal(some.sources, full.sources[:, choice])
        np.testing.assert_array_equal(some.presence, full.presence)


def test_nor_do_the_windows_beside_it_change_it(engine, mixture):
    chosen = np.array([10, 4])
    together = engine.separate(mixture, chosen)
    for row, window in enumerate(mixture):
        alone = engine.separate(window[None], chosen)
        np.testing.assert_array_equal(alone.sources[0], together.sources[row])
        np.testing.assert_array_equal(alone.presence[0], together.presence[row])
    np.testing.assert_array_equal(together.sources[0], together.sources[2])


def test_masks_of_a_category_alone_and_among_all(engine, golden):
    everything = np.arange(len(engine.config.categories))
    full = engine.masks(golden["logmag"], everything)
    for category in everything:
        alone = engine.masks(golden["logmag"], np.array([category]))
        np.testing.assert_array_equal(alone.masks[:, 0], full.masks[:, category])


def test_the_network_runs_once_and_what_is_late_costs_a_mask(engine, mixture, monkeypatch):
    runs, session = [], engine.session.run
    monkeypatch.setattr(
        engine.session,
        "run",
        lambda outputs, inputs: runs.append(outputs) or session(outputs, inputs),
    )
    (analysis,) = engine.analyze(mixture[:1])
    first = engine.synthesize(analysis, np.array([10]))
    late = engine.synthesize(analysis, np.array([4, 10]))
    assert runs == [("presence", "basis", "guide")]
    np.testing.assert_array_equal(first[0], late[1])


def test_presence_alone_runs_no_decoder_and_a_source_can_still_be_had(engine, mixture, monkeypatch):
    runs, session = [], engine.session.run
    monkeypatch.setattr(
        engine.session,
        "run",
        lambda outputs, inputs: runs.append(outputs) or session(outputs, inputs),
    )
    (analysis,) = engine.analyze(mixture[:1], np.array([], np.int64))
    assert runs == [("presence",)]
    (whole,) = engine.analyze(mixture[:1])
    np.testing.assert_array_equal(analysis.presence, whole.presence)
    np.testing.assert_array_equal(
        engine.synthesize(analysis, np.array([4])), engine.synthesize(whole, np.array([4]))
    )


def test_maps_are_handed_on_and_not_copied(engine, mixture):
    (analysis,) = engine.analyze(mixture[:1])
    _, maps = analysis.state
    assert maps.basis.flags.c_contiguous
    assert not maps.basis.flags.owndata  # ONNX Runtime's own memory


def test_masks_alone_are_no_engine(fails):
    with fails(EngineError, "got masks.fp32", "Choose core.fp32"):
        open_engine("onnxruntime:masks.fp32", Bundle.open())


def test_a_bundle_of_schema_1_runs(si_sdr):
    """Written by the exporter of 0.1.0: one graph, which takes categories and gives their masks."""
    bundle = Bundle.open(SCHEMA_1)
    engine = open_engine("onnxruntime", bundle)
    results = measure(engine, bundle.probe)
    assert [str(result) for result in results if not result.passed] == []
    assert len(results) >= 6
    (analysis,) = engine.analyze(bundle.probe.mixture[:1])
    sources = engine.synthesize(analysis, bundle.probe.categories[0])
    assert (si_sdr(bundle.probe.sources[0], sources) > 80.0).all()


@pytest.mark.parametrize("key", [GraphKey.SCHEMA, GraphKey.KIND, GraphKey.PRECISION])
def test_a_graph_that_calls_itself_something_else(key, monkeypatch, fails):
    """Metadata that does not fit is refused before anything parses the graph."""
    monkeypatch.setattr(
        "sgn_rt.model.graph_file.metadata_of", lambda graph: metadata_of(graph) | {key: "other"}
    )
    with fails(BundleError, "core.fp32.onnx: got a graph that calls itself", "'other'"):
        open_engine("onnxruntime", Bundle.open())
