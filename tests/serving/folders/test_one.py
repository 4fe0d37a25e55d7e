"""A recording of many: what becomes of it, and what of its try, whatever happens."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.writer import AudioWriter, writing
from sgn_rt.errors import AudioError, CancelledError, EngineError, StorageError
from sgn_rt.serving.folders.entry import Entry
from sgn_rt.serving.folders.one import is_settled, separate_one
from sgn_rt.serving.folders.state import State


class Place:
    def __init__(self, tmp_path, separator, noise):
        self.output, self.separator = tmp_path / "out", separator
        self.path = tmp_path / "a.wav"
        soundfile.write(self.path, noise(1, 3000).T, 8000, subtype="FLOAT")
        self.entry = Entry(path=self.path, key="x/a.wav", folder="x/a", options={})
        self.state = State(self.output, "f")

    def separate(self, **changes):
        wanted = {
            "separator": self.separator, "entry": self.entry, "output": self.output,
            "options": {"categories": ["bell"]}, "state": self.state, "tries": 3,
        } | changes  # fmt: skip
        return separate_one(**wanted)

    def has_a_try(self):
        return State(self.output, "f").begin(self.entry) > 1

    def files(self):
        found = (path for path in self.output.rglob("*") if path.is_file())
        return [path.relative_to(self.output).as_posix() for path in found
                if ".sgn-rt-state" not in path.parts]  # fmt: skip


@pytest.fixture
def place(tmp_path, fake_separator, noise):
    return Place(tmp_path, fake_separator().separator, noise)


def test_it_is_separated_to_its_folder_and_kept(place):
    row = place.separate()
    assert (row["key"], row["input"], row["status"]) == ("x/a.wav", str(place.path), "separated")
    assert (row["stems"], row["tries"]) == ({"bell": "x/a/bell.wav"}, 1)
    assert row["samples"] == 3000
    assert sorted(place.files()) == ["x/a/bell.wav", "x/a/sgn-rt.json"]
    assert State(place.output, "f").done(place.entry) == row
    assert is_settled(row)


def test_without_a_folder_it_goes_where_one_alone_goes(place):
    entry = Entry(path=place.path, key="a.wav", folder="", options={})
    assert place.separate(entry=entry, state=None)["stems"] == {"bell": "a/bell.wav"}


def test_its_own_options_come_first(place):
    options = {"categories": ["drum"], "format": "flac", "duration_s": 0.125}
    entry = Entry(path=place.path, key="a", folder="a", options=options)
    row = place.separate(entry=entry)
    assert (row["stems"], row["samples"]) == ({"drum": "a/drum.flac"}, 1000)


def test_silence_is_told(place):
    soundfile.write(place.path, np.zeros(3000), 8000)
    row = place.separate(options={})
    assert (row["status"], row["stems"]) == ("silent", {})
    assert place.files() == []


def test_a_broken_one_is_a_row_with_its_error(place):
    place.path.write_bytes(b"no audio")
    for number in (1, 2, 3):
        row = place.separate()
        assert (row["status"], row["tries"]) == ("failed", number)
        assert "does not read as audio" in row["error"]
        assert is_settled(row) == (number == 3)
    assert "got 3 tries that failed" in place.separate()["error"]


@pytest.mark.parametrize("error", [EngineError("e: got x, expected y. Do z."), ValueError("odd")])
def test_an_engine_that_raises_is_a_row(place, monkeypatch, error):
    def fails(*arguments, **options):
        raise error

    monkeypatch.setattr(place.separator, "separate_to", fails)
    row = place.separate()
    assert row["status"] == "failed"
    assert str(error) in row["error"]
    assert place.state.done(place.entry) == row


def test_one_that_ended_its_process_each_time_is_given_up(place):
    for _ in range(3):
        State(place.output, "f").begin(place.entry)
    row = place.separate()
    assert row["status"] == "failed"
    assert row["tries"] == 3
    assert "got 3 tries that failed or ended their process" in row["error"]
    assert is_settled(row)
    assert place.files() == []


def test_one_that_is_cancelled_leaves_nothing(place):
    cancel = threading.Event()

    def progress(done):
        assert any(name.endswith(".wav") for name in place.files()), "it is being written"
        cancel.set()

    with pytest.raises(CancelledError):
        place.separate(cancel=cancel, progress=progress)
    assert place.files() == []
    assert not place.has_a_try()


def test_an_interrupt_leaves_nothing(place):
    def progress(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.separate(progress=progress)
    assert place.files() == []
    assert not place.has_a_try()


def _short_write(monkeypatch):
    def short(self, block):
        with writing(self.path):
            raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(AudioWriter, "write", short)


def _no_space(monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "rename", full)


def _read_only(monkeypatch):
    def refused(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("sgn_rt.audio.run_folder.temporary_folder", refused)


@pytest.mark.parametrize("fault", [_short_write, _no_space, _read_only])
def test_storage_that_takes_no_more_is_no_fault_of_the_recording(place, monkeypatch, fault):
    with monkeypatch.context() as broken:
        fault(broken)
        with pytest.raises(StorageError, match="expected to write stems there"):
            place.separate()
    assert place.files() == []
    assert not place.has_a_try()


def test_what_is_refused_to_one_is_no_fault_of_the_storage(place):
    (place.output / "x" / "a").mkdir(parents=True)
    (place.output / "x" / "a" / "letter.txt").touch()
    row = place.separate()
    assert row["status"] == "failed"
    assert "got letter.txt, which no run wrote there" in row["error"]
    (place.output / "x" / "b").touch()
    other = Entry(path=place.path, key="b", folder="x/b", options={})
    assert "that is no folder" in place.separate(entry=other)["error"]


def test_what_is_there_is_skipped_on_request(place):
    place.separate()
    row = place.separate(skip_existing=True)
    assert (row["status"], row["stems"]) == ("skipped", {"bell": "x/a/bell.wav"})
    assert place.separate(skip_existing=True, options={})["status"] == "separated"


class Picture:
    name = "picture.png"

    def __call__(self, separator: object, path: Path, files: object, options: object) -> bytes:
        return f"of {path.name}".encode()


def test_an_addition_goes_with_the_stems(place):
    place.separate()
    assert place.separate(skip_existing=True, addition=Picture())["status"] == "separated"
    assert (place.output / "x/a/picture.png").read_text() == "of a.wav"
    assert place.separate(skip_existing=True, addition=Picture())["status"] == "skipped"


def test_a_state_that_cannot_be_written_is_an_error(place, monkeypatch):
    def full(self, entry, row):
        raise AudioError("x: got No space left on device, expected to write there. Check it.")

    monkeypatch.setattr(State, "finish", full)
    with pytest.raises(AudioError, match="No space left"):
        place.separate()


def test_folders_are_made_while_a_run_beside_removes_them(tmp_path, noise, monkeypatch):
    """A recording that is silent takes its empty folders with it; its neighbour has them again."""
    from sgn_rt.audio.run_folder import RunFolder

    soundfile.write(tmp_path / "a.wav", noise(1, 10).T, 8000)
    made, mkdir = [], Path.mkdir

    def removed_once(self, *arguments, **options):
        mkdir(self, *arguments, **options)
        if self.name == "x" and not made:
            made.append(self)
            self.rmdir()

    monkeypatch.setattr(Path, "mkdir", removed_once)
    with RunFolder.claim(tmp_path / "x", tmp_path / "a.wav") as folder:
        assert folder.work.is_dir()
    assert made
