"""What a run is given: found in one order, left out for a reason, told where it is wrong."""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from pathlib import Path

import pytest

from sgn_rt.errors import AudioError, ConfigError
from sgn_rt.serving.folders.inputs import list_inputs


@pytest.fixture
def put(tmp_path):
    """Files by name, each of another size."""

    def make(*names: str) -> Path:
        for number, name in enumerate(names, 1):
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(number))
        return tmp_path / "in"

    return make


@pytest.fixture
def lines(put, tmp_path):
    """A manifest of lines: objects, or text as it is."""

    def make(*rows: object, name: str = "list.jsonl") -> Path:
        put()
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(texts) + "\n")
        return path

    return make


@pytest.fixture
def listed(tmp_path):
    def run(*inputs: Path, patterns=()):
        return list_inputs(inputs, tmp_path / "out", patterns)

    return run


def keys(listing):
    return [entry.key for entry in listing]


def folders(listing):
    return {entry.key: entry.folder for entry in listing}


def test_a_folder_is_looked_through_in_one_order(put, listed, monkeypatch):
    top = put("b.wav", "a/z.flac", "a/b/c.MP3", "B.wav", "a.ogg", "notes.txt", "a/cover.jpg")
    expected = ["B.wav", "a.ogg", "b.wav", "a/z.flac", "a/b/c.MP3"]
    listing = listed(top)
    assert keys(listing) == expected
    assert [entry.path for entry in listing] == [top / key for key in expected]
    assert [size for _, size in listing.sized()] == [4, 5, 1, 2, 3]
    assert (len(listing), listing.total_bytes) == (5, 15)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            with scandir(path) as found:
                self.found = sorted(found, key=lambda entry: entry.inode(), reverse=True)

        def __enter__(self):
            return iter(self.found[::-1])

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert keys(listed(top)) == expected


def test_what_is_left_out(put, listed, tmp_path):
    top = put(
        "a.wav", ".hidden.wav", ".trash/b.wav", ".sgn-rt-0123456789ab.part", "old/a/bell.wav",
        "old/a/sgn-rt.json", "out/a/bell.wav", "old/kept.wav", "folder.wav/x.txt",
    )  # fmt: skip
    assert [entry.key for entry in list_inputs([top], top / "out")] == ["a.wav", "old/kept.wav"]


def test_links_that_lead_back_or_nowhere(put, listed):
    top = put("a/b.wav", "c/d.wav")
    (top / "a" / "up").symlink_to(top)
    (top / "a" / "beside").symlink_to(top / "c")
    (top / "self").symlink_to(top / "self")
    (top / "gone.wav").symlink_to(top / "nowhere")
    (top / "link.wav").symlink_to(top / "a" / "b.wav")
    os.mkfifo(top / "pipe.wav")
    assert keys(listed(top)) == ["link.wav", "a/b.wav", "a/beside/d.wav", "c/d.wav"]


