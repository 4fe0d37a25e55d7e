"""The page on scaling, and the command that writes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sgn_rt.benchmarks.fleet import FIGURES, PAGE, main
from sgn_rt.benchmarks.simulation import report, study
from sgn_rt.benchmarks.simulation.capacity import hold, most_carried
from sgn_rt.benchmarks.simulation.scenarios import figures
from sgn_rt.benchmarks.simulation.service import GpuModel, Kind
from sgn_rt.model.bundle import Bundle

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def result():
    return json.loads((DOCS / FIGURES).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def config():
    return Bundle.open().config


@pytest.fixture(scope="module")
def quick(config):
    told = []
    chosen = study.quick(study.Study())
    found = study.run(config, chosen, lambda what, share: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1.0
    return found


def test_the_page_says_what_the_command_found(result):
    page = (DOCS / PAGE).read_text(encoding="utf-8")
    assert report.between(page, report.render(result)) == page


def test_the_command_finds_that_still(result, config):
    """The costs and limits of all latencies, and one number of streams again."""
    plain = study.Study()
    assert {k: v for k, v in result["model"].items() if k != "hosted_s"} == {
        name: getattr(plain.model, name) for name in result["model"] if name != "hosted_s"
    }
    for row in result["latencies"]:
        kind = Kind.of(config, plain.model, row["latency_s"])
        assert row["step_s"] == pytest.approx(kind.step_s)
        assert row["cost_us"]["kernels"] == pytest.approx(1e6 * kind.cost.kernels)
        assert 0.9 * most_carried(plain.model, kind) < row["gpu"]["streams"]
        assert row["gpu"]["streams"] <= most_carried(plain.model, kind)
    row = next(row for row in result["latencies"] if row["latency_s"] == 0.25)
    load = row["loads"][1]
    again = hold(
        plain.model, Kind.of(config, plain.model, 0.25), load["streams"], plain.trial
    )  # fmt: skip
    for name, value in figures(again).items():
        assert value == pytest.approx(load[name], rel=0.02), name


def test_what_must_be_shown_is_shown(result):
    assert result["mixed"]["streams"] == 10_000
    assert result["mixed"]["p99_ms"] < 1e3 * result["trial"]["deadline_s"]
    assert result["fleet"]["peak_streams"] == 1e6
    assert all(row["fleet"]["most_streams"] > 0.99e6 for row in result["latencies"])
    costs = [row["fleet"]["gpu_hours_per_1000"] for row in result["latencies"]]
    assert costs == sorted(costs, reverse=True)


def test_a_quick_run_has_all_parts_and_is_the_same_again(quick, config):
    text = report.render(quick)
    for part in ("assumes", "One GPU", "flood", "Too many", "slow engine", "A fleet"):
        assert part in text
    again = study.run(config, study.quick(study.Study()), lambda what, share: None)
    assert again == quick


def test_another_model_is_another_result(quick, config):
    chosen = study.quick(study.Study())
    twice = replace(chosen.model, network_windows=1e6, memory=1e12)
    other = study.run(config, replace(chosen, model=twice, latencies=(1.0,)), lambda w, s: None)
    assert other["latencies"][0]["gpu"]["streams"] > quick["latencies"][0]["gpu"]["streams"]


def test_a_price_is_told_where_it_is_given(quick):
    assert "a GPU-hour" not in report.render(quick)
    assert "at 3 a GPU-hour" in report.render(quick, price=3.0)


def test_the_command_writes_page_figures_and_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    page = f"# Why?\n\n{report.BEGIN}\nstale\n{report.END}\n\nafter\n"
    (tmp_path / PAGE).write_text(page, encoding="utf-8")
    done = CliRunner().invoke(main, ["--quick", "--write", str(tmp_path)])
    assert done.exit_code == 0, done.output
    written = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert written.startswith("# Why?")
    assert written.endswith(f"{report.END}\n\nafter\n")
    assert "stale" not in written
    stored = json.loads((tmp_path / FIGURES).read_text(encoding="utf-8"))
    assert report.between(page, report.render(stored)) == written
    for name in ("scaling-gpu.png", "scaling-fleet.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_page_without_marks_is_refused_before_any_work(tmp_path):
    (tmp_path / PAGE).write_text("# Why?\n", encoding="utf-8")
    done = CliRunner().invoke(main, ["--quick", "--write", str(tmp_path)])
    assert done.exit_code != 0
    assert "expected the marks" in done.output
    assert [path.name for path in tmp_path.iterdir()] == [PAGE]


def test_memory_never_limits_the_network_in_the_model():
    """So that the page may say what the network's time is from."""
    model = GpuModel()
    assert model.network_bytes / model.memory < 1 / (model.network_windows * model.efficiency)
