"""The generator's files, whole and broken, as the generator writes them."""

from __future__ import annotations

import json

import pytest

from sgn_rt.benchmarks.loadgen.logs import DETAIL, SUMMARY, Outcome, read_outcome
from sgn_rt.benchmarks.loadgen.scenario import Scenario
from sgn_rt.errors import EngineError

SERVER = {
    "result_validity": "INVALID",
    "result_perf_constraints_met": False,
    "result_completed_samples_per_sec": 916.992,
    "result_50.00_percentile_latency_ns": 2_000_000,
    "result_90.00_percentile_latency_ns": 3_000_000,
    "result_95.00_percentile_latency_ns": 3_500_000,
    "result_99.00_percentile_latency_ns": 4_000_000,
    "result_99.90_percentile_latency_ns": 4_500_000,
    "num_errors": 0,
}
WORDS = """
================================================
MLPerf Results Summary
================================================
SUT name : PySUT
Scenario : Server
Mode     : PerformanceOnly
Completed samples per second    : 916.99
Result is : INVALID
  Performance constraints satisfied : NO
  Min duration satisfied : Yes
  Early stopping satisfied: NO
Recommendations:
 * Reduce target QPS to improve latency.
Early Stopping Result:
 * Run unsuccessful.

================================================
Additional Stats
================================================
Min latency (ns)                : 2295435
"""


def line(key, value, error=False):
    metadata = {"is_error": error, "is_warning": False, "file": "results.cc"}
    return ":::MLLOG " + json.dumps({"key": key, "value": value, "metadata": metadata})


def write(folder, entries=SERVER, words=WORDS, more=()):
    lines = [line(key, value) for key, value in entries.items()]
    (folder / DETAIL).write_text("\n".join([*lines, *more]) + "\n")
    (folder / SUMMARY).write_text(words)


def test_what_is_said_of_a_run(tmp_path):
    write(tmp_path)
    assert read_outcome(tmp_path, Scenario.SERVER) == Outcome(
        valid=False,
        words="Performance constraints satisfied : NO; Early stopping satisfied: NO; "
        "Reduce target QPS to improve latency.; Run unsuccessful.",
        percentiles={"p50": 0.002, "p90": 0.003, "p99": 0.004},
        rate=916.992,
    )


def test_a_valid_run_has_no_words_to_be_read(tmp_path):
    write(tmp_path, SERVER | {"result_validity": "VALID"}, words="")
    found = read_outcome(tmp_path, Scenario.SERVER)
    assert (found.valid, found.words) == (True, "")


def test_of_several_windows_the_query_counts(tmp_path):
    queries = {
        f"result_{share}_percentile_per_query_latency_ns": 7_000_000
        for share in ("50.00", "90.00", "99.00")
    }
    write(tmp_path, SERVER | queries)
    found = read_outcome(tmp_path, Scenario.MULTI_STREAM)
    assert found.percentiles == {"p50": 0.007, "p90": 0.007, "p99": 0.007}
    assert found.rate is None
    assert read_outcome(tmp_path, Scenario.SINGLE_STREAM).percentiles["p50"] == 0.002


def test_an_error_that_the_generator_logs_makes_a_run_invalid(tmp_path):
    said = line("error_runtime", "Ran out of generated queries to issue", error=True)
    write(tmp_path, SERVER | {"result_validity": "VALID"}, words="", more=[said])
    found = read_outcome(tmp_path, Scenario.SERVER)
    assert not found.valid
    assert found.words == "Ran out of generated queries to issue"


def without(key):
    return {name: value for name, value in SERVER.items() if name != key}


@pytest.mark.parametrize(
    ("entries", "more", "said"),
    [
        ({}, (), "got 0 entries result_validity"),
        (without("result_validity"), (), "got 0 entries result_validity"),
        (SERVER, [line("result_validity", "VALID")], "got 2 entries result_validity"),
        (SERVER | {"result_validity": "MAYBE"}, (), "got the result 'MAYBE'"),
        (without("result_99.00_percentile_latency_ns"), (), "got percentiles ['p50', 'p90']"),
        (without("result_completed_samples_per_sec"), (), "got 0 entries result_completed"),
        (SERVER | {"result_completed_samples_per_sec": 0.0}, (), "samples_per_sec 0.0, expected"),
        (SERVER | {"result_completed_samples_per_sec": "fast"}, (), "samples_per_sec 'fast'"),
        (SERVER | {"result_50.00_percentile_latency_ns": None}, (), "latency_ns None"),
        (SERVER | {"result_50.00_percentile_latency_ns": True}, (), "latency_ns True"),
        (SERVER | {"result_50.00_percentile_latency_ns": float("nan")}, (), "latency_ns nan"),
        (SERVER, [':::MLLOG {"key": "cut of'], "got the line"),
        (SERVER, [':::MLLOG {"key": "no value"}'], "got the line"),
        (SERVER, [":::MLLOG [1, 2]"], "got the line"),
        (SERVER, [':::MLLOG {"key": 3, "value": 1, "metadata": 7}'], "got the line"),
    ],
)
def test_broken_logs_are_no_outcome(tmp_path, fails, entries, more, said):
    write(tmp_path, entries, more=more)
    with fails(EngineError, said, str(tmp_path)):
        read_outcome(tmp_path, Scenario.SERVER)


def test_what_is_no_entry_is_passed_over(tmp_path):
    write(tmp_path, more=["", "some line that another library has written"])
    assert read_outcome(tmp_path, Scenario.SERVER).rate == 916.992


def test_files_that_are_missing_or_no_text(tmp_path, fails):
    with fails(EngineError, DETAIL):
        read_outcome(tmp_path, Scenario.OFFLINE)
    write(tmp_path)
    (tmp_path / SUMMARY).unlink()
    with fails(EngineError, SUMMARY):
        read_outcome(tmp_path, Scenario.SERVER)
    (tmp_path / DETAIL).write_bytes(b"\xff\xfe\x00")
    with fails(EngineError, DETAIL):
        read_outcome(tmp_path, Scenario.SERVER)


def test_a_summary_that_gives_no_reason(tmp_path):
    write(tmp_path, words="Result is : INVALID\n")
    assert read_outcome(tmp_path, Scenario.SERVER).words == "no reason given"
