"""Bundles: what opens, and that nothing that was changed, foreign or outside does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sgn_rt.errors import BundleError
from sgn_rt.model.bundle import OUTDATED, Bundle
from sgn_rt.model.contract import BUNDLE_MANIFEST, BUNDLE_PROBE, Kind, Precision
from sgn_rt.model.manifest import digest_of

FILES = ["checkpoint.safetensors", "core.fp32.onnx", "masks.fp32.onnx", BUNDLE_PROBE]

SCHEMA_1 = Path(__file__).parents[1] / "data" / "bundle_schema1"


def test_what_is_in_it(bundle_folder, config):
    bundle = Bundle.open(bundle_folder)
    assert bundle.config == config
    assert bundle.schema == 3
    assert (bundle.name, bundle.licence, bundle.generator) == ("fake", "CC0-1.0", "tests")
    assert sorted(bundle.files) == FILES
    assert bundle.has_checkpoint
    assert bundle.read("core.fp32.onnx") == b"graph"
    artifact = bundle.find(Kind.CORE, Precision.FP32)
    assert artifact is not None
    assert artifact.name == "core.fp32"
    assert bundle.find(Kind.WAVEFORM, Precision.FP32) is None
    assert bundle.probe.windows == 2


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, -1])
def test_one_byte_changed(bundle_folder, fails, name, place):
    content = bytearray((bundle_folder / name).read_bytes())
    content[place] ^= 1
    (bundle_folder / name).write_bytes(content)
    with fails(BundleError, name, "SHA-256", "export the bundle again") as failure:
        Bundle.open(bundle_folder)
    digits = [word for word in failure.message.replace(",", " ").replace(". ", " ").split()
              if len(word) == 64]  # fmt: skip
    assert len(set(digits)) == 2, "both sums are shown"


@pytest.mark.parametrize("name", FILES)
def test_a_byte_more_less_or_no_file(bundle_folder, fails, name):
    path = bundle_folder / name
    content = path.read_bytes()
    for other in (content + b"x", content[:-1], b""):
        path.write_bytes(other)
        with fails(BundleError, name, f"got {len(other)} bytes, expected {len(content)}"):
            Bundle.open(bundle_folder)
    path.unlink()
    with fails(BundleError, name, "got no readable file (No such file"):
        Bundle.open(bundle_folder)
    path.mkdir()
    with fails(BundleError, name):
        Bundle.open(bundle_folder)


def test_a_change_after_opening_is_seen_too(bundle_folder, fails):
    bundle = Bundle.open(bundle_folder)
    (bundle_folder / "core.fp32.onnx").write_bytes(b"grapf")
    with fails(BundleError, "core.fp32.onnx", "SHA-256"):
        bundle.read("core.fp32.onnx")
    with fails(BundleError, "none.onnx", "expected one of"):
        bundle.read("none.onnx")


OUTSIDE = [
    "../secret", "a/../../secret", "/etc/passwd", "..", ".", "", "a//b", "./a", "a/.", "a\\b",
    "C:x", "a\0b", "a\nb",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_path_leaves_the_bundle(bundle_folder, edit_manifest, fails, name):
    (bundle_folder.parent / "secret").write_bytes(b"weights")
    edit_manifest(
        bundle_folder,
        lambda m: m["files"].update({name: m["files"]["checkpoint.safetensors"]}),
    )
    with fails(BundleError, "file name", repr(name)):
        Bundle.open(bundle_folder)


def test_no_link_leaves_the_bundle(bundle_folder, fails):
    path = bundle_folder / "checkpoint.safetensors"
    content = path.read_bytes()
    outside = bundle_folder.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    with fails(BundleError, "checkpoint.safetensors", f"got a link to {outside.resolve()}"):
        Bundle.open(bundle_folder)
    path.unlink()
    path.symlink_to(path)
    with fails(BundleError, "checkpoint.safetensors", "got no readable file"):
        Bundle.open(bundle_folder)
    path.unlink()
    outside.rename(bundle_folder / "inside")
    path.symlink_to("inside")
    assert Bundle.open(bundle_folder).read("checkpoint.safetensors") == content


def test_a_linked_folder_is_a_bundle_like_any(bundle_folder):
    link = bundle_folder.parent / "link"
    link.symlink_to(bundle_folder)
    assert Bundle.open(link).probe.windows == 2
    here = os.getcwd()
    os.chdir(bundle_folder.parent)
    try:
        assert Bundle.open("link").read("core.fp32.onnx") == b"graph"
    finally:
        os.chdir(here)


MANIFESTS = {
    "empty": (b"", "not JSON"),
    "half": (b'{"schema": 1', "not JSON"),
    "binary": (bytes(range(256)), "not JSON"),
    "deep": (b"[" * 100_000, "not JSON"),
    "list": (b"[]", "got 'list'"),
    "nothing": (b"{}", "bundle schema: got None"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_is_none(bundle_folder, fails, name):
    content, part = MANIFESTS[name]
    (bundle_folder / BUNDLE_MANIFEST).write_bytes(content)
    with fails(BundleError, str(bundle_folder), part):
        Bundle.open(bundle_folder)


def test_what_is_no_bundle(bundle_folder, fails):
    with fails(BundleError, "No such file", "sgn-rt export"):
        Bundle.open(bundle_folder / "none")
    with fails(BundleError, "Not a directory"):
        Bundle.open(bundle_folder / "core.fp32.onnx")
    (bundle_folder / BUNDLE_MANIFEST).unlink()
    with fails(BundleError, "No such file"):
        Bundle.open(bundle_folder)


def artifact(**changes):
    return lambda m: m["artifacts"][0].update(changes)


def record(**changes):
    return lambda m: m["files"]["core.fp32.onnx"].update(changes)


CHANGES = {
    "newer": (lambda m: m.update(schema=4), "got 4, expected at most 3", "upgrade this one"),
    "older": (lambda m: m.update(schema=0), "bundle schema: got 0", "Export"),
    "schema true": (lambda m: m.update(schema=True), "bundle schema: got True", "Export"),
    "schema text": (lambda m: m.update(schema="1"), "bundle schema: got '1'", "Export"),
    "no files": (lambda m: m.pop("files"), "files: got 'NoneType'", "Export"),
    "files list": (lambda m: m.update(files=[]), "files: got 'list'", "Export"),
    "artifacts": (lambda m: m.update(artifacts={}), "artifacts: got 'dict'", "Export"),
    "config": (lambda m: m.update(config=None), "config: got 'NoneType'", "Export"),
    "config value": (lambda m: m["config"].update(n_fft=31), "n_fft: got 31", "Correct"),
    "record": (lambda m: m["files"].update(x=3), "x: got 3", "Export"),
    "upper-case sum": (record(sha256="A" * 64), "sha256: got 'AAAA", "Export"),
    "no sum": (record(sha256=None), "sha256: got None", "Export"),
    "size true": (record(bytes=True), "bytes: got True", "Export"),
    "size negative": (record(bytes=-1), "bytes: got -1", "Export"),
    "artifact": (lambda m: m.update(artifacts=[3]), "artifacts: got 3", "Export"),
    "path": (artifact(path="none.onnx"), "artifact path: got 'none.onnx'", "Export"),
    "path list": (artifact(path=["core.fp32.onnx"]), "artifact path: got [", "Export"),
    "kind": (artifact(kind="other"), "artifact core.fp32.onnx: got", "Export"),
    "precision": (artifact(precision="int4"), "'int4'", "Export"),
    "no such graph": (
        artifact(kind="waveform", precision="int8"),
        "core.fp32.onnx: got 'waveform.int8'",
        "Export",
    ),
    "opset": (artifact(opset="many"), "does not parse", "Export"),
    "parity": (artifact(parity=[1]), "does not parse", "Export"),
    "external": (artifact(external=["none.data"]), "external: got 'none.data'", "Export"),
    "external list": (artifact(external=[["x"]]), "external: got ['x']", "Export"),
    "external number": (artifact(external=3), "does not parse", "Export"),
    "half of a pair": (
        lambda m: m["artifacts"].pop(),
        "artifacts: got 'core.fp32', expected masks.fp32, too",
        "Export",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_manifest_that_says_what_it_must_not(bundle_folder, edit_manifest, fails, name):
    change, part, advice = CHANGES[name]
    edit_manifest(bundle_folder, change)
    with fails(BundleError, str(bundle_folder), part, advice):
        Bundle.open(bundle_folder)


def test_every_edit_of_the_manifest_is_seen(bundle_folder, fails):
    """Also of what no file's hash covers; and both sums are shown."""
    path = bundle_folder / BUNDLE_MANIFEST
    whole = json.loads(path.read_text())
    edits = {
        "licence": lambda m: m.update(licence="MIT"),
        "name": lambda m: m.update(name="other"),
        "rate": lambda m: m["config"].update(sample_rate=44100),
        "parity": lambda m: m["artifacts"][0].update(parity={"whole": {"figure": 200.0}}),
        "one more": lambda m: m.update(new=1),
        "one less": lambda m: m.pop("generator"),
        "digest": lambda m: m.update(digest="0" * 64),
        "no digest": lambda m: m.pop("digest"),
        "of another type": lambda m: m.update(digest=3),
    }
    for name, edit in edits.items():
        manifest = json.loads(path.read_text())
        edit(manifest)
        path.write_text(json.dumps(manifest))
        expected = digest_of(manifest)
        with fails(BundleError, f"{BUNDLE_MANIFEST}: got digest", expected) as failure:
            Bundle.open(bundle_folder)
        if name not in ("no digest", "of another type"):
            assert str(manifest["digest"]) in failure.message
        path.write_text(json.dumps(whole))
    assert Bundle.open(bundle_folder).name == "fake"


