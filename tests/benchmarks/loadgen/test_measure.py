"""Rows of the CPU, each in its process, put to the generator; nothing looks at their times."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from sgn_rt.benchmarks.loadgen import measure as measuring
from sgn_rt.benchmarks.loadgen import row as rows
from sgn_rt.benchmarks.loadgen.logs import ACCURACY, DETAIL, SUMMARY, Outcome
from sgn_rt.benchmarks.loadgen.measure import measure
from sgn_rt.benchmarks.loadgen.process import PROGRAM, Child
from sgn_rt.benchmarks.loadgen.row import Found, Row
from sgn_rt.benchmarks.loadgen.scenario import Pace, Run, Scenario
from sgn_rt.benchmarks.result import Figure, Result
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.errors import DependencyError, EngineError

BAD = (sys.executable, "-P", str(Path(__file__).with_name("bad_child.py")))
SINGLE, MULTI, OFFLINE, SERVER = Scenario
ROW = "onnxruntime"


def test_all_four_are_valid_by_the_generators_own_files(setting, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "STEPS", 2)
    told, out = [], tmp_path / "logs"
    # A bound that a busy machine keeps, too.
    figures = measure([ROW], setting, rounds=1, out=out, tell=told.append, bound_s=1.0)
    assert [figure.scenario for figure in figures] == list(Scenario)
    for figure in figures:
        assert (figure.valid, figure.failure) == (True, None), figure.note
        assert (figure.row, figure.case, figure.network) == (ROW, "", "published")
        assert figure.value > 0
        assert "INVALID" not in figure.note
    assert told == [0.25, 0.5, 0.75, 1.0]
    by = {figure.scenario: figure for figure in figures}
    assert by["offline"].percentiles is None
    for name in ("single-stream", "multi-stream", "server"):
        assert list(by[name].percentiles) == ["p50", "p90", "p99"]
        assert sorted(by[name].percentiles.values()) == list(by[name].percentiles.values())
    assert by["single-stream"].value == by["single-stream"].percentiles["p90"]
    assert "90th percentile within 1 s, of 2 rates" in by["server"].note
    assert by["server"].percentiles["p90"] <= 1.0
    for figure in figures:
        folder = out / "published" / ROW / figure.scenario / "0"
        kept = sorted(folder.rglob(SUMMARY))
        assert len(kept) == (2 if figure.scenario == "server" else 1)
        if figure.scenario != "server":
            assert "Result is : VALID" in kept[0].read_text()
            assert (folder / DETAIL).exists()
    # Nothing of it is lost on the way to a file.
    made = Result(made="", plan={}, machine={}, model={}, figures=tuple(figures))
    assert Result.from_dict(made.to_dict()) == made


def open_child(setting, program=PROGRAM, **limits):
    return Child(
        ROW, setting.bundle.root, threads=2, folder=setting.folder, devices=None,
        categories=setting.bundle.config.categories, program=program, **limits,
    )  # fmt: skip


def test_a_run_that_is_too_short_is_told_as_invalid(setting):
    slow = Pace(rate=0.1, latency_s=10.0)
    with open_child(setting) as child:
        for turn in ("first", "again"):  # the same process goes on
            outcome = child.run(Run(scenario=OFFLINE, pace=slow), setting.folder / turn)
            assert not outcome.valid
            assert "Min duration satisfied : NO" in outcome.words
            assert "expected QPS" in outcome.words  # what the generator recommends


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("raises", "RuntimeError: no memory left"),
        ("late", "RuntimeError: no memory left"),
        ("dies", "got exit code 3 (a broken library)"),
        ("hangs", "single-stream: got no end within 3 s"),
    ],
)
def test_an_engine_that_goes_wrong_ends_with_a_message(setting, fails, way, said):
    with open_child(setting, (*BAD, way), patience=1.0, grace_s=1.0) as child:
        # By the official rules the generator goes on for ten minutes, unless it is ended.
        pace = Pace(rate=100.0, latency_s=0.01)
        run = Run(scenario=SINGLE, pace=pace, official=way in ("raises", "late"))
        with fails(EngineError, said, ROW):
            child.run(run, setting.folder / "logs")


def test_a_process_ends_with_who_has_started_it(setting):
    """Also where its engine hangs, and nobody is left that would end it."""
    with open_child(setting, (*BAD, "hangs")) as child:
        run = Run(scenario=SINGLE, pace=child.pace)
        stdin = child._process.stdin
        stdin.write(json.dumps({"run": run.to_dict(), "folder": str(setting.folder)}) + "\n")
        stdin.close()
        assert child._process.wait(timeout=60) == 0


def test_what_an_engine_prints_is_no_answer(setting):
    with open_child(setting, (*BAD, "chats")) as child:
        accurate = Run(scenario=OFFLINE, pace=child.pace, accuracy=True)
        with pytest.raises(EngineError, match="entries result_validity"):
            child.run(accurate, setting.folder)
        assert (setting.folder / ACCURACY).stat().st_size > 1000


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("opening", "to open: got no end within 2 s"),
        ("parity", "got parity: whole: "),
    ],
)
def test_what_does_not_open_or_fails_parity_has_no_time(setting, fails, way, said):
    with fails(EngineError, said):
        open_child(setting, (*BAD, way), opening_s=2.0 if way == "opening" else 100.0)


def test_a_row_that_does_not_open_has_failures_for_figures(setting):
    failed = Subject(name="failed-before", failure="parity")
    figures = measure([failed, "nonesuch"], setting, scenarios=["server", "offline"], rounds=1)
    assert [(figure.row, figure.scenario) for figure in figures] == [
        ("nonesuch", "offline"),
        ("nonesuch", "server"),
    ]
    for figure in figures:
        assert "nonesuch" in figure.failure
        assert math.isnan(figure.value)
        assert figure.valid is None


def test_without_the_generator_it_names_the_command(setting, monkeypatch, fails):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(DependencyError, match=r"(mlcommons-loadgen|\[bench\])"):
        measure([ROW], setting)


class Paced:
    """A row's process whose queries are late above a rate, and that may fail."""

    def __init__(self, limit=math.inf, latency_s=0.1, fails=()):
        self.pace = Pace(rate=16.0, latency_s=latency_s)
        self.limit, self.fails, self.runs, self.starts, self.closed = limit, fails, [], 0, False

    def run(self, run, folder):
        self.runs.append((run, folder))
        if run.scenario in self.fails:
            raise EngineError(f"{run.scenario}: got an error, expected none. Look.")
        if run.scenario is OFFLINE:
            # Twice as fast as when it was warmed: its queue was too short.
            return outcome(run.pace.rate > 16, rate=32.0)
        if run.scenario is SERVER:
            return outcome(run.rate <= self.limit, rate=run.rate)
        return outcome(True, latency_s=self.pace.latency_s)

    def close(self):
        self.closed = True


