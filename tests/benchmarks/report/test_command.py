"""``sgn-rt bench`` from a run that is over: its files, its exit codes, what it refuses before work.

That of a run of its own is in ``tests/benchmarks/test_bench.py``.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sgn_rt.benchmarks import suite
from sgn_rt.benchmarks.report.files import read_result
from sgn_rt.cli import bench as command

pytest.importorskip("matplotlib")


@pytest.fixture
def stored(result, tmp_path):
    """Writes a run; its path."""

    def store(name, run=result):
        path = tmp_path / name
        path.write_text(json.dumps(run.to_dict(), allow_nan=False))
        return path

    return store


@pytest.fixture
def no_run(monkeypatch):
    def refuse(*arguments, **more):
        raise AssertionError("it was run")

    monkeypatch.setattr(command, "run", refuse)


def of(result, *rows):
    """Some rows of a run, none that failed."""
    return dataclasses.replace(
        result,
        rows=tuple(row for row in result.rows if row.name in rows),
        figures=tuple(f for f in result.figures if f.row in rows and f.failure is None),
    )


@pytest.fixture
def good(result):
    return of(result, "onnxruntime", "torch-compile")


def test_everything_is_written(run, stored, result, tmp_path, no_run):
    few = tuple(f for f in result.figures if f.scenario in ("offline", "single-stream"))
    result = dataclasses.replace(result, figures=few)
    old = stored("old.json", result)
    files = {name: tmp_path / "new" / name for name in ("run.json", "run.md", "run.html")}
    done = run("bench", "--from", old, "--json", files["run.json"], "--markdown", files["run.md"],
               "--html", files["run.html"], "--history", tmp_path / "history",
               "--compare", old)  # fmt: skip
    assert done.code == 0  # what failed is nothing of ours
    assert read_result(files["run.json"]).to_dict() == result.to_dict()
    for text in (files["run.md"].read_text(), files["run.html"].read_text(), done.out):
        assert "parity: whole: 0.4 (at most 0.01)" in text
        assert "0 of " in text
        assert "worse by more than 5 %" in text
    assert len(list((tmp_path / "history").glob("bench-*.json"))) == 1
    assert "IN SHORT" in done.out
    assert done.out.index("SINGLE-STREAM") < done.out.index("IN SHORT")


@pytest.mark.parametrize(
    ("options", "changes", "code"),
    [
        ([], {"kind": "engine"}, 1),
        ([], {"kind": "competitor"}, 0),
        (["--row", "torch"], {"kind": "competitor"}, 1),
        ([], {"kind": "engine", "absent": True}, 0),
        (["--row", "torch"], {"kind": "competitor", "absent": True}, 1),
    ],
)
def test_what_is_ours_or_was_asked_for_may_not_fail(run, good, monkeypatch, options, changes, code):
    rows = (good.rows[0], dataclasses.replace(good.rows[1], failure="parity: whole", **changes))
    failed = dataclasses.replace(good, rows=rows)
    monkeypatch.setattr(command, "run", lambda *arguments, **options: failed)
    assert run("bench", *options).code == code


@pytest.mark.parametrize(("option", "start"), [("--json", "{"), ("--markdown", "# sgn"),
                                               ("--html", "<!doctype html>")])  # fmt: skip
def test_stdout_has_one_thing_alone(run, stored, good, option, start):
    done = run("bench", "--from", stored("run.json", good), option, "-")
    assert done.code == 0
    assert done.out.startswith(start)
    assert "IN SHORT" not in done.out


def test_two_things_on_stdout_are_refused(run, stored, no_run):
    done = run("bench", "--from", stored("run.json"), "--json", "-", "--html", "-")
    assert done.code == 2
    assert "got 2 files for stdout" in done.err


def test_codes_of_a_comparison(run, stored, good, slower):
    old = stored("old.json", good)
    worse = stored("worse.json", slower(good, 1.2))
    assert run("bench", "--from", old, "--compare", old).code == 0
    done = run("bench", "--from", worse, "--compare", old)
    assert done.code == 1
    assert "WORSE beyond the limit" in done.out
    assert run("bench", "--from", worse, "--compare", old, "--limit", "50").code == 0
    elsewhere = dataclasses.replace(good, machine=good.machine | {"cpu": "Other"})
    done = run("bench", "--from", stored("other.json", elsewhere), "--compare", old)
    assert done.code == 2
    assert "NOT JUDGED: another machine: cpu was Example CPU <1>, is Other." in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--limit", "3"], "--limit: got 3 without --compare"),
        (["--compare", "nonesuch.json"], "nonesuch.json: got No such file"),
        (["--history", __file__], "expected a folder of runs"),
        (["--json", "/"], "expected to write a file there"),
        (["--scenario", "nonesuch"], "nonesuch"),
        (["--official", "--quick"], "--official: got --quick beside it"),
        (["--loadgen-logs", __file__], "is a file"),
        (["--loadgen-logs", str(Path(__file__).parent)], "with files in it, expected a folder"),
    ],
)
def test_what_cannot_work_is_told_before_the_run(run, no_run, options, said):
    done = run("bench", *options)
    assert done.code == 2
    assert said in done.err


@pytest.mark.parametrize("option", ["--quick", "--hour", "--row=torch", "--scenario=files"])
def test_a_run_that_is_over_is_not_run_otherwise(run, stored, no_run, option):
    done = run("bench", "--from", stored("run.json"), option)
    assert done.code == 2
    assert "expected nothing that says what to run" in done.err


def test_a_run_is_kept_in_a_history_once(run, stored, good, tmp_path):
    path, history = stored("run.json", good), tmp_path / "history"
    assert run("bench", "--from", path, "--history", history).code == 0
    done = run("bench", "--from", path, "--history", history)
    assert done.code == 2
    assert "expected one that" in done.err
    assert len(list(history.glob("bench-*.json"))) == 1


def test_a_result_that_breaks_the_schema_is_written_and_told(run, good, tmp_path, monkeypatch):
    broken = dataclasses.replace(good, made="yesterday")
    monkeypatch.setattr(command, "run", lambda *arguments, **options: broken)
    written = tmp_path / "run.json"
    done = run("bench", "--json", written)
    assert done.code == 2
    assert "result: got 'yesterday' does not match" in done.err
    assert json.loads(written.read_text())["made"] == "yesterday"


def test_a_plan_is_what_was_asked_for(run, good, monkeypatch):
    plans = []
    monkeypatch.setattr(
        command, "run", lambda bundle, plan, step, **options: plans.append(plan) or good
    )
    asked = ("--row", "torch", "--engine", "onnxruntime", "--scenario", "files", "--minutes", "1",
             "--network", "paper-scale", "--hour", "--threads", "1", "--official",
             "--loadgen-logs", "logs", "--passes", "5")  # fmt: skip
    assert run("bench", *asked).code == 0
    (plan,) = plans
    assert plan == suite.Plan(
        rows=("torch", "onnxruntime"), scenarios=("files",), networks=("paper-scale",),
        minutes=1.0, hour=True, threads=1, official=True, keep=Path("logs"),
        passes=5,
    )  # fmt: skip


def test_tables_need_no_package_for_plots_or_schemas(stored, good):
    """What is shown on a terminal, and JSON, come with what the package itself needs."""
    code = f"""
        import sys
        for name in ("matplotlib", "jsonschema"):
            sys.modules[name] = None
        import json, pathlib
        from sgn_rt.benchmarks.result import Result
        from sgn_rt.cli.bench_output import Output
        told = json.loads(pathlib.Path({str(stored("run.json", good))!r}).read_text())
        output = Output(pathlib.Path("/dev/null"), None, None, None, None, None)
        print(output.write(Result.from_dict(told)))
        from sgn_rt.errors import DependencyError
        for wrong in (dict(page=pathlib.Path("a")), dict(old=pathlib.Path("a.json")),
                      dict(history=pathlib.Path("a"))):
            options = dict(json_path=None, markdown=None, page=None, history=None, old=None)
            try:
                Output(**options | wrong, limit=None)
            except DependencyError as error:
                assert "pip install" in str(error)
            except Exception as error:
                assert "old" in wrong, error
            else:
                raise AssertionError(wrong)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("0")
