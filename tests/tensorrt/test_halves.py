"""Network and synthesis of a pair seen apart: each fault shows in its own stage."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.engines.tensorrt_engine import TensorRTEngine
from sgn_rt.model.contract import GRAPH_INPUTS, GRAPH_OUTPUTS, Kind, Tensor
from sgn_rt.model.stages import Stage
from sgn_rt.model.transform import Transform
from sgn_rt.parity.measure import measure

from . import fakes

SLOPES = np.array([0.3, -0.2, 0.1], np.float32)


@pytest.fixture
def spoilt():
    """What is wrong with the network's maps, and with the synthesis's masks."""
    return {"maps": lambda maps: maps, "masks": lambda masks: masks}


@pytest.fixture
def engine(monkeypatch, bundle, pair, config, spoilt):
    """Half a network that makes the masks of `FakeMaskEngine`, and half a synthesis like it."""
    transform = Transform(config)
    plane = (config.frequency_bins, config.frames, -1)

    def network(array, trt):
        del trt
        array("guide")[:] = 0.0
        array("guide")[..., 0] = SLOPES
        array("basis")[:] = 0.0
        for row, window in enumerate(array("mixture")):
            spectrum = transform.stft(window)
            parts = np.stack([spectrum.real, spectrum.imag], -1).transpose(1, 0, 2)
            array("spectrum")[row] = parts
            level = transform.log_magnitude(spectrum)[0]
            maps = array("basis")[row].reshape(plane)
            maps[..., 0] = spoilt["maps"](level - level.mean())
        array("presence")[:] = [0.9, 0.8, 0.1]
        array("embedding")[:] = 1.0

    def synthesis(array, trt):
        del trt
        for row, maps in enumerate(array("basis")):
            parts = array("spectrum")[row].transpose(1, 0, 2)
            spectrum = (parts[..., 0] + 1j * parts[..., 1]).astype(np.complex64)
            for column, category in enumerate(array("categories")):
                *weights, bias = array("guide")[row, category]
                maps = array("basis")[row].reshape(plane).astype(np.float32)
                logit = maps[..., : len(weights)] @ np.array(weights) + bias
                mask = spoilt["masks"](1 / (1 + np.exp(-logit))).astype(np.float32)
                array("sources")[row, column] = transform.synthesize(spectrum, mask)

    monkeypatch.setitem(fakes.COMPUTE, Kind.PLUGIN, network)
    monkeypatch.setitem(fakes.COMPUTE, Kind.SYNTHESIS, synthesis)
    return TensorRTEngine("tensorrt", bundle, pair)


@pytest.fixture
def probe(mask_engine, probe_of, config):
    return probe_of(mask_engine(config))


A, M, S, W, L, Q = (
    Stage.ANALYSIS, Stage.ANALYSIS_MAX, Stage.SYNTHESIS, Stage.WHOLE, Stage.LEVEL, Stage.QUALITY
)  # fmt: skip


def failed(results) -> set[Stage]:
    return {result.stage for result in results if not result.passed}


def test_the_reference_in_two_halves_passes_every_stage(engine, probe, nothing_left):
    results = measure(engine, probe)
    unseen = {Stage.NETWORK, Stage.NETWORK_MAX, Stage.ASSIGNMENT, Stage.WEIGHTS}
    assert [result.stage for result in results] == [s for s in Stage if s not in unseen]
    assert failed(results) == set()
    figures = {result.stage: result.figure for result in results}
    assert figures[M] < 1e-3  # the maps are float16
    assert figures[S] > 66.0
    engine.close()
    assert nothing_left() == {}


@pytest.mark.parametrize(
    ("half", "change", "stages"),
    [
        ("maps", lambda maps: 3.0 * maps, {A, M, W}),
        ("maps", lambda maps: np.roll(maps, 9, axis=0), {A, M, W, Q}),
        ("masks", lambda masks: 0.9 * masks, {L}),  # SI-SDR sees no gain
        ("masks", lambda masks: np.roll(masks, 9, axis=0), {S, W, Q}),
    ],
)
def test_what_is_wrong_with_a_half_shows_there(engine, probe, spoilt, half, change, stages):
    spoilt[half] = change
    seen = failed(measure(engine, probe))
    assert seen & {A, M, S} == stages & {A, M, S}
    assert stages <= seen


def test_sources_that_are_more_than_there_are_maps_come_in_several_calls(engine, config, module):
    rng = np.random.default_rng(0)
    transform = Transform(config)
    spectrum = transform.stft(rng.standard_normal(config.window_samples, np.float32))
    plane = (config.frequency_bins, config.frames)
    masks = rng.uniform(0, 1, (5, *plane)).astype(np.float32)
    masks[0] = 0.0
    masks[1] = 1.0
    found = engine.apart.sources(spectrum, masks)
    assert len(module.executed) == 3  # the engine takes two categories at a time
    for source, mask in zip(found, masks, strict=True):
        np.testing.assert_allclose(source, transform.synthesize(spectrum, mask), atol=2e-3)


def test_a_whole_engine_shows_only_the_whole(bundle, whole):
    assert TensorRTEngine("tensorrt", bundle, whole).apart is None


def test_the_exported_halves_hold_parity_on_the_lanes(monkeypatch, bundle, pair, config):
    """What is exported, run by PyTorch in the place of TensorRT: layouts, scales and states fit."""
    torch = pytest.importorskip("torch")
    from sgn_rt.audio.labelled_music import load_music
    from sgn_rt.export.plugin import PluginNetwork, Synthesis
    from sgn_rt.export.probes import make_probe
    from sgn_rt.export.weights import GraphWeights
    from sgn_rt.reference import random_model

    model = random_model(config, seed=5)
    halves = {
        Kind.PLUGIN: PluginNetwork(GraphWeights(model)).eval(),
        Kind.SYNTHESIS: Synthesis(config).eval(),
    }

    def compute(kind):
        def run(array, trt):
            del trt
            given = [
                torch.from_numpy(array(str(name)).astype(np.float32) if name == Tensor.BASIS
                                 else array(str(name)).copy())
                for name in GRAPH_INPUTS[kind]
            ]  # fmt: skip
            with torch.inference_mode():
                found = halves[kind](*given)
            found = found if isinstance(found, tuple) else (found,)
            for name, value in zip(GRAPH_OUTPUTS[kind], found, strict=True):
                target = array(str(name))
                if name == Tensor.BASIS:  # as the engine leaves it: channels last
                    value = value.permute(0, 2, 3, 1)
                target.reshape(value.shape)[...] = value.numpy()

        return run

    for kind in halves:
        monkeypatch.setitem(fakes.COMPUTE, kind, compute(kind))
    engine = TensorRTEngine("tensorrt", bundle, pair)
    probe = make_probe(model, load_music(None, config.sample_rate))
    results = measure(engine, probe)
    assert failed(results) == set()
    figures = {result.stage: result.figure for result in results}
    assert figures[A] < 1e-3  # of float16 only the maps
    assert min(figures[S], figures[W]) > 55.0
