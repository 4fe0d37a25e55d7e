"""An actor, in this process: what it does, and what it says of itself where it cannot."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sgn_rt.errors import StorageError
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.cluster import actor as module
from sgn_rt.serving.cluster.actor import (
    ENTRY,
    ROW,
    UNFIT,
    SeparatingActor,
    conditions,
    entry_of,
    told_of,
)
from sgn_rt.serving.folders.entry import Entry


@pytest.fixture
def start(place):
    """Make an actor as a run does, where some condition is another than the run's."""
    made = []

    def make(**other: object) -> SeparatingActor:
        place.output.mkdir(exist_ok=True)
        marker = place.output / "marker"
        marker.touch()
        model = Bundle.open(place.opening["bundle"]).identity
        expected = conditions(place.entries, place.output, marker, model) | other
        made.append(SeparatingActor(place.opening, place.work, expected))
        return made[-1]

    yield make
    for each in made:
        if hasattr(each, "_separator"):
            each._separator.close()


def answers(actor, entries):
    batch = {ENTRY: [json.dumps(told_of(entry)) for entry in entries]}
    return [json.loads(text) for text in actor(batch)[ROW]]


def test_rows_of_good_and_bad_recordings(start, place):
    place.add(1, broken=b"no sound")
    good, broken = answers(start(), place.entries)
    assert (good["status"], good["tries"], sorted(good["stems"])) == (
        "separated", 1, ["bell", "horn"],
    )  # fmt: skip
    assert broken["status"] == "failed"


def test_what_was_done_and_lost_on_the_way_is_not_done_again(start, place, monkeypatch):
    place.add(1)
    first = answers(start(), place.entries)
    monkeypatch.setattr(module, "separate_one", None)
    assert answers(start(), place.entries) == first


UNFITTING = {
    "version": ({"version": "0.0.1"}, "expected 0.0.1"),
    "other storage": ({"marker": "/nowhere/marker"}, "storage that all nodes share"),
    "no recordings": ({"folders": ["/nowhere/in"]}, "/nowhere/in: got no such folder"),
    "other model": ({"model": "0" * 64}, "got another model"),
}


@pytest.mark.parametrize("name", UNFITTING)
def test_a_node_that_is_not_as_it_should_be_says_so(start, place, name):
    place.add(1)
    other, message = UNFITTING[name]
    (row,) = answers(start(**other), place.entries)
    assert row["status"] == UNFIT
    assert row["error"].startswith("node ")
    assert message in row["error"]
    assert not (place.output / "000").exists()


def test_storage_that_is_full_is_no_recordings_fault(start, place, monkeypatch):
    place.add(2)
    actor = start()

    def full(*arguments, **options):
        raise StorageError("x: got no space, expected some. Make room.")

    monkeypatch.setattr(module, "separate_one", full)
    first, second = answers(actor, place.entries)
    assert first == second
    assert (first["status"], "no space" in first["error"]) == (UNFIT, True)


def test_an_error_that_nobody_thought_of_is_told(start, place, monkeypatch):
    place.add(1)
    actor = start()
    monkeypatch.setattr(module, "separate_one", None)
    (row,) = answers(actor, place.entries)
    assert row["status"] == UNFIT
    assert "TypeError" in row["error"]


def test_an_entry_comes_through_json(tmp_path):
    entry = Entry(path=tmp_path / "\udcff.wav", key="\udcff.wav", folder="a", options={"x": [1]})
    assert entry_of(json.loads(json.dumps(told_of(entry)))) == entry


def test_only_the_uppermost_folders_are_looked_for(tmp_path):
    entry = Entry(path=tmp_path / "a" / "1.wav", key="1", folder="1", options={})
    entries = [entry, replace(entry, path=tmp_path / "a" / "b" / "2.wav"),
               replace(entry, path=tmp_path / "c" / "3.wav")]  # fmt: skip
    found = conditions(entries, tmp_path, tmp_path / "m", "x")["folders"]
    assert found == [str(tmp_path / "a"), str(tmp_path / "c")]
