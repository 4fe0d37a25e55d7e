"""Live streams: what counts as late, and how the most of them are looked for."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sgn_rt.benchmarks.scenarios.live import Listener, Outcome, largest, run


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
    assert list(listener.late_s) == []
    stream.ready = 1
    listener.read(10.075)
    assert list(listener.late_s) == pytest.approx([0.03])
    listener.feed(10.08)
    stream.ready = 40
    listener.read(10.1)
    assert list(listener.late_s) == pytest.approx([0.03, 0.02, 0.02])
    assert [listener.late(deadline_s, 10.1) for deadline_s in (0.025, 0.025)] == [1, 1]


def test_nothing_is_read_before_it_is_due():
    stream = Stream()
    listener = Listener(stream, np.zeros((1, 500), np.float32), begin_s=10.0)
    listener.feed(10.025)
    stream.ready = 20
    listener.read(10.026)
    assert stream.ready == 20
    listener.feed(10.045)
    listener.read(10.046)
    assert stream.ready == 0


def test_blocks_that_still_wait_are_late_too():
    listener = Listener(Stream(), np.zeros((1, 500), np.float32), begin_s=10.0)
    listener.feed(10.085)
    assert listener.late(0.1, 10.184) == 0
    assert listener.late(0.1, 10.186) == 3


def test_what_never_came_is_late():
    stream = Stream()
    listener = Listener(stream, np.zeros((1, 500), np.float32), begin_s=0.0)
    listener.feed(0.08)
    listener.got = 40
    listener._due.clear()
    listener._due.append((50, 0.08))
    listener.end(5.08)
    assert list(listener.late_s) == pytest.approx([5.0])


@pytest.mark.parametrize("most", [0, 1, 2, 7, 16, 23])
@pytest.mark.parametrize("start", [1, 4, 16])
def test_the_largest_number_that_holds(most, start):
    assert largest(lambda number: number <= most, start) == most


def test_what_holds():
    def outcome(**changes):
        values = {
            "streams": 3, "refused": 0, "seconds": 9.0, "stopped": "", "cpu_share": 0.5,
            "cpu_s_per_window": 0.05, "hub": {},
            "lateness_s": {"p50": 0.0, "p99": 0.2, "max": 1.0}, "memory_mib": (100.0, 105.0),
        }  # fmt: skip
        return Outcome(**(values | changes))

    assert outcome().holds(0.2)
    assert outcome().is_flat
    assert not outcome().holds(0.199)
    assert not outcome(refused=1).holds(0.2)
    assert not outcome(stopped="there was no room").holds(0.2)
    assert not outcome(lateness_s={}).holds(0.2), "nothing was ever due"
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


OPTIONS = {"sample_rate": 8000, "categories": ["bell"], "latency_s": 0.1}


@pytest.fixture
def lasts(fake_separator, noise):
    """A run of streams on a fake engine, which answers nothing while they last where it hangs."""

    def outcome(seconds=60.0, streams=3, *, hangs=False, deadline_s=0.01, **options):
        over = threading.Event()

        def fault(call, answer):
            assert not hangs or over.wait(timeout=60)
            return answer

        with fake_separator(fault=fault).separator.hub(**options) as hub:
            try:
                return run(hub, noise(1, 8000), streams, seconds, deadline_s, **OPTIONS)
            finally:
                over.set()

    return outcome


def test_what_holds_is_served_to_the_end(lasts):
    outcome = lasts(seconds=0.5, deadline_s=60.0)
    assert outcome.stopped == ""
    assert outcome.seconds >= 0.5
    assert outcome.lateness_s["p50"] >= 0.0


def test_a_run_that_cannot_hold_any_more_ends_early(lasts):
    outcome = lasts(hangs=True, overload="longer-step", buffer_s=30)
    assert "blocks are late already" in outcome.stopped
    assert outcome.seconds < 30
    assert not outcome.holds(0.01)
    assert "ended, as" in outcome.line()


def test_streams_for_which_there_is_no_room_end_the_run(lasts):
    outcome = lasts(hangs=True, overload="longer-step", buffer_s=0.1)
    assert "for which there is no room" in outcome.stopped
    assert not outcome.holds(0.01)


def test_streams_that_are_refused_end_the_run(lasts):
    outcome = lasts(streams=10**4, share=1e-9)
    assert (outcome.streams, outcome.refused, outcome.lateness_s) == (0, 10**4, {})
    assert "hub: got a stream" in outcome.stopped
