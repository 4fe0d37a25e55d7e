"""Abuse of the place that stems go to: names, links, manifests and devices planted by others."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from sgn_rt.audio.run_folder import RunFolder
from sgn_rt.audio.run_manifest import RUN_MANIFEST
from sgn_rt.errors import AudioError


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "deep" / "out"


def run(output, source, name="bell.wav"):
    with RunFolder.claim(output, source) as folder:
        file = folder.work / name
        file.write_text("stem")
        return folder.commit({name: file}, {})[name]


NAMES = {
    "...wav": "__",
    "....wav": "_._",
    "..": None,
    ".wav": "_wav",
    ".hidden.wav": "_hidden",
    "-rf.wav": "-rf",
    "a\nb.wav": "a_b",
    "\x1b[31m.wav": "_[31m",
    "\u202etxt.wav": "_txt",
    "sgn-rt.json.wav": "sgn-rt.json",
    "*.wav": "_",
    "~.wav": "~",
    "$HOME.wav": "$HOME",
    "nul.wav": "_nul",
    b"caf\xe9.wav": "caf_",
    "n" * 251 + ".wav": "n" * 251,
}


@pytest.mark.parametrize("name", [name for name in NAMES if NAMES[name]], ids=ascii)
def test_no_name_of_a_recording_leaves_the_folder(tmp_path, out, tree, name):
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + os.fsencode(name)))
    source.write_text("sound")
    before = set(tree(tmp_path))
    stem = run(out, source)
    assert stem.parent.parent == out
    assert stem.parent.name == NAMES[name]
    added = set(tree(tmp_path)) - before
    assert {path for path in added if not path.startswith("deep/out/")} == {"deep", "deep/out"}
    assert run(out, source) == stem


LISTED = [
    "../victim",
    "/victim",
    "a/../../victim",
    "..",
    ".",
    "",
    ".victim",
    "a\\b",
    "\ud800",
    RUN_MANIFEST,
]


@pytest.fixture
def planted(tmp_path, out):
    """A folder with a manifest that this run may have written, but for one thing."""
    source = tmp_path / "mix.wav"
    source.write_text("sound")
    run(out, source)
    (tmp_path / "deep" / "victim").write_text("precious")
    manifest = out / "mix" / RUN_MANIFEST
    return source, manifest, json.loads(manifest.read_text())


@pytest.mark.parametrize("name", LISTED)
def test_a_manifest_removes_nothing_elsewhere(out, tmp_path, planted, fails, name):
    source, path, manifest = planted
    manifest["files"][name] = 8
    path.write_text(json.dumps(manifest))
    with fails(AudioError, f"got {RUN_MANIFEST}, which no run wrote"):
        RunFolder.claim(out, source)
    assert (tmp_path / "deep" / "victim").read_text() == "precious"


def edited(**changes):
    return lambda manifest: json.dumps(manifest | changes)


MANIFESTS = {
    "empty": lambda manifest: "",
    "no JSON": lambda manifest: "{",
    "no object": lambda manifest: "[]",
    "text": lambda manifest: '"sgn-rt"',
    "deep": lambda manifest: "[" * 100_000,
    "deep object": lambda manifest: '{"a":' * 100_000,
    "no UTF-8": lambda manifest: b"\xff\xfe",
    "larger than any": lambda manifest: " " * (5 << 20) + json.dumps(manifest),
    "newer": edited(schema=2),
    "no schema": edited(schema=None),
    "files a list": edited(files=["bell.wav"]),
    "files null": edited(files=None),
    "size text": edited(files={"bell.wav": "many"}),
    "size infinite": edited(files={"bell.wav": float("inf")}),
    "size nothing": edited(files={"bell.wav": None}),
    "size huge": lambda manifest: '{"schema": 1, "files": {"a": ' + "9" * 5000 + "}}",
    "source null": edited(source=None),
    "source a list": edited(source=[]),
    "source without a name": edited(source={"place": "x", "bytes": 1, "modified_ns": 1}),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_no_run_wrote(out, planted, fails, tree, case):
    source, path, manifest = planted
    content = MANIFESTS[case](manifest)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = tree(out)
    with fails(AudioError, f"got {RUN_MANIFEST}, which no run wrote"):
        RunFolder.claim(out, source)
    assert tree(out) == before


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "device"])
def test_a_manifest_that_is_no_file(out, tmp_path, planted, fails, kind):
    source, path, _ = planted
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)  # would be waited on
        case "link":
            path.symlink_to("/dev/zero")  # would be read until memory ends
        case "folder":
            path.mkdir()
        case "device":
            try:
                os.mknod(path, 0o020666, os.makedev(1, 5))
            except PermissionError:
                pytest.skip("only root makes devices")
    with fails(AudioError, f"got {RUN_MANIFEST}, which no run wrote"):
        RunFolder.claim(out, source)


@pytest.mark.parametrize(
    "place", ["../../victim", "\0", "\ud800", "x" * 5000, "/dev/zero", "~root"]
)
def test_a_place_in_a_manifest_is_only_looked_at(out, tmp_path, planted, place):
    source, path, manifest = planted
    manifest["source"]["place"] = place
    path.write_text(json.dumps(manifest))
    another = place in ("../../victim", "/dev/zero")  # both are there
    with pytest.raises(AudioError, match="another recording") if another else nullcontext():
        run(out, source)
    assert (tmp_path / "deep" / "victim").read_text() == "precious"


@pytest.mark.parametrize(
    "stems",
    [None, [], "bell", {"bell": None}, {"bell": "../victim"}, {"bell": ["bell.wav"]}],
    ids=str,
)
def test_stems_in_a_manifest_are_files_of_the_run(out, planted, stems):
    source, path, manifest = planted
    path.write_text(json.dumps(manifest | {"stems": stems}))
    folder = RunFolder.claim(out, source)
    assert folder.holds({})
    assert folder.stems() is None


def test_links_among_the_stems_are_removed_not_followed(out, tmp_path, planted):
    source, path, _ = planted
    victim = tmp_path / "deep" / "victim"
    stem = path.parent / "bell.wav"
    stem.unlink()
    stem.symlink_to(victim)
    assert run(out, source) == stem
    assert not stem.is_symlink()
    assert victim.read_text() == "precious"


def test_a_folder_that_becomes_a_link_in_between(out, tmp_path, planted, fails):
    source, path, _ = planted
    theirs = tmp_path / "theirs"
    with fails(AudioError, "got a link"), RunFolder.claim(out, source) as folder:
        file = folder.work / "horn.wav"
        file.write_text("stem")
        path.parent.rename(theirs)
        path.parent.symlink_to(theirs)
        folder.commit({"horn.wav": file}, {})
    assert not (theirs / "horn.wav").exists()
