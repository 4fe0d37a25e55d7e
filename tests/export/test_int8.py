"""int8 from checkpoint to engine: calibrated, proved, on record, and chosen only by name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import numpy_helper

from sgn_rt.audio.labelled_music import load_music, shipped_mixtures
from sgn_rt.benchmarks.studies.int8 import losses
from sgn_rt.engines.factory import candidates, open_engine
from sgn_rt.errors import ConfigError, EngineError
from sgn_rt.export.calibration import LAYER_LIMIT, calibration_material
from sgn_rt.export.int8 import build_int8
from sgn_rt.export.layer_result import first_departure
from sgn_rt.export.layerwise import compare_layers
from sgn_rt.export.quantize import layers_of
from sgn_rt.export.writer import export_bundle
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import GraphKey, Kind, Precision
from sgn_rt.model.stages import LIMITS, Stage
from sgn_rt.parity.measure import measure
from sgn_rt.reference import load
from sgn_rt.separator import Separator

SPEC = "onnxruntime:core.int8"


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[Path]:
    """Three seconds of the music that ships: a few windows are enough here."""
    signal, rate = soundfile.read(shipped_mixtures()[0], frames=3 * 44100)
    path = tmp_path_factory.mktemp("music") / "mine.wav"
    soundfile.write(path, signal, rate, subtype="FLOAT")
    return [path]


@pytest.fixture(scope="module")
def folder(small_checkpoint, tmp_path_factory, recordings, told):
    """A small model's networks in int8, with their second halves."""
    path = tmp_path_factory.mktemp("int8") / "bundle"
    export_bundle(
        small_checkpoint, path, kinds=[Kind.CORE, Kind.PLUGIN], precisions=[Precision.INT8],
        calibration=recordings, tell=told.append,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def bundle(folder):
    return Bundle.open(folder)


def quantization(folder) -> dict[str, dict]:
    """What the manifest records, by graph."""
    manifest = json.loads((folder / "bundle.json").read_text())
    return {
        f"{entry['kind']}.{entry['precision']}": entry["quantization"]
        for entry in manifest["artifacts"] if "quantization" in entry
    }  # fmt: skip


def test_each_comes_with_the_second_half_of_its_body(bundle):
    names = {artifact.name for artifact in bundle.artifacts}
    assert names == {"core.int8", "masks.fp32", "plugin.int8", "synthesis.fp16"}


def test_each_is_proved_within_limits_of_its_own(bundle):
    for artifact in bundle.artifacts:
        assert {"network", "whole", "decision"} <= set(artifact.parity)
        assert all(entry["passed"] for entry in artifact.parity.values())
        limit = artifact.parity[Stage.NETWORK]["limit"]
        assert limit == LIMITS[Stage.NETWORK][Precision.INT8].value


def test_how_it_was_calibrated_is_on_record(folder):
    records = quantization(folder)
    assert set(records) == {"core.int8", "plugin.int8"}
    for name, record in records.items():
        graph = onnx.load(folder / f"{name}.onnx")
        metadata = {entry.key: entry.value for entry in graph.metadata_props}
        assert json.loads(metadata[GraphKey.QUANTIZATION]) == record
        assert metadata[GraphKey.PRECISION] == "int8"
        assert [file["name"] for file in record["files"]] == ["mine.wav"]
        assert record["ranges"] == "least and largest"
        assert 2 < record["windows"] < 8
        assert record["limit"] == LAYER_LIMIT
        held = {tensor.name for tensor in graph.graph.initializer}
        assert all(moved <= LAYER_LIMIT for moved in record["int8"].values())
        assert all(moved > LAYER_LIMIT for moved in record["kept"].values())
        in_int8 = {n.removesuffix(".weight.int") for n in held if n.endswith(".weight.int")}
        assert {n.partition(".phase")[0] for n in in_int8} <= set(record["int8"])
        assert not in_int8 & set(record["kept"])
    assert records["core.int8"]["activations"] == "uint8"
    assert records["plugin.int8"]["activations"] == "int8"


def test_progress_is_told_layer_by_layer(folder, told):
    layers = [line for line in told if line.startswith("quantising layer ")]
    assert len(layers) == 18 + 11  # of plugin without the decoder
    assert layers[0] == "quantising layer 1 of 18 alone: encoder.0.conv"


def test_two_exports_are_identical(folder, small_checkpoint, recordings):
    model = load(small_checkpoint)
    material = calibration_material(recordings, model.config)
    graph, _ = build_int8(model, Kind.CORE, material, lambda line: None)
    content = graph.SerializeToString(deterministic=True)
    assert content == (folder / "core.int8.onnx").read_bytes()


def test_it_runs_by_name_and_is_never_chosen_otherwise(folder, bundle):
    assert not [name for name in candidates(["onnxruntime"], bundle) if "int8" in name]
    with Separator.open(folder, engine=SPEC, parity="raise") as separator:
        mixture = np.zeros(bundle.config.window_samples, np.float32)
        mixture[::50] = 0.3
        result = separator.separate(mixture, [], sample_rate=bundle.config.sample_rate)
        assert separator.engine.precision == Precision.INT8
        assert np.isfinite(list(result.presence.values())).all()
    # A bundle that has nothing else: the reference is what is left.
    with Separator.open(folder, parity="off") as separator:
        assert separator.engine.precision == Precision.FP32


def test_its_layers_hold_and_one_that_is_wrong_is_named(bundle, folder, tmp_path, edit_manifest):
    artifact = bundle.find(Kind.CORE, Precision.INT8)
    results = compare_layers(bundle, artifact)
    assert first_departure(results) is None
    assert all(result.limit in (15.0, 30.0) for result in results)
    assert any(result.snr < 60.0 for result in results)

    spoiled = shutil.copytree(folder, tmp_path / "spoiled")
    graph = onnx.load(spoiled / artifact.path)
    name = next(t.name for t in graph.graph.initializer if t.name == "encoder.5.conv.weight.scale")
    scale = next(t for t in graph.graph.initializer if t.name == name)
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.2), name))
    _put(spoiled, artifact.path, graph.SerializeToString(), edit_manifest)
    other = Bundle.open(spoiled)
    first = first_departure(compare_layers(other, other.find(Kind.CORE, Precision.INT8)))
    assert first is not None
    assert first.layer == "encoder.5.conv.weight"


