"""The benchmark of live streams: what it counts as late, and how it looks for the most."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from sgn_rt.benchmarks.studies.live_streams import Listener, Outcome, largest, main


class Stream:
    """Gives what it was told to have ready."""

    sample_rate, categories, latency_samples = 1000, ("bell",), 30

    def __init__(self):
        self.blocks, self.ready = [], 0

    def feed(self, block):
        self.blocks.append(block)

    def read_into(self, out):
        given, self.ready = self.ready, 0
        return given

    def close(self):
        return {"bell": np.zeros((1, sum(b.shape[1] for b in self.blocks) - 40), np.float32)}


def test_lateness_is_from_when_samples_were_due():
    stream = Stream()
    listener = Listener(stream, np.arange(500, dtype=np.float32)[None], begin_s=10.0)
    listener.feed(10.019)
    assert listener.fed == 0
    listener.feed(10.045)  # two blocks of 20 samples: the second makes 10 due
    assert listener.fed == 40
    np.testing.assert_array_equal(np.concatenate(stream.blocks, axis=1)[0], np.arange(40))
    stream.ready = 9
    listener.read(10.05)
    assert listener.late_s == []
    stream.ready = 1
    listener.read(10.075)
    assert listener.late_s == pytest.approx([0.03])
    listener.feed(10.08)
    stream.ready = 40
    listener.read(10.1)
    assert listener.late_s == pytest.approx([0.03, 0.02, 0.02])


def test_what_never_came_is_late():
    stream = Stream()
    listener = Listener(stream, np.zeros((1, 500), np.float32), begin_s=0.0)
    listener.feed(0.08)
    listener.got = 40
    listener._due.clear()
    listener._due.append((50, 0.08))
    listener.end(5.08)
    assert listener.late_s == pytest.approx([5.0])


@pytest.mark.parametrize("most", [0, 1, 2, 7, 16, 23])
@pytest.mark.parametrize("start", [1, 4, 16])
def test_the_largest_number_that_holds(most, start):
    assert largest(lambda number: number <= most, start) == most


def test_what_holds():
    def outcome(**changes):
        values = {
            "streams": 3, "refused": 0, "seconds": 9.0, "cpu_share": 0.5, "hub": {},
            "lateness_s": {"p50": 0.0, "p99": 0.2, "max": 1.0}, "memory_mib": (100.0, 105.0),
        }  # fmt: skip
        return Outcome(**(values | changes))

    assert outcome().holds(0.2)
    assert outcome().is_flat
    assert not outcome().holds(0.199)
    assert not outcome(refused=1).holds(0.2)
    assert not outcome(memory_mib=(100.0, 105.1)).is_flat


def test_it_runs(tmp_path):
    path = tmp_path / "live.json"
    result = CliRunner().invoke(
        main,
        ["--streams", "1", "--minutes", "0.03", "--rate", "11025", "--latency", "0.5",
         "--deadline", "60", "--json", str(path)],
    )  # fmt: skip
    assert result.exit_code in (0, 1), result.output  # memory of a run so short is not flat
    (run,) = json.loads(path.read_text())["runs"]
    assert run["streams"] == 1
    assert run["hub"]["windows"] > 0
    assert run["lateness_s"]["p99"] < 60
