"""Parity still catches what the page says: one fault of every kind, and those of each list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from sgn_rt.benchmarks.studies.sensitivity import PLACE, Bench, table
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
    counts, unseen = text.split("What no stage sees")

    def rows(of: str) -> dict[str, list[str]]:
        cells = [
            re.split(r" ?\| ?", line)[1:-1] for line in of.splitlines() if line.startswith("|")
        ]
        return {kind: rest for kind, *rest in cells[2:]}

    return rows(counts), {kind: cells[-1].split("; ") for kind, cells in rows(unseen).items()}


def test_the_page_tells_of_every_fault(bench, stated):
    counts, unseen = stated
    kinds = [fault.kind for fault in bench.faults]
    assert {kind: int(cells[0]) for kind, cells in counts.items()} == {
        kind: kinds.count(kind) for kind in kinds
    }
    for kind, cells in counts.items():
        assert int(cells[3] or 0) == len(unseen.get(kind, []))
        named = sum(int(count) for count in re.findall(r" (\d+)", cells[1]))
        assert named + int(cells[3] or 0) == int(cells[0])


def test_a_fault_of_each_kind_is_named_as_the_page_says(bench, stated):
    counts, unseen = stated
    last = {fault.kind: fault for fault in bench.faults}
    for kind, fault in last.items():
        if fault.where in unseen.get(kind, []):
            fault = next(
                (f for f in bench.faults if f.kind == kind and f.where not in unseen[kind]), None
            )
        if fault is None:
            continue  # of that kind none is seen
        found = bench.find(fault)
        assert found.named is not None, (kind, fault.where)
        assert found.named in re.findall(r"[a-z-]+", counts[kind][1]), (kind, fault.where)
        if found.named_outside is not None:
            assert found.named_outside in re.findall(r"[a-z-]+", counts[kind][2])


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
