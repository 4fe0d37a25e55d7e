"""The model that ships, on the engines that are installed: the whole way, with real music."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sgn_rt
from sgn_rt.audio.labelled_music import load_music, shipped_music
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import BundleError, EngineError, UnavailableError
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, BUNDLE_MANIFEST, Kind, Precision
from sgn_rt.model.stages import Stage
from sgn_rt.model.transform import Transform
from sgn_rt.parity.measure import measure
from sgn_rt.parity.metrics import si_sdr as ratio
from sgn_rt.parity.weights import measure_with_weights
from sgn_rt.streaming.windows import WindowLayout

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def separator():
    with sgn_rt.Separator.open(parity="raise", engine="onnxruntime") as opened:
        yield opened


@pytest.fixture(scope="module")
def pieces():
    return load_music(None, 11025)


def test_every_stage_holds(separator):
    results = measure_with_weights(separator.engine, separator.bundle)
    shown = [stage for stage in Stage if stage != Stage.ASSIGNMENT]  # no graph of it gives one
    assert [result.stage for result in results] == shown
    assert [str(result) for result in results if not result.passed] == []


def test_the_manifest_says_what_of_a_window_is_heard(separator):
    """For programs that are not this package."""
    manifest = json.loads((embedded() / BUNDLE_MANIFEST).read_text())
    layout = WindowLayout.offline(separator.config)
    assert layout.discard_left == layout.discard_right == layout.lead
    said = {"discard_samples": layout.discard_left, "fade_samples": layout.fade}
    assert manifest["overlap_add"] == said


def test_the_reference_agrees_with_its_own_probes():
    pytest.importorskip("torch")
    bundle = Bundle.open()
    results = measure(open_engine("torch", bundle), bundle.probe, quick=True)
    assert [str(result) for result in results if not result.passed] == []


def test_the_goldens_go_through_the_engine(separator, golden, si_sdr, tolerance):
    """Window 0 of the published golden tensors: nobody's exporter has touched them."""
    mixture = golden["mixture"].reshape(-1, separator.config.window_samples)[:1]
    everything = np.arange(len(separator.categories))
    result = separator.engine.separate(mixture, everything)
    np.testing.assert_allclose(result.presence[0], golden["presence"].reshape(-1), atol=1e-4)
    picked = result.sources[0, golden["source_categories"]].astype("f2")  # as the golden ones are
    ratios = si_sdr(golden["sources"][0], picked)
    quiet = np.abs(golden["sources"][0]).max(axis=1) < 2e-3
    assert quiet.tolist() == [True, False, False]
    assert ratios[~quiet].min() > tolerance["golden"]
    assert ratios[quiet].min() > tolerance["golden_quiet"]


def test_instruments_are_found_and_come_out_clearer(separator, pieces):
    for piece in pieces:
        result = separator.separate(piece.mixture, sample_rate=11025)
        assert set(piece.stems) <= set(result.sources)
        for name, stem in piece.stems.items():
            before = ratio(piece.mixture, stem)
            assert ratio(result.sources[name][0], stem) > before + 3


def test_any_blocks_give_the_same_samples(separator):
    signal, rate = soundfile.read(shipped_music() / "003.mix.flac", dtype="float32")
    signal = np.stack([signal[: 9 * rate], signal[rate : 10 * rate]])
    offline = separator.separate(signal, ["tuba", "piano"], sample_rate=rate)
    stream = separator.stream(sample_rate=rate, channels=2, categories=["tuba", "piano"])
    parts, rng, at = [], np.random.default_rng(2), 0
    while at < signal.shape[1]:
        size = int(rng.integers(1, 40000))
        parts.append(stream.feed(signal[:, at : at + size]))
        at = min(at + size, signal.shape[1])
        out = sum(part["tuba"].shape[1] for part in parts)
        assert out == max(0, at - stream.latency_samples)
    parts.append(stream.flush())
    for name, source in offline.sources.items():
        np.testing.assert_array_equal(np.concatenate([p[name] for p in parts], axis=1), source)


def test_other_rates_hear_the_same(separator, pieces):
    """At 44.1 kHz and 8 kHz the same instruments come out as at the model's own rate."""
    piece = pieces[0]
    own = separator.separate(piece.mixture, ["tuba"], sample_rate=11025).sources["tuba"][0]
    high, rate = soundfile.read(shipped_music() / "003.mix.flac", dtype="float32")
    result = separator.separate(high, ["tuba"], sample_rate=rate).sources["tuba"][0]
    assert ratio(result[::4][: len(own)], own[: len(result[::4])]) > 15
    low = load_music(None, 8000)[0]
    result = separator.separate(low.mixture, ["tuba"], sample_rate=8000).sources["tuba"][0]
    assert ratio(result, low.stems["tuba"]) > ratio(low.mixture, low.stems["tuba"]) + 3


