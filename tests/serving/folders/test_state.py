"""State of a run on the disk: what holds, what does not, and tries that outlive their process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sgn_rt._temporary import PREFIX, remove_leftovers
from sgn_rt.cli import info
from sgn_rt.errors import AudioError, CategoryError, StateWarning
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.folders.entry import Entry
from sgn_rt.serving.folders.state import STATE_FOLDER, State, fingerprint_of


@pytest.fixture
def entry(tmp_path) -> Entry:
    path = tmp_path / "in" / "a.wav"
    path.parent.mkdir()
    path.write_bytes(b"sound")
    return Entry(path=path, key="a.wav", folder="a", options={"categories": ["bell"]})


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def separated(output, entry):
    """Finish a try as a separation does; the row."""

    def finish(state: State, number: int = 1, entry: Entry = entry, name: str = "a/bell.wav"):
        stem = output / name
        stem.parent.mkdir(parents=True, exist_ok=True)
        stem.write_bytes(b"stem")
        row = {"key": entry.key, "status": "separated", "stems": {"bell": name}, "tries": number}
        state.finish(entry, row)
        return row

    return finish


def failed(entry: Entry, number: int) -> dict:
    return {"key": entry.key, "status": "failed", "error": "e", "stems": {}, "tries": number}


def files(output):
    return [path for path in (output / STATE_FOLDER).rglob("*") if path.is_file()]


def record(output):
    (found,) = (output / STATE_FOLDER).rglob("*.json")
    return found


def test_an_outcome_is_found_by_the_next_run(output, entry, separated):
    state = State(output, "f")
    assert state.done(entry) is None
    assert state.begin(entry) == 1
    assert State(output, "f").done(entry) is None  # begun is not done
    row = separated(state)
    assert State(output, "f").done(entry) == row
    assert files(output) == [record(output)]  # no try is left


def test_nothing_is_made_before_there_is_something_to_keep(output, entry):
    assert State(output, "f").done(entry) is None
    assert not output.exists()


def _touched(entry, output):
    found = entry.path.stat()
    os.utime(entry.path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))


def _longer(entry, output):
    found = entry.path.stat()
    entry.path.write_bytes(b"other sound")
    os.utime(entry.path, ns=(found.st_atime_ns, found.st_mtime_ns))


CHANGES = {
    "size": _longer,
    "time": _touched,
    "gone": lambda entry, output: entry.path.unlink(),
    "stem gone": lambda entry, output: (output / "a/bell.wav").unlink(),
    "stem cut": lambda entry, output: (output / "a/bell.wav").write_bytes(b"st"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_outcome_holds_no_longer(output, entry, separated, change):
    state = State(output, "f")
    state.begin(entry)
    separated(state)
    CHANGES[change](entry, output)
    assert state.done(entry) is None
    assert state.begin(entry) == 1


def test_an_outcome_of_another_model_or_of_other_options_does_not_hold(output, entry, separated):
    state = State(output, "f")
    state.begin(entry)
    separated(state)
    assert State(output, "g").done(entry) is None
    assert state.done(replace(entry, options={"categories": ["horn"]})) is None
    assert state.done(replace(entry, key="b/a.wav")) is None


def test_tries_of_failures_add_up_and_end_with_a_success(output, entry, separated):
    for number in (1, 2):
        state = State(output, "f")
        assert state.begin(entry) == number
        state.finish(entry, failed(entry, number))
        assert state.done(entry)["status"] == "failed"
    assert State(output, "g").begin(entry) == 1  # of other options: they may do
    state = State(output, "f")
    assert state.begin(entry) == 3
    assert separated(state, 3)["tries"] == state.done(entry)["tries"] == 3
    (output / "a/bell.wav").unlink()
    assert State(output, "f").begin(entry) == 1


def test_a_new_recording_begins_anew(output, entry):
    for _ in range(3):
        State(output, "f").begin(entry)
    entry.path.write_bytes(b"repaired sound")
    state = State(output, "f")
    assert state.begin(entry) == 1
    state.finish(entry, failed(entry, 1))
    assert files(output) == [record(output)]  # also no try of what it was


def test_what_was_ended_from_outside_does_not_count(output, entry):
    state = State(output, "f")
    state.begin(entry)
    state.withdraw(entry)
    state.withdraw(entry)
    assert files(output) == []
    assert State(output, "f").begin(entry) == 1


def test_who_ends_all_processes_takes_their_tries_back(output, entry, separated):
    """Of a recording that killed one before, that is kept."""
    killer, finished, others = (replace(entry, key=name) for name in ("kills", "done", "others"))
    for each in (entry, killer, killer, finished, others):
        begun = State(output, "f")
        begun.begin(each)
    state = State(output, "f")
    state.begin(finished)
    row = separated(state, entry=finished)
    state.interrupted([entry, killer, finished])
    assert state.done(finished) == row
    assert [state.begin(each) for each in (entry, killer, others)] == [1, 2, 2]


DIES = """
import os, signal, sys
from pathlib import Path
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.folders.entry import Entry
from sgn_rt.serving.folders.state import State
entry = Entry(path=Path(sys.argv[2]), key="a.wav", folder="a", options={"categories": ["bell"]})
print(State(Path(sys.argv[1]), "f").begin(entry), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_tries_outlive_their_process(output, entry):
    for number in (1, 2):
        died = subprocess.run(
            [sys.executable, "-c", DIES, output, entry.path], capture_output=True, check=False
        )
        assert died.returncode == -9
        assert int(died.stdout) == number, died.stderr
    state = State(output, "f")
    assert state.done(entry) is None
    assert state.begin(entry) == 3


def test_a_try_is_on_the_disk_before_it_is_told(output, entry, monkeypatch):
    synced = []
    place = "/proc/self/fd/{}".format
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(place(handle))))
    State(output, "f").begin(entry)
    (mine,) = files(output)
    assert str(mine) in synced
    assert synced[-1] == str(mine.parent)  # and its name


