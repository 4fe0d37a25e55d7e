"""Markdown and the tables behind it; numbers as people read them."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from sgn_rt.benchmarks.report import docs
from sgn_rt.benchmarks.report.files import told_and_checked
from sgn_rt.benchmarks.report.markdown import as_markdown
from sgn_rt.benchmarks.report.quantities import number, spread, unit_for
from sgn_rt.benchmarks.report.sections import ABOUT, sections
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.scenarios import every


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (float("nan"), "-"), (float("inf"), "-"), (1234.5, "1234"), (123.4, "123"),
     (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123"), (0.001234, "0.00123"), (-2.5, "-2.50"),
     (9.999, "10.00"), (1e-9, "0.000000")],
)  # fmt: skip
def test_numbers(value, shown):
    assert number(value) == shown


def test_an_interval_has_the_digits_of_its_value():
    assert spread(12.34, (9.0, 101.26)) == "12.3 (9.0 to 101.3)"
    assert spread(12.34, None) == "12.3"


@pytest.mark.parametrize(
    ("unit", "values", "name", "shown"),
    [("s", [0.0331, 0.04], "ms", "33.1"), ("s", [2.0, 3.0], "s", "2.00"),
     ("B", [3.3e8], "MB", "330"), ("B", [4e9], "GB", "4.00"), ("windows/s", [31.4], "windows/s",
     "31.4"), ("s", [float("nan")], "ms", "-"), ("FLOP/s", [1.78e11], "GFLOP/s", "178")],
)  # fmt: skip
def test_units(unit, values, name, shown):
    found = unit_for(unit, values)
    assert (found.name, found.number(values[0])) == (name, shown)


def tables_of(markdown):
    """Parsed as GitHub does: each table as lists of its cells' texts."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and found[-1] and token.level >= 4:
            found[-1][-1].append("".join(child.content for child in token.children))
    return found


def test_markdown_says_what_the_tables_say(result):
    found = tables_of(as_markdown(result))
    expected = [table for section in sections(result) for table in section.tables]
    assert len(found) == len(expected)
    for table, parsed in zip(expected, found, strict=True):
        assert parsed == [[*table.columns], *([*row] for row in table.rows)]


def test_what_is_no_text_of_a_table_stays_in_its_cell(result):
    name = "a|b `c` *d* <e> [f](g) \\ # ~h~ &amp; i\nj"
    first = dataclasses.replace(result.figures[0], row=name)
    found = tables_of(as_markdown(dataclasses.replace(result, figures=(first,))))
    assert found[1][1][0] == name.replace("\n", " ")


def test_the_best_of_ours_stands_beside_the_best_of_the_others(result):
    (table,) = sections(result)[0].tables
    row = next(row for row in table.rows if row[0].startswith("offline"))
    assert row[0] == "offline, throughput (windows/s)"
    assert (row[1], row[3]) == ("onnxruntime:core.int8", "torch-compile")
    assert 2.0 < float(row[5]) < 2.4
    assert not any(row[0].startswith("length") for row in table.rows)


def test_in_short_only_main_figures_are_told(result):
    first = next(figure for figure in result.figures if figure.scenario == "files")
    more = [dataclasses.replace(first, name=name) for name in ("import time", "peak memory")]
    (table,) = sections(dataclasses.replace(result, figures=(first, *more)))[0].tables
    assert [row[0] for row in table.rows] == [
        "files, all named, cold, time (s)", "files, all named, cold, peak memory (s)",
    ]  # fmt: skip


def test_every_scenario_is_explained():
    assert {*every.NAMES} == {*ABOUT}


def test_what_is_not_valid_is_never_the_best(result):
    figures = tuple(
        dataclasses.replace(f, valid=False) if f.row == "onnxruntime:core.int8" else f
        for f in result.figures
    )
    (table,) = sections(dataclasses.replace(result, figures=figures))[0].tables
    assert next(row for row in table.rows if row[0].startswith("offline"))[1] == "onnxruntime"


def test_a_failure_stands_in_its_cell_and_its_reason_below(result):
    files = next(section for section in sections(result) if section.key == "files")
    table, ratios = files.tables
    row = dict(zip(table.columns, next(r for r in table.rows if r[0] == "torch"), strict=True))
    assert row["an hour"] == "FAILED"
    assert "torch, an hour: EngineError: out of memory" in table.notes
    assert ratios.title == "time: times as good as torch"
    assert "torch" not in [name for name, *_ in ratios.rows]


def test_a_run_of_nothing_is_told_too(result):
    figure = Figure(scenario="offline", row="torch", name="throughput", unit="windows/s",
                    better="higher", value=float("nan"), failure="no")  # fmt: skip
    for figures in ((), (figure,)):
        empty = dataclasses.replace(
            result, rows=(), figures=figures, ratios=(), limits=(), plan={}, machine=result.machine
        )
        assert told_and_checked(empty)[1] is None
        assert [*map(bool, tables_of(as_markdown(empty)))]


def test_the_page_of_the_docs_takes_the_figures_between_its_marks(result, tmp_path):
    run, page = tmp_path / "run.json", tmp_path / "benchmarks.md"
    run.write_text(json.dumps(result.to_dict()))
    before = f"# How fast?\n\nRead it so.\n\n{docs.BEGIN}\nlast year\n{docs.END}\n\nThe rest.\n"
    page.write_text(before)
    for _ in range(2):
        done = CliRunner().invoke(docs.main, [str(run), str(page)])
        assert done.exit_code == 0, done.output
        text = page.read_text()
        assert text.startswith("# How fast?\n\nRead it so.\n\n" + docs.BEGIN)
        assert text.endswith(f"{docs.END}\n\nThe rest.\n")
        assert "last year" not in text
        assert "### sgn-instruments on Example CPU" in text


def test_the_page_says_what_a_second_run_says(result, tmp_path):
    run, page = tmp_path / "run.json", tmp_path / "benchmarks.md"
    run.write_text(json.dumps(result.to_dict()))
    page.write_text(f"{docs.BEGIN}\n{docs.END}")
    done = CliRunner().invoke(docs.main, [str(run), str(page), "--again", str(run)])
    assert done.exit_code == 0, done.output
    assert f"#### Run again\n\nOf {result.made}, against this one: 0 of " in page.read_text()


@pytest.mark.parametrize("text", ["", "no marks", docs.BEGIN, f"{docs.END} {docs.BEGIN}"])
def test_a_page_without_marks_stays_as_it_is(result, tmp_path, text):
    page = tmp_path / "benchmarks.md"
    page.write_text(text)
    done = CliRunner().invoke(docs.main, [str(tmp_path / "run.json"), str(page)])
    assert done.exit_code == 2
    assert "got no marks" in done.output
    assert page.read_text() == text