def test_the_digest_is_of_what_is_said_and_not_of_how(bundle_folder):
    path = bundle_folder / BUNDLE_MANIFEST
    manifest = json.loads(path.read_text())
    turned = dict(reversed(manifest.items()))
    path.write_text(json.dumps(turned, indent=7, ensure_ascii=False), encoding="utf-8")
    assert Bundle.open(bundle_folder).name == "fake"
    # As docs/formats has it, for readers in other languages.
    del manifest["digest"]
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    assert turned["digest"] == hashlib.sha256(text.encode()).hexdigest()


EDITS = {
    "sample_rate": (44100, "sample_rate 44100, expected sample_rate 8000"),
    "log_epsilon": (1e-3, "log_epsilon 0.001, expected log_epsilon 1e-05"),
    "categories": (["horn", "drum", "bell"], "categories ['horn', 'drum', 'bell'], expected"),
}


@pytest.mark.parametrize("name", EDITS)
def test_the_configuration_is_that_of_the_checkpoint(bundle_folder, edit_manifest, fails, name):
    value, part = EDITS[name]
    edit_manifest(bundle_folder, lambda m: m["config"].update({name: value}))
    with fails(BundleError, f"{bundle_folder}: configuration: got {part}", "checkpoint"):
        Bundle.open(bundle_folder)