def test_patterns(put, listed):
    top = put("a.wav", "b.raw", "x/a.wav", "x/b.raw", "x/y/a.wav")
    assert keys(listed(top, patterns=["*.raw", "a.*"])) == [
        "a.wav", "b.raw", "x/a.wav", "x/b.raw", "x/y/a.wav"
    ]  # fmt: skip
    assert keys(listed(top, patterns=["x/*.wav"])) == ["x/a.wav", "x/y/a.wav"]
    with pytest.raises(AudioError, match=r"in: got no recording in it, expected some of \*\.foo"):
        listed(top, patterns=["*.foo"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_told(put, listed):
    top = put("a.wav", "x/b.wav")
    (top / "x").chmod(0)
    try:
        with pytest.raises(AudioError, match=r"in/x: got .*Permission denied"):
            listed(top)
    finally:
        (top / "x").chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_told(put, listed, monkeypatch):
    top = put("a.wav")

    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(AudioError, match="in: got Permission denied, expected a folder to look"):
        listed(top)


def test_several_folders_have_each_their_own(put, listed):
    top = put("train/1/mix.wav", "test/1/mix.wav", "one.wav")
    listing = listed(top / "train", top / "test", top / "one.wav")
    assert folders(listing) == {"train/1/mix.wav": "train/1/mix", "test/1/mix.wav": "test/1/mix",
                                "one.wav": ""}  # fmt: skip
    assert next(entry.path for entry in listing) == top / "train" / "1" / "mix.wav"
    put("other/train/2.wav")
    with pytest.raises(ConfigError, match="several folders or manifests called 'train'"):
        listed(top / "train", top / "other" / "train")


def test_named_files_go_where_a_single_one_goes(put, listed):
    top = put("a.wav", "b.wav", "b.mp3", "x/a.wav")
    assert folders(listed(*(top / name for name in ("a.wav", "b.wav", "b.mp3")))) == {
        "a.wav": "", "b.wav": "b.wav", "b.mp3": "b.mp3"
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"several called 'a\.wav'"):
        listed(top / "a.wav", top / "x" / "a.wav")
    assert keys(listed(top / "gone.wav")) == ["gone.wav"]  # told when its turn comes


def test_a_manifest(put, lines, listed, tmp_path):
    put("x/a.wav", "b.wav")
    manifest = lines(
        {"path": "x/a.wav", "categories": ["bell"], "threshold": 0.3, "level": -6,
         "start_s": 0, "duration_s": 1.5},
        "",
        {"path": "./b.wav"},
        {"path": "b.wav", "output": "b/excerpt", "start_s": 1, "level": "off"},
        {"path": str(tmp_path / "in" / "b.wav")},
        {"path": "../in/x/a.wav", "threshold": {"bell": 0.1}},
        {"path": "gone.wav"},
    )  # fmt: skip
    listing = listed(manifest)
    absolute = f"{tmp_path}/in/b.wav"
    assert folders(listing) == {
        "x/a.wav": "x/a",
        "b.wav": "b.wav",  # as b/ holds another
        "b/excerpt": "b/excerpt",
        absolute: absolute.removeprefix("/").removesuffix(".wav"),
        "../in/x/a.wav": "in/x/a",
        "gone.wav": "gone",
    }
    first, plain, excerpt, *_ = listing
    assert first.path.read_bytes() == (tmp_path / "in/x/a.wav").read_bytes()
    assert first.options == {"categories": ["bell"], "threshold": 0.3, "level": -6,
                             "start_s": 0, "duration_s": 1.5}  # fmt: skip
    assert plain.options == {}
    assert excerpt.path.samefile(plain.path)
    assert [size for _, size in listing.sized()] == [1, 2, 2, 2, 1, 0]


WRONG = {
    "no JSON": "{path: 1}",
    "not UTF-8": '{"path": "\udce9"}',
    "no object": "[1]",
    "no path": '{"output": "a"}',
    "empty path": '{"path": ""}',
    "path of no file": '{"path": "a\\u0000b"}',
    "a key twice": '{"path": "a.wav", "path": "b.wav"}',
    "unknown key": '{"path": "a.wav", "treshold": 0.5}',
    "deep": "[" * 100_000,
    "long": '{"path": "' + "a" * (1 << 20) + '"}',
    "NaN": '{"path": "a.wav", "start_s": NaN}',
    "categories": '{"path": "a.wav", "categories": "bell"}',
    "threshold": '{"path": "a.wav", "threshold": 2}',
    "threshold by name": '{"path": "a.wav", "threshold": {"bell": true}}',
    "level": '{"path": "a.wav", "level": "loud"}',
    "start": '{"path": "a.wav", "start_s": -1}',
    "duration": '{"path": "a.wav", "duration_s": 0}',
    "residual": '{"path": "a.wav", "residual": 1}',
    "format": '{"path": "a.wav", "format": "mp3"}',
    "output up": '{"path": "a.wav", "output": "../a"}',
    "output away": '{"path": "a.wav", "output": "/a"}',
    "output hidden": '{"path": "a.wav", "output": ".sgn-rt-state/a"}',
    "output empty": '{"path": "a.wav", "output": ""}',
    "output number": '{"path": "a.wav", "output": 3}',
    "the same twice": '{"path": "first.wav"}',
    "output twice": '{"path": "a.wav", "output": "Chosen"}',
    "output inside": '{"path": "a.wav", "output": "second/inner"}',
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_line_is_named(lines, listed, wrong):
    manifest = lines({"path": "first.wav"}, {"path": "b.wav", "output": "chosen"},
                     {"path": "c.wav", "output": "second"})  # fmt: skip
    with manifest.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(WRONG[wrong] + "\n")
    number = 3 if wrong == "output inside" else 4
    with pytest.raises(ConfigError, match=rf"^\S+/list\.jsonl: line [2{number}]: got .*expected"):
        listed(manifest)


def test_a_manifest_that_is_none(put, lines, listed, tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.jsonl: got .*expected a manifest"):
        listed(tmp_path / "gone.jsonl")
    with pytest.raises(AudioError, match="got no recording in it"):
        listed(lines())


def test_each_of_a_hundred_thousand_takes_little(tmp_path, listed):
    """Three times as many take three times the memory, and not 900 bytes each."""

    def peak(count: int) -> int:
        manifest = tmp_path / "many.jsonl"
        with manifest.open("w") as file:
            file.writelines(f'{{"path": "some/folder/{n:08}.wav"}}\n' for n in range(count))
        tracemalloc.start()
        listing = listed(manifest)
        assert sum(1 for _ in listing) == count
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # The interpreter's own table of names has room, lest it be laid out anew in one of them.
    names = [sys.intern(f"name {n}") for n in range(200_000)]
    del names
    assert (peak(6000) - peak(2000)) / 4000 < 900
