"""Each scenario on fakes: which figures there are; nothing looks at what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.benchmarks.scenarios import batch, files, isolated, length, live, sources, streams
from sgn_rt.benchmarks.scenarios.setting import ALL, PRESENT, SOUNDING
from sgn_rt.errors import EngineError
from sgn_rt.streaming.hub.hub import DEADLINE_S


def done(share):
    assert 0.0 <= share <= 1.0


def test_batches_are_a_curve_of_throughput(subject, setting):
    engine = subject("fake").engine
    engine.seen = []
    figures = batch.run([Subject(name="fake", engine=engine)], setting, tell=done)
    assert [(f.x, f.name, f.unit, f.better) for f in figures] == [
        (size, "throughput", "windows/s", "higher") for size in (1, 2, 4, 8)
    ]
    assert sorted(map(len, engine.seen)) == [1] * 3 + [2] * 3 + [4] * 3 + [8] * 3
    for figure in figures:
        assert len(figure.values) == 3
        assert figure.value == np.median(figure.values)
        low, high = figure.interval
        assert low <= figure.value <= high


@pytest.mark.parametrize(
    ("known", "expected"),
    [(1, [1]), (2, [1, 2]), (11, [1, 2, 4, 8, 11]), (16, [1, 2, 4, 8, 16]), (300, [1, 8, 64, 300])],
)
def test_sources_from_one_to_all(known, expected):
    assert sources.counts(known) == expected


def test_an_error_stands_in_the_figures_place_and_the_others_go_on(subject, setting):
    def breaks(call, answer):
        raise EngineError("broken: got nothing, expected sources. Choose another.")

    found = sources.run([subject("broken", fault=breaks), subject("fake")], setting, tell=done)
    broken = [figure for figure in found if figure.row == "broken"]
    fine = [figure for figure in found if figure.row == "fake"]
    assert [f.case for f in broken] == [f.case for f in fine] == ["1 of 3", "2 of 3", "3 of 3"]
    assert all(math.isnan(f.value) and f.failure.startswith("broken: got") for f in broken)
    assert all(f.failure is None and f.unit == "s" and f.better == "lower" for f in fine)


def test_a_row_that_is_not_here_has_no_figures(setting):
    absent = [Subject(name="fake", failure="not here", absent=True)]
    for scenario in (batch, files, length, sources, streams):
        assert scenario.run(absent, setting, tell=done) == []


def told_of(case, setting):
    """What a process would have told."""
    steps = {"interpreter": 0.1, "import": 0.2, "open": 0.3, "separate": 0.4, "total": 1.0}
    return steps | {"loaded": 2e6, "peak": 3e6}


def test_files_are_separated_warm_and_cold(subject, setting, monkeypatch):
    asked = []

    def process(case, setting):
        asked.append((case.case, case.categories))
        return told_of(case, setting)

    monkeypatch.setattr(isolated, "separate", process)
    figures = files.run([subject("fake")], setting, tell=done)
    times = {f.case: f for f in figures if f.name == "time"}
    choices = (ALL, SOUNDING, PRESENT)
    assert list(times) == [*(f"{choice}, warm" for choice in choices), f"{PRESENT}, cold"]
    assert asked == [(f"{PRESENT}, cold", None)] * 3
    assert times[f"{PRESENT}, cold"].value == 1.0
    assert times[f"{PRESENT}, cold"].interval == (1.0, 1.0)
    cold = {f.name: f.value for f in figures if f.case == f"{PRESENT}, cold"}
    assert cold == {
        "time": 1.0, "interpreter time": 0.1, "import time": 0.2, "open time": 0.3,
        "peak memory": 3.0, "loaded memory": 2.0,
    }  # fmt: skip
    assert not (setting.folder / "stems").exists()


def test_length_is_of_separating_alone_and_long_ones_run_once(subject, setting, monkeypatch):
    counts = []

    def process(case, setting):
        counts.append(case.x)
        return told_of(case, setting) | {"device": 5e6}

    monkeypatch.setattr(isolated, "separate", process)
    monkeypatch.setattr(length, "LONG_S", 2.0)
    told = []
    figures = length.run([subject("fake")], setting, tell=told.append)
    assert counts == [1.0] * 3 + [2.0]
    assert [(f.x, f.name, f.value) for f in figures[:4]] == [
        (1.0, "time", 0.4), (1.0, "peak memory", 3.0), (1.0, "loaded memory", 2.0),
        (1.0, "peak device memory", 5.0),
    ]  # fmt: skip
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_a_process_that_fails_is_told(subject, setting, monkeypatch):
    def process(case, setting):
        raise EngineError("fake: got exit code 1, expected a figure. See why.")

    monkeypatch.setattr(isolated, "separate", process)
    figures = length.run([subject("fake")], setting, tell=done)
    assert [(f.case, f.name, f.failure[:14]) for f in figures] == [
        ("1 s", "time", "fake: got exit"), ("2 s", "time", "fake: got exit"),
    ]  # fmt: skip


def outcome(streams, p99):
    return live.Outcome(
        streams=streams, refused=0, seconds=1.0, stopped="", cpu_share=0.5, hub={},
        cpu_s_per_window=0.05, memory_mib=(1.0, 1.0),
        lateness_s={"p50": 0.0, "p90": p99 / 2, "p99": p99, "max": 2 * p99},
    )  # fmt: skip


def test_the_most_streams_by_bisection(subject, setting, monkeypatch):
    tried = []

    def run(hub, music, streams, seconds, deadline_s, **options):
        tried.append(streams)
        assert options["categories"] == ["bell"]
        return outcome(streams, streams / 70.0)  # 14 are late by 0.2 s

    monkeypatch.setattr(live, "run", run)
    (figure,) = streams.run([subject("fake")], setting, tell=done)
    assert DEADLINE_S == 0.2
    assert figure.value == 14
    assert tried[0] == streams.START
    assert figure.percentiles == pytest.approx({"p50": 0.0, "p90": 0.1, "p99": 0.2})
    assert isinstance(figure, Figure)
    assert figure.better == "higher"


def test_streams_of_an_engine_that_fails(subject, setting, monkeypatch):
    def run(hub, music, streams, seconds, deadline_s, **options):
        raise EngineError("fake: got nothing, expected sources. Choose another.")

    monkeypatch.setattr(live, "run", run)
    (figure,) = streams.run([subject("fake")], setting, tell=done)
    assert math.isnan(figure.value)
    assert figure.failure.startswith("fake: got nothing")


def test_live_streams_of_a_fake_run(subject, setting):
    from dataclasses import replace

    short = replace(setting, stream_s=0.2, most_streams=1)
    (figure,) = streams.run([subject("fake")], short, tell=done)
    assert figure.value in (0, 1)  # nothing is due within 0.2 s
    assert figure.failure is None