def outcome(valid, *, rate=None, latency_s=0.1):
    percentiles = {"p50": latency_s / 2, "p90": latency_s, "p99": 2 * latency_s}
    words = "" if valid else "Min duration satisfied : NO"
    return Outcome(valid=valid, words=words, percentiles=percentiles, rate=rate)


@pytest.fixture
def paced(monkeypatch, setting):
    """Measures rows in processes that are made up."""

    def run(children, **options):
        def start(name, **given):
            children[name].starts += 1
            return children[name]

        monkeypatch.setattr(measuring, "Child", start)
        figures = measure(children, setting, **options)
        assert all(child.closed for child in children.values())
        return {(figure.row, figure.scenario): figure for figure in figures}

    return run


@pytest.mark.parametrize(("limit", "expected"), [(10.0, 9.875), (100.0, 19.4375)])
def test_the_servers_rate_is_the_largest_that_is_valid(paced, limit, expected):
    child = Paced(limit)
    figure = paced({"a": child}, scenarios=["server"], rounds=1, bound_s=0.25)["a", "server"]
    tried = [run.rate for run, _ in child.runs]
    assert len(tried) == 5
    assert figure.value == max(rate for rate in tried if rate <= limit) == expected
    assert figure.valid
    assert {run.bound_s for run, _ in child.runs} == {0.25}
    assert "within 0.25 s" in figure.note


def test_a_server_that_is_always_late_is_invalid(paced):
    child = Paced(0.0)
    figure = paced({"a": child}, scenarios=["server"], rounds=1, bound_s=0.25)["a", "server"]
    assert figure.valid is False
    assert "INVALID: Min duration satisfied : NO" in figure.note
    assert figure.value == min(run.rate for run, _ in child.runs)
    assert f"the lowest was {figure.value:.3g}/s" in figure.note


def test_the_bound_is_of_the_fastest_row_and_the_same_for_all(paced):
    fast, slow = Paced(latency_s=0.01236), Paced(latency_s=0.4)
    found = paced({"fast": fast, "slow": slow}, scenarios=[SERVER], rounds=1)
    assert list(found) == [("fast", "server"), ("slow", "server")]  # what it took alone
    for child in (fast, slow):
        assert {run.bound_s for run, _ in child.runs if run.scenario is SERVER} == {0.062}


def test_rounds_lie_next_to_each_other_and_have_an_interval(paced):
    children = {name: Paced() for name in ("a:core.fp32", "b", "c")}
    found = paced(children, scenarios=["single-stream"], rounds=4)
    assert all(len(figure.values) == 4 for figure in found.values())
    assert found["b", "single-stream"].interval == (0.1, 0.1)
    folders = [folder for _, folder in children["a:core.fp32"].runs]
    assert [folder.name for folder in folders] == ["0", "1", "2", "3"]
    # A name that every file system and archive takes.
    assert {folder.parts[-4:-2] for folder in folders} == {("published", "a_core.fp32")}


def test_offline_is_told_what_to_expect_once_more(paced):
    child = Paced()
    figure = paced({"a": child}, scenarios=["offline"], rounds=2)["a", "offline"]
    assert [run.pace.rate for run, _ in child.runs] == [16.0, 32.0, 16.0, 32.0]
    assert figure.valid
    assert figure.values == (32.0, 32.0)


def test_what_fails_in_one_scenario_goes_on_in_the_next_in_a_new_process(paced):
    child = Paced(fails=[MULTI])
    found = paced({"a": child}, rounds=2)
    assert found["a", "multi-stream"].failure.startswith("multi-stream: got an error")
    assert [run.scenario for run, _ in child.runs].count(MULTI) == 1
    assert child.starts == 2
    assert all(
        figure.failure is None for key, figure in found.items() if key != ("a", "multi-stream")
    )


def test_without_any_latency_there_is_no_bound(paced):
    found = paced({"a": Paced(fails=[SINGLE])}, scenarios=["server"], rounds=1)
    assert found["a", "server"].failure.startswith("single-stream: got an error")


def test_one_invalid_round_makes_the_figure_invalid(setting):
    row = Row(name="a", start=None, folder=setting.folder, official=True)
    row.found[MULTI] = [Found(outcome(True), "n"), Found(outcome(False), "n; INVALID: why")]
    blank = Figure(scenario="", row="", name="", unit="", better="higher", value=math.nan)
    figure = measuring._figure(blank, MULTI, row)
    assert figure.valid is False
    assert figure.note == "n; n; INVALID: why"
    assert figure.value == 0.2  # of MLPerf's own rule the 99th percentile
