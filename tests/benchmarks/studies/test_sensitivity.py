"""Parity still catches what the page says: one fault of every kind, and those of each list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from sgn_rt.benchmarks.studies.findings import table
from sgn_rt.benchmarks.studies.sensitivity import PLACE, Bench
from sgn_rt.model.bundle import Bundle

PAGE = Path(__file__).parents[3] / "docs" / "parity.md"


@pytest.fixture(scope="module")
def bench():
    made = Bench(Bundle.open(None).probe)
    made.__dict__["_windows"] = made._windows[:2]  # of the music: the page is measured on all
    return made


@pytest.fixture(scope="module")
def stated():
    """Rows of both tables: kind -> cells."""
    text = PAGE.read_text(encoding="utf-8").partition(f"<!-- {PLACE} -->")[2]
    text = text.partition(f"<!-- end of {PLACE} -->")[0]
    counts, quiet = text.split("What the weights alone tell")

    def rows(of: str) -> dict[str, list[str]]:
        cells = [
            re.split(r" ?\| ?", line)[1:-1] for line in of.splitlines() if line.startswith("|")
        ]
        return {kind: rest for kind, *rest in cells[2:]}

    return rows(counts), {kind: cells[-1].split("; ") for kind, cells in rows(quiet).items()}


def test_the_page_tells_of_every_fault(bench, stated):
    counts, quiet = stated
    kinds = [fault.kind for fault in bench.faults]
    assert {kind: int(cells[0]) for kind, cells in counts.items()} == {
        kind: kinds.count(kind) for kind in kinds
    }
    for kind, cells in counts.items():
        assert cells[3] == ""  # none is unseen
        named = {stage: int(count) for stage, count in re.findall(r"([a-z-]+) (\d+)", cells[1])}
        assert named.get("weights", 0) == len(quiet.get(kind, []))
        assert sum(named.values()) == int(cells[0])


def test_a_fault_of_each_kind_is_named_as_the_page_says(bench, stated):
    counts, quiet = stated
    last = {fault.kind: fault for fault in bench.faults}
    for kind, fault in last.items():
        if fault.where in quiet.get(kind, []):
            others = (f for f in bench.faults if f.kind == kind and f.where not in quiet[kind])
            fault = next(others)
        found = bench.find(fault)
        assert found.named is not None, (kind, fault.where)
        assert found.named in re.findall(r"[a-z-]+", counts[kind][1]), (kind, fault.where)
        if found.named_outside is not None:
            assert found.named_outside in re.findall(r"[a-z-]+", counts[kind][2])


def test_a_fault_on_either_side_of_the_network_is_seen_from_outside(bench):
    ends = ("before the network", "behind the network", "on both sides")
    places = [fault for fault in bench.faults if fault.where.endswith(ends)]
    assert {end for end in ends for fault in places if fault.where.endswith(end)} == set(ends)
    for fault in places:
        found = bench.find(fault)
        assert found.named_outside is not None, fault


def test_what_no_answer_tells_the_weights_do(bench, stated):
    _, quiet = stated
    for kind, names in quiet.items():
        fault = next(f for f in bench.faults if (f.kind, f.where) == (kind, names[-1]))
        found = bench.find(fault)
        assert (found.named, found.named_outside) == ("weights", None)
        assert found.stages[-1].where == fault.where
        assert found.heard.si_sdr > 100
        assert f"| {kind} | 1 | weights 1 |  |  |" in table([found])


def test_faults_leave_nothing_behind(bench):
    """Measured behind all those of the test before, too: the network is right again."""
    wanted = ("by 0.5 samples", "encoder level 2")
    for fault in [f for f in bench.faults if f.where in wanted]:
        assert bench.find(fault).named is not None, fault
    whole = bench.find(type(bench.faults[0])("none", "nowhere", lambda suspect: suspect.replaced()))
    assert whole.named is None
    assert whole.heard.si_sdr > 120
    assert (whole.heard.level, whole.heard.presence) < (1e-6, 1e-6)
    text = table([whole])
    assert "| none | 1 |  |  | 1 |" in text
