"""Pairs of engines: built, proved and written together, or not at all."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgn_rt.errors import BundleError, EngineError, ParityError
from sgn_rt.model.contract import Kind, Precision, exists
from sgn_rt.model.stages import LIMITS, Stage, StageResult
from sgn_rt.tensorrt import engine_files
from sgn_rt.tensorrt.build import build_engines
from sgn_rt.tensorrt.build.build_engines import BuildRequest, build_into
from sgn_rt.tensorrt.build.builder import Built
from sgn_rt.tensorrt.build.engine_summary import Figure
from sgn_rt.tensorrt.build.options import BuildOptions
from sgn_rt.tensorrt.build.rebuild import rebuild_requests
from sgn_rt.tensorrt.engine_files import folder_of, halves_of, read_sidecars
from sgn_rt.tensorrt.profiles import profiles_for
from sgn_rt.tensorrt.sidecar import PluginLibrary
from sgn_rt.tensorrt.trust import is_trusted


@pytest.fixture
def pair(bundle):
    """The bundle with a network and its synthesis in the place of its whole graph."""
    (whole,) = bundle.artifacts
    graphs = [
        SimpleNamespace(
            path=f"{kind}.{precision}.onnx",
            kind=kind,
            precision=precision,
            external=(),
            name=f"{kind}.{precision}",
        )
        for kind, precision in product((Kind.PLUGIN, Kind.SYNTHESIS), Precision)
        if exists(kind, precision)
    ]
    record = bundle.files[whole.path]
    bundle.files = {graph.path: record for graph in graphs}
    bundle.artifacts = tuple(graphs)
    by_key = {(graph.kind, graph.precision): graph for graph in graphs}
    bundle.find = lambda kind, precision: by_key.get((kind, precision))
    return bundle


@pytest.fixture
def both(pair, trt, device, monkeypatch):
    """`build_into` of a pair: (options, whether it holds) -> sidecars; engines are their names."""
    record = PluginLibrary(version="1", sha256="0" * 64)
    library = SimpleNamespace(path=Path("library"), record=record)
    monkeypatch.setattr(build_engines, "plugin_library", lambda: library)
    figure = Figure(
        kernels=1, kinds={}, casts=0, movers=0, attention=0, plugins=(), norms=0,
        activation_bytes=(1, 2), weights_bytes=3,
    )  # fmt: skip
    proved = []

    def builder(trt, bundle, artifact, options, **others):
        most = options.max_sources or len(bundle.config.categories)
        profiles = profiles_for(artifact.kind, bundle.config, options.max_batch, most)
        return Built(content=artifact.name.encode(), profiles=profiles, figure=figure)

    def run(figure=60.0, precision=Precision.FP16, **options):
        limit = LIMITS[Stage.WHOLE][Precision.FP16]

        def prover(halves):
            proved.append([content for _, content in halves])
            return [StageResult(stage=Stage.WHOLE, figure=figure, limit=limit)]

        request = BuildRequest(
            kind=Kind.PLUGIN, precisions=(precision,), options=BuildOptions(gpus=(), **options)
        )
        written = build_into(pair, trt, request, device=device, prover=prover, builder=builder)
        return written, proved

    return run


def test_both_halves_are_built_and_proved_as_one(both, pair):
    written, proved = both(optimization_level=2, aux_streams=1)
    assert [each.artifact for each in written] == ["plugin.fp16", "synthesis.fp16"]
    assert proved == [[b"plugin.fp16", b"synthesis.fp16"]]
    assert [each.name for each in read_sidecars(pair)] == [each.name for each in written]
    network, synthesis = written
    assert halves_of(pair, network) == written
    assert network.proof is not None
    assert (network.max_sources, synthesis.max_sources) == (None, 3)
    assert [each.aux_streams for each in written] == [1, 1]
    assert all(is_trusted(each) for each in written)
    assert "--kind plugin --precision fp16" in synthesis.build_command


def test_a_pair_that_fails_parity_leaves_nothing(both, pair):
    with pytest.raises(ParityError, match="stage whole: got 20 dB"):
        both(figure=20.0)
    assert not folder_of(pair).exists()


@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_a_build_that_cannot_be_written_leaves_no_network_without_its_synthesis(
    both, pair, monkeypatch, write
):
    """Whichever of four files it is; the engines that were there before are no pair, either."""
    both()
    good, calls = engine_files.write_whole, []

    def full(path, content):
        calls.append(path)
        if len(calls) == write:
            raise OSError(28, "No space left on device")
        good(path, content)

    monkeypatch.setattr(engine_files, "write_whole", full)
    with pytest.raises(BundleError, match="No space left"):
        both(max_batch=2)
    assert "plugin.fp16" not in [each.artifact for each in read_sidecars(pair)]
    monkeypatch.undo()


def test_a_network_without_its_synthesis_is_half_a_pair(both, pair, fails):
    network, synthesis = both()[0]
    (folder_of(pair) / f"{synthesis.name}.json").unlink()
    with fails(EngineError, "got no engine of the synthesis", "--kind plugin --precision fp16"):
        halves_of(pair, network)


def test_a_pair_is_built_again_as_one_and_as_it_was(both, pair, trt, device):
    _, synthesis = both(max_batch=6, max_sources=2, optimization_level=4)[0]
    assert rebuild_requests(pair, trt, device) == []
    (folder_of(pair) / f"{synthesis.name}.engine").unlink()
    (request,) = rebuild_requests(pair, trt, device)
    assert (request.kind, request.precisions) == (Kind.PLUGIN, (Precision.FP16,))
    options = request.options
    assert (options.max_batch, options.max_sources, options.optimization_level) == (6, 2, 4)


def test_a_synthesis_goes_on_to_serve_other_networks(both, pair):
    """Of int8's network and float16's there is one: it takes what the larger of them does."""
    both(max_batch=6, max_sources=3)
    network, synthesis = both(max_batch=2, max_sources=1, precision=Precision.INT8)[0]
    assert network.max_batch == 2
    assert (synthesis.max_batch, synthesis.max_sources) == (6, 3)
    # Alone, it is as the build says.
    (folder_of(pair) / "plugin.int8.tensorrt.sm89.json").unlink()
    assert both(max_batch=2)[0][1].max_batch == 2
