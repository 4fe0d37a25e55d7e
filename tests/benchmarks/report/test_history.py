"""A folder of runs: nothing in it is lost, and its page shows the course of all of them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sgn_rt.benchmarks.report.files import read_result
from sgn_rt.benchmarks.report.history import History
from sgn_rt.errors import ConfigError

pytest.importorskip("matplotlib")


@pytest.fixture
def small(result):
    """A run of few figures: quick to draw."""
    return dataclasses.replace(
        result, figures=(*result.figures[:1], *result.figures[-1:]), ratios=(), limits=()
    )


def at(result, made):
    return dataclasses.replace(result, made=made)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_run_is_kept(small, tmp_path):
    folder = tmp_path / "new" / "history"
    first = History(folder).add(at(small, "2026-11-29T08:00:00+00:00"))
    assert first.name == "bench-20261129T080000Z.json"
    content = first.read_bytes()
    again = History(folder)
    assert len(again.runs) == 1
    for number in (2, 3):  # of the same second
        path = again.add(at(small, "2026-11-29T08:00:00.250000+00:00"))
        assert path.name == f"bench-20261129T080000Z-{number}.json"
    assert first.read_bytes() == content
    assert read_result(first).to_dict() == at(small, "2026-11-29T08:00:00+00:00").to_dict()
    assert names(folder) == [
        "bench-20261129T080000Z-2.json", "bench-20261129T080000Z-3.json",
        "bench-20261129T080000Z.json", "index.html",
    ]  # fmt: skip
    page = (folder / "index.html").read_text()
    assert all(f'<th scope="row">{number}</th>' in page for number in (1, 2, 3))


def test_runs_stand_in_the_order_of_their_times(small, tmp_path):
    for made in ("2026-11-29T08:00:00+00:00", "2026-11-27T08:00:00Z", "2026-11-28T08:00:00+00:00"):
        History(tmp_path).add(at(small, made))
    assert [run.made[8:10] for run in History(tmp_path).runs] == ["27", "28", "29"]


def test_a_line_breaks_where_another_machine_begins(small, tmp_path):
    from sgn_rt.benchmarks.report.course import Point, _parts

    figure = small.figures[0]
    points = [Point(run, figure) for run in (0, 1, 3, 4)]
    parts = [[point.run for point in part] for part in _parts(points, [0, 2, 3])]
    assert parts == [[0, 1], [3, 4]]
    other = dataclasses.replace(small, machine=small.machine | {"cpu": "Other"})
    for day, run in enumerate((small, small, other), start=1):
        History(tmp_path).add(at(run, f"2026-11-0{day}T08:00:00+00:00"))
    assert "another machine: cpu was" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("content", [b"{}", b"", b'{"schema": 1}'])
def test_a_broken_run_is_told_and_stays(small, tmp_path, content):
    broken = tmp_path / "bench-20261101T080000Z.json"
    broken.write_bytes(content)
    with pytest.raises(ConfigError, match=broken.name):
        History(tmp_path)
    assert broken.read_bytes() == content
    assert names(tmp_path) == [broken.name]


def test_what_is_not_of_a_history_is_let_alone(small, tmp_path):
    (tmp_path / "notes.json").write_text("{}")
    History(tmp_path).add(small)
    assert (tmp_path / "notes.json").read_text() == "{}"
    page = tmp_path / "index.html"
    page.write_text("<title>Mine</title>")
    with pytest.raises(ConfigError, match="a page of something else"):
        History(tmp_path)
    assert page.read_text() == "<title>Mine</title>"
    with pytest.raises(ConfigError, match="expected a folder of runs"):
        History(page)


def test_a_run_is_kept_though_its_page_cannot_be_drawn(small, tmp_path, monkeypatch):
    from sgn_rt.benchmarks.report import history

    def broken(runs):
        raise RuntimeError("no picture")

    monkeypatch.setattr(history, "course_page", broken)
    with pytest.raises(RuntimeError):
        History(tmp_path).add(small)
    assert names(tmp_path) == ["bench-20261129T080000Z.json"]


def test_a_folder_that_takes_no_files(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="expected to keep a run there"):
        History(tmp_path / "file" / "history").add(small)


def test_figures_that_failed_have_no_point(small, tmp_path):
    failed = json.loads(json.dumps(small.to_dict()))
    assert any(each["value"] is None for each in failed["figures"])
    History(tmp_path).add(small)
    assert "An hour" not in (tmp_path / "index.html").read_text()
