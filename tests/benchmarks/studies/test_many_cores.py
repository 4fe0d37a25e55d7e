"""Windows on many processors: that threads stay where they are put, and what the model promises."""

from __future__ import annotations

import os

import pytest

from sgn_rt.benchmarks.studies import many_cores
from sgn_rt.benchmarks.studies.many_cores import measure, modelled, table, ways, windows_of
from sgn_rt.model.bundle import Bundle

HERE = tuple(sorted(os.sched_getaffinity(0)))
MACHINE = {"alone": 20.0, "window": 1e8, "weights": 3e7, "node": 5e10}


def test_every_way_has_a_thread_for_every_processor():
    alone, *rest = ways((3, 5, 7))
    assert alone.processes == (((3,),),)
    for way in rest:
        assert sum(map(len, way.processes)) == 3
        allowed = {processor for threads in way.processes for own in threads for processor in own}
        assert allowed == {3, 5, 7}
    assert len({way.processes for way in rest}) == 4
    assert ways((1,)) == [many_cores.Way(name=alone.name, processes=(((1,),),))]


def test_each_thread_runs_where_it_was_put(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        many_cores, "_ready", lambda *_: lambda: seen.append(frozenset(os.sched_getaffinity(0)))
    )
    done = windows_of([(own,) for own in HERE], "any", tmp_path, 0.01)
    assert done == len(seen) >= len(HERE)
    assert set(seen) == {frozenset((own,)) for own in HERE}
    assert tuple(sorted(os.sched_getaffinity(0))) == HERE  # of the caller


def test_every_way_is_measured_in_processes_of_its_own():
    pytest.importorskip("onnxruntime")
    found = measure(Bundle.open(None).root, "onnxruntime", HERE[:1], 0.01, 2)
    (rates,) = found.values()
    assert len(rates) == 2
    assert min(rates) >= 100.0  # one window at least


@pytest.mark.parametrize("processors", [1, 8, 64, 512])
def test_the_model(processors):
    one, two = (modelled(processors, nodes, **MACHINE) for nodes in (1, 2))
    assert one == min(processors * 20.0, 500.0)  # processors, or one node's memory
    assert one <= two <= 2 * one
    over = modelled(processors, 2, spanning=True, **MACHINE)
    assert over == min(two, 5e10 / 3e7)
    assert modelled(processors, 2, **(MACHINE | {"node": 1e15})) == processors * 20.0


def test_the_table():
    text = table({"one": [20.0, 22.0], "two": [40.0, 42.0]}, window=1e8, weights=3e7)
    lines = text.splitlines()
    assert lines[2:4] == [
        "| one | 21.0 | 20.0 to 22.0 | 1.00 x |", "| two | 41.0 | 40.0 to 42.0 | 1.95 x |",
    ]  # fmt: skip
    assert "| 8, 1 | 168 | 168 | 168 |" in lines
    assert "| 256, 4 | 2000 (1667) | 5376 | 5376 |" in lines
    assert lines[-1].endswith("24, 95, 190.")
