"""What int8 is calibrated on, and which layers stay as they are."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.errors import AudioError
from sgn_rt.export import calibration
from sgn_rt.export.calibration import LAYER_LIMIT, MOST_WINDOWS, calibrate, calibration_material
from sgn_rt.export.quantize import SCHEMES
from sgn_rt.model.contract import Kind

HURTS, HOLDS = "encoder.0.conv", "encoder.1.conv"


def recording(path, samples: int, rate: int):
    noise = 0.1 * np.random.default_rng(samples).standard_normal((samples, 2))
    soundfile.write(path, noise, rate, subtype="FLOAT")
    return path


def test_it_is_the_music_that_ships_unless_some_is_given(config):
    material = calibration_material((), config)
    names = [file["name"] for file in material.files]
    assert names == ["003.mix.flac", "004.mix.flac"]
    for file in material.files:
        content = (shipped_music() / file["name"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert material.windows.shape == (MOST_WINDOWS, config.window_samples)
    assert material.windows.dtype == np.float32


def test_windows_overlap_by_half_and_none_is_too_short(config, tmp_path):
    size, rate = config.window_samples, config.sample_rate
    long = recording(tmp_path / "long.wav", 2 * size, rate)
    short = recording(tmp_path / "short.wav", size // 3, rate)
    material = calibration_material((long, short), config)
    assert [file["name"] for file in material.files] == ["long.wav", "short.wav"]
    assert len(material.windows) == 4
    mono = soundfile.read(long, dtype="float32")[0].mean(axis=1)
    for window, start in zip(material.windows, (0, size // 2, size), strict=False):
        np.testing.assert_allclose(window, mono[start : start + size], atol=1e-6)
    assert np.any(material.windows[3][: size // 3])
    assert not np.any(material.windows[3][size // 3 :])


def test_what_does_not_read_is_told(config, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"text\.wav"):
        calibration_material((tmp_path / "text.wav",), config)


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    """Two layers and their masks. One weight of the first is so large that all others vanish."""
    rng = np.random.default_rng(5)
    first = rng.normal(0.0, 0.3, (16, 16)).astype(np.float32)
    first[0] = 900.0
    second = rng.normal(0.0, 0.1, (16, 16)).astype(np.float32)
    weights = {f"{HURTS}.weight": first, f"{HOLDS}.weight": second}
    nodes = [
        helper.make_node("MatMul", ["x", f"{HURTS}.weight"], ["hidden"], "hidden"),
        helper.make_node("MatMul", ["hidden", f"{HOLDS}.weight"], ["logits"], "logits"),
        helper.make_node("Sigmoid", ["logits"], ["masks"], "masks"),
    ]
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        nodes, "two layers",
        [value("x", TensorProto.FLOAT, [1, 64, 16])],
        [value("masks", TensorProto.FLOAT, [1, 64, 16])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def feeds(count: int) -> list[dict[str, np.ndarray]]:
    x = np.random.default_rng(6).normal(size=(count, 1, 64, 16)).astype(np.float32)
    x[..., 0] *= 1e-4
    return [{"x": each} for each in x]


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_layer_that_hurts_stays_as_it_is(graph, kind):
    told: list[str] = []
    found = calibrate(graph, "masks", feeds(3), SCHEMES[kind], told.append)
    assert list(found.moved) == [HURTS, HOLDS]
    assert found.moved[HURTS] > 10 * LAYER_LIMIT
    assert 0 < found.moved[HOLDS] < LAYER_LIMIT
    assert found.layers == [HOLDS]
    assert told == [f"quantising layer {i} of 2 alone: {n}" for i, n in ((1, HURTS), (2, HOLDS))]


def test_ranges_are_the_least_and_the_largest_of_all_windows(graph):
    windows = feeds(5)
    windows[1]["x"][0, 3, 5], windows[4]["x"][0, 0, 1] = -77.0, 88.0
    found = calibrate(graph, "masks", windows, SCHEMES[Kind.CORE], lambda line: None)
    assert found.ranges["x"] == (-77.0, 88.0)


def test_masks_that_are_not_finite_hurt(graph, monkeypatch):
    right = calibration.quantized

    def overflowing(graph, layers, ranges, scheme):
        made = right(graph, layers, ranges, scheme)
        for tensor in made.graph.initializer:
            if tensor.name.endswith("x.scale"):
                tensor.CopyFrom(numpy_helper.from_array(np.float32("nan").reshape(()), tensor.name))
        return made

    monkeypatch.setattr(calibration, "quantized", overflowing)
    found = calibrate(graph, "masks", feeds(1), SCHEMES[Kind.CORE], lambda line: None)
    assert HURTS not in found.layers
