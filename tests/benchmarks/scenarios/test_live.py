"""Live streams: what counts as late, and how the most of them are looked for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sgn_rt.benchmarks.scenarios.live import Listener, Outcome, largest, run
from sgn_rt.errors import OverloadError


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


def test_no_more_is_tried_than_may_be():
    tried = []

    def holds(number):
        tried.append(number)
        return True

    assert largest(holds, 4, most=11) == 11
    assert tried == [4, 8, 11]
    assert largest(lambda number: number <= 6, 4, most=11) == 6
    assert largest(lambda number: True, 8, most=2) == 2
    assert largest(lambda number: False, 8, most=2) == 0


class FullHub:
    """Takes two."""

    def __init__(self):
        self.opened = 0

    def open(self, **options):
        self.opened += 1
        if self.opened > 2:
            raise OverloadError("hub: got a third stream, expected two. Wait.")
        return Stream()

    def stats(self):
        from sgn_rt.streaming.hub.stats import HubStats

        values = dict.fromkeys(HubStats.__dataclass_fields__, 0)
        return HubStats(**values | {"queue_s": {}, "lateness_s": {}, "replacements": ()})


def test_all_or_none_is_no_run_where_one_is_refused():
    class Closing(Stream):
        def close(self):
            return {"bell": np.zeros((1, 0), np.float32)}

    hub = FullHub()
    opened = hub.open
    hub.open = lambda **options: Closing() if opened() else None
    outcome = run(hub, np.zeros((1, 500), np.float32), 5, 1000.0, all_or_none=True)
    assert (outcome.streams, outcome.refused, hub.opened) == (2, 1, 3)
    assert outcome.lateness_s["p99"] == math.inf
    assert not outcome.holds(1e9)