def _put(folder, name, content, edit_manifest) -> None:
    (folder / name).write_bytes(content)
    record = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: record}))


@pytest.mark.parametrize("kind", [Kind.CORE, Kind.PLUGIN])
def test_the_body_can_be_told_from_its_layers(folder, kind):
    record = quantization(folder)[f"{kind}.int8"]
    graph = onnx.load(folder / f"{kind}.int8.onnx")
    assert set(layers_of(graph)) == set(record["kept"])  # what still has its weights as floats


def test_what_there_is_not_is_refused(small_checkpoint, tmp_path, fails):
    with fails(ConfigError, "graphs: got waveform.int8", "core.int8, plugin.int8"):
        export_bundle(
            small_checkpoint, tmp_path / "out", kinds=[Kind.WAVEFORM], precisions=[Precision.INT8]
        )
    with fails(ConfigError, "calibration: got 1 recordings for fp32"):
        export_bundle(
            small_checkpoint, tmp_path / "out", kinds=[Kind.CORE], precisions=[Precision.FP32],
            calibration=[tmp_path / "mine.wav"],
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
    bundle = Bundle.open()
    with pytest.raises(EngineError, match=r"expected .*core\.int8"):
        open_engine(SPEC, bundle)


def test_the_shipped_model_stays_as_good(published_int8, si_sdr):
    """The promise: less than 0.05 dB in the mean over the music that ships."""
    bundle = Bundle.open(published_int8)
    engines = [open_engine(f"onnxruntime:core.{p}", bundle, 1) for p in ("fp32", "int8")]
    pieces = load_music(None, bundle.config.sample_rate)
    found = [loss.decibels for loss in losses(*engines, pieces)]
    assert len(found) == 12
    assert 0 < np.abs(found).mean() < 0.1
    assert np.mean(found) < 0.05
    assert all(result.passed for result in measure(engines[1], bundle.probe))
    assert set(quantization(published_int8)["core.int8"]["kept"]) == {
        *(f"encoder.{level}.conv" for level in range(4)), "decoder.6.conv",
    }  # fmt: skip
