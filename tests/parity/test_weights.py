"""The weights of a graph are the checkpoint's, number by number; the one that is not is named."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import BundleError
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, BUNDLE_MANIFEST, Kind, Precision
from sgn_rt.model.graph_constants import Constant
from sgn_rt.model.manifest import DIGEST_KEY, digest_of
from sgn_rt.model.safetensors_file import read_header
from sgn_rt.model.stages import Stage
from sgn_rt.parity.weights import difference, recipes_of, result_of, weights, weights_of

CORE = "core.fp32.onnx"
RIGHT = np.array([0.1, -2.0, 3e-6, 0.0, 1e3], np.float32)


def half(value):
    with np.errstate(over="ignore"):
        return Constant(value.astype(np.float16))


def integers(value, dtype=np.float32):
    value = value.astype(dtype).astype(np.float64)
    scale = np.array([np.abs(value).max() / 127]).astype(dtype)
    return Constant(np.rint(value / scale.astype(np.float64)) * scale.astype(np.float64), scale)


def test_rounding_to_a_format_is_no_difference():
    normal = np.random.default_rng(1).standard_normal(10_000).astype(np.float32)
    for right in (RIGHT, normal, np.zeros(3, np.float32)):
        assert difference(Constant(right), right) == 0.0
        assert difference(half(right), right) == 0.0
    for dtype in (np.float32, np.float16):
        assert difference(integers(normal, dtype), normal) == 0.0


def test_a_unit_of_the_last_place_is_one():
    above = np.nextafter(RIGHT, np.float32(np.inf), dtype=np.float32)
    assert difference(Constant(above[[0, 1, 2, 4]]), RIGHT[[0, 1, 2, 4]]) == 1.0


@pytest.mark.parametrize("form", [Constant, half, integers])
def test_a_factor_is_thousands(form):
    normal = np.random.default_rng(2).standard_normal(10_000).astype(np.float32)
    assert difference(form(normal * np.float32(1.001)), normal) > 1000.0
    flipped = normal.copy()
    flipped[17] *= -1
    assert difference(form(flipped), normal) > 1e5


def test_what_is_not_finite_or_of_another_shape_never_holds():
    spoiled = RIGHT.copy()
    spoiled[2] = np.nan
    assert math.isnan(difference(Constant(spoiled), RIGHT))
    assert math.isnan(difference(half(RIGHT * 1e3), RIGHT * np.float32(1e3)))  # beyond float16
    assert difference(Constant(RIGHT[:, None]), RIGHT) == math.inf


@pytest.fixture(scope="module")
def recipes():
    return recipes_of(Bundle.open())


@pytest.fixture(scope="module")
def held(recipes):
    """As a graph of plain weights, in the form that comes first."""
    names = [name for forms in recipes.forms for name in forms[0]]
    return {name: Constant(recipes.value(name)) for name in names}


@pytest.fixture
def result(recipes):
    artifact = Bundle.open().find(Kind.CORE, Precision.FP32)
    return lambda held: result_of(held, recipes, artifact)


def test_all_that_is_right_holds(held, result):
    assert (result(held).figure, result(held).where) == (0.0, "")
    assert result(held).passed


@pytest.mark.parametrize(
    "name", ["grouping.query.bias", "input_scale", "token_offset", "decoder.3.conv.weight"]
)
def test_the_weight_that_is_wrong_is_named(held, result, name):
    found = result(held | {name: Constant(held[name].value * np.float32(1.001))})
    assert not found.passed
    assert found.where == name
    assert f" ulp in {name} (at most 4 ulp)" in str(found)
    assert found.to_dict()["where"] == name


def test_one_that_is_not_a_number_is_named_before_all_others(held, result):
    spoiled = {
        name: held[name].value.copy() for name in ("encoder.2.conv.bias", "grouping.key.bias")
    }
    spoiled["encoder.2.conv.bias"][0] = np.nan
    spoiled["grouping.key.bias"] += 1
    found = result(held | {name: Constant(value) for name, value in spoiled.items()})
    assert (math.isnan(found.figure), found.where) == (True, "encoder.2.conv.bias")
    assert not found.passed


def test_a_weight_that_is_not_there_is_named(held, result):
    name = "transformer.1.mlp.up.bias"
    found = result({key: constant for key, constant in held.items() if key != name})
    assert (found.figure, found.where) == (math.inf, name)
    assert not found.passed


def test_one_of_two_that_are_equal_stands_for_both(held, result, recipes, monkeypatch):
    """The exporter keeps the first; the second is right if the first is."""
    same = "transformer.1.mlp_norm.weight", "transformer.2.mlp_norm.weight"
    monkeypatch.setitem(recipes.tensors, same[1], recipes.tensors[same[0]])
    held = {name: constant for name, constant in held.items() if name != same[1]}
    assert result(held).passed


def test_integers_that_layers_share_stand_for_the_weight_in_each(held, result):
    name = "decoder.2.conv.bias"
    rest = {key: constant for key, constant in held.items() if key != name}
    value = held[name].value
    made = integers(value)
    parts = {
        f"{name}:one/Conv": made, f"{name}:one/Conv.scale": Constant(made.scale),
        f"{name}:one/Conv.int": Constant(np.zeros(len(value), np.int32)),
    }  # fmt: skip
    assert result(rest | parts).passed
    assert result(rest | parts | {f"{name}:other/Conv": integers(value)}).passed
    wrong = parts | {f"{name}:other/Conv": integers(value * np.float32(1.01))}
    assert result(rest | wrong).where == name


def test_layers_in_other_forms(held, result, recipes):
    """Four phases in the place of a transposed convolution hold only all together."""
    name = "decoder.2.conv"
    plain, phases, grid = next(f for f in recipes.forms if f[0] == (f"{name}.weight",))
    rest = {key: constant for key, constant in held.items() if key not in plain}
    for form in (phases, grid):
        made = {key: Constant(recipes.value(key)) for key in form}
        assert result(rest | made).passed
    made = {key: Constant(recipes.value(key)) for key in phases[:3]}
    assert result(rest | made).where == f"{name}.weight"


def test_maps_of_zeros_may_stand_behind_the_basis_maps(held, result):
    weight, bias = "decoder.6.conv.weight", "decoder.6.conv.bias"
    more = {
        weight: np.pad(held[weight].value, [(0, 0), (0, 8), (0, 0), (0, 0)]),
        bias: np.pad(held[bias].value, (0, 8)),
    }
    assert result(held | {name: Constant(value) for name, value in more.items()}).passed
    more[bias][-1] = 1e-9
    assert result(held | {name: Constant(value) for name, value in more.items()}).where == bias
    other = "decoder.5.conv.bias"
    padded = Constant(np.pad(held[other].value, (0, 8)))
    assert result(held | {other: padded}).figure == math.inf


@pytest.fixture
def copy(tmp_path, edit_manifest):
    """A copy of the shipped bundle with a part of a file replaced: (file, offset, bytes)."""
    folder = Path(shutil.copytree(embedded(), tmp_path / "bundle"))

    def change(name: str, place: int, content: bytes) -> Bundle:
        path = folder / name
        whole = bytearray(path.read_bytes())
        whole[place : place + len(content)] = content
        path.write_bytes(whole)
        record = {"sha256": hashlib.sha256(whole).hexdigest(), "bytes": len(whole)}
        edit_manifest(folder, lambda manifest: manifest["files"].update({name: record}))
        return Bundle.open(folder)

    return change


def test_the_graph_that_ships_is_the_checkpoints(copy):
    bundle = Bundle.open()
    artifact = bundle.find(Kind.CORE, Precision.FP32)
    assert weights(bundle, artifact).figure == 0.0
    entry = read_header(embedded() / BUNDLE_CHECKPOINT).tensors["grouping.query.weight"]
    # Graph and reference share the checkpoint: another offset in the graph is another weight.
    graph = (embedded() / CORE).read_bytes()
    place = graph.index(str(entry.offset).encode())
    changed = copy(CORE, place, str(entry.offset + 2).encode())
    found = weights(changed, artifact)
    assert (found.passed, found.where) == (False, "grouping.query.weight")


def test_a_graph_whose_weights_do_not_read(copy, fails):
    graph = (embedded() / CORE).read_bytes()
    entry = read_header(embedded() / BUNDLE_CHECKPOINT).tensors["grouping.query.weight"]
    place = graph.index(str(entry.offset).encode())
    changed = copy(CORE, place, b"9" * len(str(entry.offset)))
    with fails(BundleError, "core.fp32.onnx", "whose weights do not read", "bytes for"):
        weights(changed, changed.find(Kind.CORE, Precision.FP32))


def test_a_checkpoint_of_another_network(copy, fails):
    content = (embedded() / BUNDLE_CHECKPOINT).read_bytes()
    place = content.index(b"grouping.query.bias")
    changed = copy(BUNDLE_CHECKPOINT, place, b"grouping.query.bies")
    with fails(BundleError, "checkpoint.safetensors", "another network", "grouping.query.bias"):
        weights(changed, changed.find(Kind.CORE, Precision.FP32))


def test_only_a_graph_beside_its_checkpoint_shows_them(tmp_path):
    pytest.importorskip("onnxruntime")
    bundle = Bundle.open()
    with closing(open_engine("onnxruntime", bundle)) as engine:
        assert [result.stage for result in weights_of(engine, bundle)] == [Stage.WEIGHTS]
        manifest = json.loads((embedded() / BUNDLE_MANIFEST).read_text())
        del manifest["files"][BUNDLE_CHECKPOINT]
        manifest["artifacts"] = [a | {"external": []} for a in manifest["artifacts"]]
        bare = Bundle(embedded(), manifest | {DIGEST_KEY: digest_of(manifest)})
        assert weights_of(engine, bare) == []
    pytest.importorskip("torch")
    with closing(open_engine("torch", bundle)) as engine:
        assert weights_of(engine, bundle) == []
