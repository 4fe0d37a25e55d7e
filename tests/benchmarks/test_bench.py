"""``sgn-rt bench``, end to end; nothing here looks at how long anything took."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sgn_rt.benchmarks.report.files import read_result
from sgn_rt.benchmarks.result import SCHEMA, Result
from sgn_rt.benchmarks.rows import subjects
from sgn_rt.benchmarks.scenarios import every
from sgn_rt.cli.bench import command
from sgn_rt.errors import EngineError


def bench(*arguments):
    return CliRunner().invoke(command, [*map(str, arguments)], standalone_mode=False)


def test_quick(tmp_path):
    pytest.importorskip("onnxruntime")
    result = bench("--quick", "--engine", "onnxruntime", "--json", tmp_path / "bench.json")
    assert result.exception is None
    assert result.return_value == 0
    for text in ("onnxruntime", "none named, warm", "peak memory"):
        assert text in result.stdout
    told = json.loads((tmp_path / "bench.json").read_text())
    assert told["schema"] == SCHEMA
    found = Result.from_dict(told)
    assert {figure.scenario for figure in found.figures} == set(every.QUICK)
    assert all(figure.failure is None for figure in found.figures)
    assert [row.name for row in found.rows] == ["onnxruntime"]
    assert found.ratios == ()
    assert found.model["categories"] == 11
    assert found.machine["cpus"] >= 1
    (limits,) = found.limits
    assert sum(limits.shares.values()) == pytest.approx(1.0)
    assert limits.words.split(".")[0][:40] in result.stdout


def test_an_engine_that_fails_parity_has_a_row_and_no_figure(monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    opened = subjects.open_engine

    def too_loud(name, bundle, threads):
        engine = opened(name, bundle, threads)
        right = engine._synthesize

        def synthesize(analysis, categories):
            return right(analysis, categories) + 0.1

        engine._synthesize = synthesize
        return engine

    monkeypatch.setattr(subjects, "open_engine", too_loud)
    written = tmp_path / "bench.json"
    result = bench("--quick", "--engine", "onnxruntime", "--json", written)
    assert result.exception is None
    assert result.return_value == 1
    assert "Rows that FAILED, and have no figures" in result.stdout
    assert "parity: whole: " in result.stdout
    found = Result.from_dict(json.loads(written.read_text()))
    assert found.figures == ()
    assert found.limits == ()
    assert found.rows[0].failure.startswith("parity: whole: ")
    assert not found.rows[0].absent


@pytest.mark.parametrize("names", [["nonesuch"], [""], ["nonesuch", "onnxruntime:corn.fp32"]])
def test_a_run_of_no_engine_is_no_success(names, tmp_path):
    written = tmp_path / "bench.json"
    result = bench("--quick", *(f"--engine={name}" for name in names), "--json", written)
    assert isinstance(result.exception, EngineError)
    assert "benchmark: got nothing to time" in str(result.exception)
    assert all(repr(name) in str(result.exception) or ":" in name for name in names)
    assert not written.exists()


def test_an_interrupted_run_leaves_what_it_has_measured(monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setitem(every.OURS, "batch", interrupted)
    written = tmp_path / "bench.json"
    result = bench("--quick", "--engine", "onnxruntime", "--scenario", "sources", "--scenario",
                   "batch", "--json", written)  # fmt: skip
    assert result.exception is not None
    found = read_result(written)
    assert {figure.scenario for figure in found.figures} == {"sources"}
    assert [row.name for row in found.rows] == ["onnxruntime"]
    assert found.plan["unfinished"]