def test_a_checkpoint_that_carries_no_configuration(bundle_folder, edit_manifest, fails):
    path = bundle_folder / "checkpoint.safetensors"
    for content, part in ((b"weights", "safetensors"), (b"\x02" + bytes(7) + b"{}", "None")):
        path.write_bytes(content)
        record = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        edit_manifest(bundle_folder, lambda m, new=record: m["files"].update({path.name: new}))
        with fails(BundleError, str(bundle_folder), part):
            Bundle.open(bundle_folder)


def test_a_bundle_of_schema_1_opens(fails, edit_manifest, tmp_path):
    bundle = Bundle.open(SCHEMA_1)
    assert (bundle.schema, bundle.name, bundle.config.categories) == (1, "tiny", ("bell", "drum"))
    assert [artifact.name for artifact in bundle.artifacts] == ["core.fp32"]
    # It has no digest; its configuration is compared with the checkpoint's all the same.
    folder = Path(shutil.copytree(SCHEMA_1, tmp_path / "old"))
    edit_manifest(folder, lambda m: m["config"].update(sample_rate=44100))
    with fails(BundleError, "configuration: got sample_rate 44100, expected sample_rate 8000"):
        Bundle.open(folder)


@pytest.mark.parametrize("schema", [1, 2])
def test_a_plugin_graph_from_before_the_cut_is_told_and_never_found(
    bundle_folder, edit_manifest, schema
):
    def change(manifest):
        plugin = manifest["artifacts"][0] | {"kind": "plugin"}
        manifest.update(schema=schema, artifacts=[plugin, *manifest["artifacts"]])

    edit_manifest(bundle_folder, change)
    bundle = Bundle.open(bundle_folder)
    assert [artifact.name for artifact in bundle.outdated] == ["plugin.fp32"]
    assert bundle.find(Kind.PLUGIN, Precision.FP32) is None
    assert bundle.graphs == f"core.fp32, masks.fp32, plugin.fp32 ({OUTDATED})"


def test_a_plugin_graph_needs_its_synthesis(bundle_folder, edit_manifest, fails):
    plugin, synthesis = ({"kind": kind} for kind in ("plugin", "synthesis"))
    edit_manifest(bundle_folder, lambda m: m["artifacts"].append(m["artifacts"][0] | plugin))
    with fails(BundleError, "got 'plugin.fp32', expected synthesis.fp32, too"):
        Bundle.open(bundle_folder)
    edit_manifest(bundle_folder, lambda m: m["artifacts"].append(m["artifacts"][0] | synthesis))
    assert Bundle.open(bundle_folder).outdated == ()


def test_unknown_keys_are_left_to_later_versions(bundle_folder, edit_manifest):
    edit_manifest(bundle_folder, lambda m: (m.update(new=1), m["artifacts"][0].update(new=1)))
    assert Bundle.open(bundle_folder).find(Kind.CORE, Precision.FP32)


def test_nothing_is_parsed_before_its_sum_is_checked(bundle_folder, fails):
    """A pickle in the place of the probes is never opened."""
    np.save(bundle_folder / "p.npy", np.array([object()], object), allow_pickle=True)
    (bundle_folder / "p.npy").rename(bundle_folder / BUNDLE_PROBE)
    with fails(BundleError, BUNDLE_PROBE, "bytes"):
        Bundle.open(bundle_folder)


def test_a_bundle_is_a_line(bundle_folder):
    opened = Bundle.open(bundle_folder)
    assert repr(opened).startswith(f"<Bundle {opened.name!r}: ")
    assert repr(str(opened.root)) in repr(opened)
    assert all(artifact.name in repr(opened) for artifact in opened.artifacts)