def test_no_two_tries_have_one_number(output, entry):
    """As many machines as there are, on a file system without locks."""
    states = [State(output, "f") for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        numbers = list(threads.map(lambda state: state.begin(entry), states))
    assert sorted(numbers) == list(range(1, 17))


def test_two_that_do_the_same_both_end_well(output, entry, separated):
    """A node that was taken for lost goes on, and finishes after the one in its place."""
    lost, heir = State(output, "f"), State(output, "f")
    assert (lost.begin(entry), heir.begin(entry)) == (1, 2)
    assert separated(heir, 2) == heir.done(entry)
    assert separated(lost, 1) == heir.done(entry)
    assert files(output) == [record(output)]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_an_outcome_that_cannot_be_written_is_none(output, entry, separated, monkeypatch, call):
    state = State(output, "f")
    state.begin(entry)
    row = separated(state)
    state.begin(entry)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, full)
        with pytest.raises(AudioError, match="No space left"):
            state.finish(entry, failed(entry, 1))
    assert state.done(entry) == row  # what was there


DAMAGES = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "no object": lambda content: b"[]",
    "deep": lambda content: b"[" * 100_000,
    "another status": lambda content: content.replace(b"separated", b"skipped"),
    "version": lambda content: content.replace(b'"version": 1', b'"version": 2'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told_and_does_not_count(output, entry, separated, damage):
    state = State(output, "f")
    state.begin(entry)
    row = separated(state)
    path = record(output)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.warns(StateWarning, match=rf"{path.name}: got .*, expected the outcome of a\.wav"):
        assert state.done(entry) is None
    with pytest.warns(StateWarning):
        assert state.begin(entry) == 1
    assert separated(state) == row == state.done(entry)


def test_another_recordings_file_does_not_count(output, entry, separated):
    state, other = State(output, "f"), replace(entry, key="b.wav")
    for each in (entry, other):
        state.begin(each)
        separated(state, entry=each)
    ours, theirs = sorted(files(output), key=lambda path: json.loads(path.read_bytes())["key"])
    os.replace(theirs, ours)
    with pytest.warns(StateWarning):
        assert state.done(entry) is None


def test_a_missing_recording_has_an_outcome_too(output, entry, separated):
    entry.path.unlink()
    state = State(output, "f")
    state.begin(entry)
    state.finish(entry, failed(entry, 1))
    assert state.done(entry)["status"] == "failed"
    entry.path.write_bytes(b"there now")
    assert state.done(entry) is None


def test_a_fingerprint_is_of_model_and_options(bundle_folder, edit_manifest, fails):
    bundle = Bundle.open(bundle_folder)
    options = {"categories": ["bell"], "format": "wav", "residual": False, "salvage": False}
    same = {"salvage": False, "level": "auto", "categories": ("bell",)}  # what is left out counts
    first = fingerprint_of(bundle, options)
    assert fingerprint_of(Bundle.open(bundle_folder), same) == first
    for change in ({"format": "flac"}, {"categories": None}, {"residual": True}, {"level": "off"}):
        assert fingerprint_of(bundle, options | change) != first
    (bundle_folder / "masks.fp32.onnx").write_bytes(b"other")
    other = {"sha256": hashlib.sha256(b"other").hexdigest(), "bytes": 5}
    edit_manifest(bundle_folder, lambda kept: kept["files"]["masks.fp32.onnx"].update(other))
    assert fingerprint_of(Bundle.open(bundle_folder), options) != first
    with fails(CategoryError, "gong"):
        fingerprint_of(bundle, options | {"categories": ["gong"]})


def test_names_may_be_anything(output, entry, separated):
    state = State(output, "f")
    for name in ("../x", "a\nb", "\udcff.wav", "x" * 300, ""):
        each = replace(entry, key=name)
        state.begin(each)
        row = separated(state, entry=each)
        assert State(output, "f").done(each) == row
    assert len(files(output)) == 5


def test_sweeping_of_leftovers_leaves_it_alone(output, entry, separated):
    state = State(output, "f")
    state.begin(entry)
    assert STATE_FOLDER.startswith(PREFIX)
    assert remove_leftovers(output) == []
    assert len(files(output)) == 1


def test_the_command_line_tells_of_damage(run, monkeypatch):
    def damaged(**options):
        warnings.warn("x: damaged", StateWarning, stacklevel=1)

    monkeypatch.setattr(info.command, "callback", damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert "sgn-rt: warning: x: damaged" in run("info").err
