"""What is on the disk of an evaluation, and that it goes on from there."""

from __future__ import annotations

import json

import pytest

from sgn_rt.errors import AudioError, ConfigError
from sgn_rt.evaluation import run
from sgn_rt.evaluation.journal import NAME, Journal
from sgn_rt.evaluation.protocols import protocol_named
from sgn_rt.evaluation.protocols.base import Labels

FACTS = {"protocol": "folder", "model": "abc"}


def test_items_are_there_again(tmp_path):
    journal = Journal(tmp_path / "new" / "out", FACTS)
    journal.add({"name": "b", "dropped": "why"})
    journal.add({"name": "a", "systems": {"x": []}})
    again = Journal(tmp_path / "new" / "out", FACTS)
    assert list(again.items) == ["b", "a"]
    assert again.items == journal.items


def test_a_line_that_was_cut_off_is_done_again(tmp_path):
    journal = Journal(tmp_path, FACTS)
    for name in "ab":
        journal.add({"name": name, "dropped": "why"})
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-9])
    again = Journal(tmp_path, FACTS)
    assert list(again.items) == ["a"]
    again.add({"name": "b", "dropped": "why"})  # not behind half a line
    assert list(Journal(tmp_path, FACTS).items) == ["a", "b"]


def test_results_of_another_run_are_not_mixed_in(tmp_path):
    Journal(tmp_path, FACTS).add({"name": "a", "dropped": "why"})
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(ConfigError, match=r"results of another run \(model 'abc', not 'def'\)"):
        Journal(tmp_path, FACTS | {"model": "def"})
    assert (tmp_path / NAME).read_bytes() == before
    assert Journal(tmp_path, FACTS | {"model": "def"}, fresh=True).items == {}


@pytest.mark.parametrize("text", ["nothing of ours\n", "[1, 2]\n", '{"version": 7}\n', "\n"])
def test_a_file_that_is_not_ours_is_left_alone(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ConfigError, match=r"items\.jsonl: got .* expected"):
        Journal(tmp_path, FACTS)
    assert (tmp_path / NAME).read_text() == text


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AudioError, match="Not a directory"):
        Journal(tmp_path / "file" / "out", FACTS)


def test_an_evaluation_goes_on_where_it_ended(erring, tmp_path, sound, write):
    root, protocol = tmp_path / "data", protocol_named("folder")
    for item in range(3):
        for name, seed in (("mix", item), ("cello", item + 1)):
            write(root / f"{item}.{name}.wav", sound(seed, 4000), 11_025)
    journal, labels = Journal(tmp_path / "out", FACTS), Labels(erring.categories)

    def failing(separated, told):
        if told["name"] == "1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.evaluate({"x": erring}, protocol, root, labels, journal, keep=failing)
    assert list(Journal(tmp_path / "out", FACTS).items) == ["0"]
    erring.asked.clear()
    again = Journal(tmp_path / "out", FACTS)
    items = run.evaluate({"x": erring}, protocol, root, labels, again)
    assert len(erring.asked) == 2
    assert [item["name"] for item in items] == ["0", "1", "2"]
    whole = Journal(tmp_path / "whole", FACTS)
    assert run.evaluate({"x": erring}, protocol, root, labels, whole) == items
    assert [json.loads(line) for line in (tmp_path / "out" / NAME).read_text().splitlines()][
        1:
    ] == items