def test_a_seam_is_not_heard(separator, pieces):
    """Where windows meet, the error is no greater than elsewhere."""
    piece = pieces[0]
    source = separator.separate(piece.mixture, ["tuba"], sample_rate=11025).sources["tuba"][0]
    error = np.square((source - piece.stems["tuba"]).astype("f8"))
    layout = separator.stream(sample_rate=11025)._settings.layout
    seams = [layout.final(0), layout.final(1)]
    near = np.mean([error[at : at + layout.fade].mean() for at in seams])
    assert near < 2 * error.mean()


def test_a_graph_of_another_model(tmp_path, edit_manifest, fails):
    """Same sizes, other names: nothing but the graph's own record tells them apart."""
    folder = tmp_path / "bundle"
    shutil.copytree(Bundle.open().root, folder)
    path = folder / BUNDLE_CHECKPOINT
    content = path.read_bytes()
    turned = content.replace(b"accordion", b"violin_ii").replace(b"violin\\", b"accord\\")
    assert turned != content
    path.write_bytes(turned)
    record = {"sha256": hashlib.sha256(turned).hexdigest(), "bytes": len(turned)}

    def change(manifest):
        names = manifest["config"]["categories"]
        names[names.index("violin")], names[0] = "accord", "violin_ii"
        manifest["files"][BUNDLE_CHECKPOINT] = record

    edit_manifest(folder, change)
    with fails(BundleError, "core.fp32.onnx: got a graph of another model"):
        open_engine("onnxruntime", Bundle.open(folder))


def test_a_provider_that_is_not_there_is_never_the_cpu(fails):
    import onnxruntime

    provider = "CUDAExecutionProvider"
    if provider in onnxruntime.get_available_providers():
        pytest.skip(f"this onnxruntime has {provider}")
    with fails(UnavailableError, "provider: got only", f"expected {provider}", "onnxruntime-gpu>="):
        open_engine("onnxruntime-cuda:core.fp32", Bundle.open())


def test_a_graph_without_profiles_is_none_for_tensorrt_s_provider(fails):
    with fails(EngineError, "core.fp32, whose shapes it is not told", "Choose waveform.fp32"):
        open_engine("onnxruntime-tensorrt:core.fp32", Bundle.open())


def test_the_choice_of_categories_changes_no_source(separator, pieces):
    window = pieces[0].mixture[None, :65280]
    full = separator.engine.separate(window, np.arange(11))
    for choice in ([], [8], [5, 0]):
        got = separator.engine.separate(window, np.array(choice, np.int64))
        assert got.sources.shape == (1, len(choice), 65280)
        np.testing.assert_allclose(got.presence, full.presence, atol=1e-6)
        np.testing.assert_allclose(got.sources, full.sources[:, choice], atol=1e-6)


def test_presence_alone_runs_no_decoder(separator, pieces, monkeypatch):
    """Finding the categories costs only the part of the graph that presence needs."""
    asked, run = [], separator.engine.session.run
    monkeypatch.setattr(
        separator.engine.session,
        "run",
        lambda outputs, inputs: asked.append(outputs) or run(outputs, inputs),
    )
    separator.engine.separate(pieces[0].mixture[None, :65280], np.array([], np.int64))
    assert asked == [("presence",)]


def test_short_and_silent_recordings(separator):
    for samples in (1, 100, 5000):
        result = separator.separate(np.zeros(samples, np.float32), sample_rate=11025)
        assert result.peak == 0.0
        named = separator.separate(
            np.zeros(samples, np.float32), ["violin"], sample_rate=11025, residual=True
        )
        assert not named.sources["violin"].any()
        assert not named.sources["residual"].any()
    click = np.zeros(7, np.float32)
    click[3] = 0.5
    result = separator.separate(click, ["violin"], sample_rate=192000, residual=True)
    assert result.sources["violin"].shape == (1, 7)
    assert np.isfinite(result.sources["violin"]).all()


def test_what_ships_is_what_was_published(checkpoint_path):
    bundle = Bundle.open()
    assert bundle.root == Path(sgn_rt.__file__).parent / "data" / "instruments"
    assert bundle.find(Kind.CORE, Precision.FP32) is not None
    assert bundle.has_checkpoint
    assert (bundle.root / "checkpoint.safetensors").samefile(checkpoint_path)
    assert len(bundle.config.categories) == 11
    assert Transform(bundle.config).config.window_samples == 65280
