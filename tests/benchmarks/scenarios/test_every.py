"""Which scenarios a name stands for, on fakes in the place of all that takes time."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace

import pytest

from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.benchmarks.scenarios import every, generated, many, sources
from sgn_rt.errors import DependencyError, EngineError


@contextmanager
def step(title):
    yield lambda done: None


@pytest.fixture
def ran(monkeypatch):
    """What was run, in order."""
    log = []

    def note(name):
        return lambda *arguments, **options: log.append(name) or []

    for name in every.OURS:
        monkeypatch.setitem(every.OURS, name, note(name))
    monkeypatch.setattr(generated, "run", lambda names, *_, **__: log.append(tuple(names)) or [])
    monkeypatch.setattr(many, "run", note("many"))
    return log


THEIRS = ("single-stream", "multi-stream", "offline", "server")


def test_all_of_them_those_of_the_generator_at_once(ran, setting):
    assert list(every.run((), [], setting, step)) == [[]] * 7
    assert ran == [THEIRS, "files", "streams", "length", "sources", "batch", "many"]
    assert (*THEIRS, "files", "streams", "length", "sources", "batch") == every.NAMES


def test_those_that_are_named_in_our_order(ran, setting):
    list(every.run(("batch", "offline", "files"), [], setting, step))
    assert ran == [("offline",), "files", "batch"]


def test_a_later_pass_leaves_out_searches_and_long_recordings(setting, monkeypatch):
    told = []
    for name in every.OURS:
        monkeypatch.setitem(every.OURS, name, lambda _, given, *, tell: told.append(given) or [])
    generated_names = []
    monkeypatch.setattr(
        generated, "run", lambda names, *_, **__: generated_names.append(tuple(names)) or []
    )
    monkeypatch.setattr(many, "run", lambda *_, **__: [])
    asked = replace(setting, lengths_s=(10.0, 60.0), seed=7)
    titles = []

    @contextmanager
    def titled(title):
        titles.append(title)
        yield print

    for turn in range(2):
        list(every.run((), [], asked, titled, turn, 2))
    assert generated_names == [THEIRS, THEIRS[:-1]]
    first, later = told[:5], told[5:]
    assert [len(later), len(titles)] == [4, 13]
    assert titles[0].endswith("(published, pass 1 of 2)")
    assert {(each.seed, each.lengths_s) for each in first} == {(7, (10.0, 60.0))}
    assert {(each.seed, each.lengths_s) for each in later} == {(8, (10.0,))}
    assert {each.file_warming for each in later} == {every.STILL_WARM}
    assert len({each.keep for each in told}) == 2
    assert list(every.run(("server",), [], asked, titled, 1, 2)) == []


@pytest.mark.parametrize("changes", [{"categories": 0}, {"network": "paper-scale"}])
def test_many_categories_are_of_the_published_network_alone(ran, setting, changes):
    list(every.run(("sources",), [], replace(setting, **changes), step))
    assert ran == ["sources"]


def test_without_the_generator_the_figures_say_what_installs_it(subject, setting, monkeypatch):
    def missing(*arguments, **options):
        raise DependencyError("the generator needs it. Install it with: pip install loadgen")

    monkeypatch.setattr(generated, "measure", missing)
    rows = [subject("fake"), Subject(name="other", failure="not here", absent=True)]
    found = generated.run(("offline", "server"), rows, setting, tell=lambda done: None)
    assert [(f.scenario, f.row) for f in found] == [("offline", "fake"), ("server", "fake")]
    assert all(math.isnan(f.value) and "pip install" in f.failure for f in found)


def test_what_the_generator_is_told(subject, setting, monkeypatch, tmp_path):
    told = {}
    monkeypatch.setattr(generated, "measure", lambda rows, where, **options: told.update(options))
    generated.run(
        ("offline",), [subject("fake")], replace(setting, official=True, rounds=7, keep=tmp_path),
        tell=print,
    )  # fmt: skip
    assert told == {
        "scenarios": ("offline",), "official": True, "rounds": 7, "network": "published",
        "out": tmp_path, "seed": 0, "tell": print,
    }  # fmt: skip


@pytest.fixture
def other_model(monkeypatch, setting, fake_engine, config):
    """The rows that are opened on the model of many categories, and whether they were closed."""
    closed = []

    class Closing(fake_engine):
        def close(self):
            closed.append(self.name)

    rows = [Subject(name="fake", engine=Closing(config, "fake")),
            Subject(name="broken", failure="parity: network")]  # fmt: skip
    monkeypatch.setattr(many, "many_categories", lambda folder, count: setting.bundle)
    monkeypatch.setattr(many, "gather", lambda names, *arguments, **options: rows)
    return closed


def test_many_categories(subject, setting, other_model):
    rows = [subject("fake"), subject("broken")]
    found = many.run(rows, setting, tell=lambda done: None)
    assert other_model == ["fake"]
    fine = [f for f in found if f.row == "fake"]
    assert [f.x for f in fine] == [1, 2, 3]  # of the fake's three
    assert {f.scenario for f in found} == {sources.NAME}
    assert all(f.case.endswith(", random weights") for f in found)
    (broken,) = (f for f in found if f.row == "broken")
    assert (broken.x, broken.failure) == (300, "parity: network")


def test_without_an_exporter_there_are_no_many_categories(subject, setting, monkeypatch):
    def missing(folder, count):
        raise EngineError("exporter: got none, expected one. Install it.")

    monkeypatch.setattr(many, "many_categories", missing)
    (figure,) = many.run([subject("fake")], setting, tell=lambda done: None)
    assert figure.failure.startswith("exporter: got none")
    assert figure.case == "300 of 300, random weights"
