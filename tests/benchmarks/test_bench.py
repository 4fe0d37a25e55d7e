"""``sgn-rt bench``, end to end; nothing here looks at how long anything took."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sgn_rt.benchmarks.rows import subjects
from sgn_rt.cli.bench import command
from sgn_rt.errors import EngineError


def bench(*arguments):
    return CliRunner().invoke(command, [*map(str, arguments)], standalone_mode=False)


def test_quick(tmp_path):
    pytest.importorskip("onnxruntime")
    result = bench("--quick", "--engine", "onnxruntime", "--json", tmp_path / "bench.json")
    assert result.exception is None
    assert result.return_value == 0
    for text in ("onnxruntime", "those present", "peak MB", "cold start", "what limits"):
        assert text in result.stdout
    found = json.loads((tmp_path / "bench.json").read_text())
    rows = found["whole_files"]
    assert list(rows) == ["onnxruntime/all", "onnxruntime/sounding", "onnxruntime/present"]
    assert all(len(row["seconds"]) == 1 for row in rows.values())
    assert found["reference"] is None
    assert found["memory"]["onnxruntime"]["peak"] > 0
    assert found["hour"] is None
    assert found["machine"]["cpus"] >= 1


def test_json_alone_on_stdout():
    pytest.importorskip("onnxruntime")
    result = bench("--quick", "--engine", "onnxruntime", "--json", "-")
    assert json.loads(result.stdout)["schema"] == 1


def test_an_engine_that_fails_parity_has_a_row_and_no_time(monkeypatch):
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
    result = bench("--quick", "--engine", "onnxruntime")
    assert result.exception is None
    assert result.return_value == 1
    assert "onnxruntime: FAILED: parity: whole: " in result.stdout
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("onnxruntime  11")]
    assert row.split()[2:] == ["-", "-", "-", "-", "-"]
    assert "cold start" not in result.stdout


def test_the_reference_leads_the_ratios(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    result = bench(
        "--quick", "--engine", "onnxruntime", "--engine", "torch", "--json", tmp_path / "bench.json"
    )
    assert result.exception is None
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["reference"] in subjects.MEMORY_FORMATS
    rows = found["whole_files"]
    reference = rows[f"{found['reference']}/all"]["seconds"]
    ours = rows["onnxruntime/all"]
    assert ours["to_reference"]["median"] == pytest.approx(reference[0] / ours["seconds"][0])


@pytest.mark.parametrize("names", [["nonesuch"], [""], ["nonesuch", "onnxruntime:corn.fp32"]])
def test_a_run_of_no_engine_is_no_success(names, tmp_path):
    written = tmp_path / "bench.json"
    result = bench("--quick", *(f"--engine={name}" for name in names), "--json", written)
    assert isinstance(result.exception, EngineError)
    assert "benchmark: got nothing to time" in str(result.exception)
    assert all(repr(name) in str(result.exception) or ":" in name for name in names)
    assert not written.exists()


def test_an_engine_that_is_named_and_not_here_fails(monkeypatch):
    """Left out it would be no failure; the others are timed all the same."""
    pytest.importorskip("onnxruntime")
    asked = ("--quick", "--engine", "onnxruntime", "--engine", "nonesuch")
    result = bench(*asked, "--engine", "onnxruntime")
    assert result.return_value == 1
    assert "nonesuch: not here: " in result.stdout
    assert "onnxruntime  11" in result.stdout
