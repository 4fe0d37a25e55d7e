"""Seconds of rounds become figures: times, or windows per second."""

from __future__ import annotations

from sgn_rt.benchmarks.harness import NO_WARMING, Outcome
from sgn_rt.benchmarks.scenarios import rounds


def test_seconds_become_throughput_or_stay(monkeypatch):
    outcome = Outcome({"0": [0.5, 0.25, 1.0], "1": [3.0, 1.0, 2.0]}, {}, frozenset({"0"}))
    monkeypatch.setattr(rounds, "interleave", lambda runs, **options: outcome)
    cases = [
        rounds.Case(row="a", case="two", x=2, windows=2, run=print),
        rounds.Case(row="b", case="one", run=print),
    ]
    throughput, time = rounds.in_turn(
        "batch", cases, network="paper-scale", repeats=3, warming=NO_WARMING, seed=0, tell=print
    )
    assert (throughput.values, throughput.value) == ((4.0, 8.0, 2.0), 4.0)
    assert (throughput.better, throughput.unit) == ("higher", "windows/s")
    assert throughput.note == rounds.UNSETTLED
    assert (time.values, time.value, time.note) == ((3.0, 1.0, 2.0), 2.0, None)
    assert (time.better, time.unit, time.network) == ("lower", "s", "paper-scale")
