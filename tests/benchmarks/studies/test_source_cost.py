"""What each source costs: what is measured and told; not how much it is."""

from __future__ import annotations

import pytest

from sgn_rt.benchmarks.scenarios import isolated
from sgn_rt.benchmarks.studies import source_cost
from sgn_rt.benchmarks.studies.source_cost import Cost, table
from sgn_rt.model.bundle import Bundle


def test_each_source_is_the_step_over_the_sources_between():
    told = table([Cost(1, 1.0, 100.0), Cost(8, 1.7, 107.0), Cost(64, 7.3, 163.0)])
    rows = [line.split(" | ") for line in told.splitlines()[2:]]
    assert [row[2] for row in rows] == ["", "100.0", "100.0"]
    assert [row[4].rstrip(" |") for row in rows] == ["", "1.00", "1.00"]


def test_every_number_of_sources_is_separated_in_a_process(tmp_path, monkeypatch):
    asked = []

    def separate(case, setting):
        asked.append((case.x, case.categories))
        return {"separate": 0.5 + 0.1 * case.x, "peak": 1e8 + 1e6 * case.x, "loaded": 1e8}

    monkeypatch.setattr(isolated, "separate", separate)
    bundle = Bundle.open(None)
    found = source_cost.measure(bundle, tmp_path, 1, 2)
    assert [cost.sources for cost in found] == [1, 2, 4, 8, 11]
    assert [cost.seconds for cost in found] == pytest.approx([0.6, 0.7, 0.9, 1.3, 1.6])
    assert [cost.peak_mb for cost in found] == pytest.approx([101, 102, 104, 108, 111])
    for count, categories in asked:
        assert categories == list(bundle.config.categories[: int(count)])
    assert len(asked) == 10
