"""Samples between two threads: in order, each once, whatever the sizes; and when they came."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sgn_rt.streaming.hub.ring import Arrivals, Ring


@pytest.mark.parametrize("seed", range(20))
def test_what_goes_in_comes_out(seed):
    rng = np.random.default_rng(seed)
    ring = Ring(4, int(rng.integers(1, 40)))
    written = read = 0
    for _ in range(300):
        count = int(rng.integers(0, ring.room + 1))
        numbers = np.arange(written, written + count, dtype=np.float32)
        ring.place(np.stack([numbers, numbers + 0.25]))
        ring.place(np.stack([-numbers, numbers + 0.75]), row=2)
        assert ring.filled == written - read  # not before it is told
        ring.commit(count)
        written += count
        assert (ring.written, ring.filled) == (written, written - read)
        out = np.zeros((4, int(rng.integers(0, ring.filled + 1))), np.float32)
        ring.copy_to(out[:2])
        ring.copy_to(out[2:], row=2)
        ring.release(out.shape[1])
        expected = np.arange(read, read + out.shape[1])
        np.testing.assert_array_equal(out, [expected, expected + 0.25, -expected, expected + 0.75])
        read += out.shape[1]
        assert ring.room == ring.capacity - ring.filled


def test_two_threads_at_a_time():
    ring, total = Ring(1, 257), 20_000
    wrong = []

    def write():
        rng, at = np.random.default_rng(1), 0
        while at < total:
            count = min(int(rng.integers(0, 100)), ring.room, total - at)
            ring.place(np.arange(at, at + count, dtype=np.float32)[None])
            ring.commit(count)
            at += count

    writer = threading.Thread(target=write)
    writer.start()
    at = 0
    while at < total:
        out = np.empty((1, ring.filled), np.float32)
        ring.copy_to(out)
        ring.release(out.shape[1])
        if (out[0] != np.arange(at, at + out.shape[1])).any():
            wrong.append(at)
        at += out.shape[1]
    writer.join()
    assert not wrong


def test_samples_came_when_their_block_did():
    arrivals = Arrivals(1000)
    for start, time_s in ((0, 1.0), (100, 2.0), (300, 5.0)):
        arrivals.add(start, time_s)
    assert [arrivals.at(sample) for sample in (0, 99, 100, 299, 300, 999)] == [1, 1, 2, 2, 5, 5]


def test_blocks_of_a_sample_count_as_one_that_came_first():
    arrivals = Arrivals(1 << 20)
    for sample in range(5000):
        arrivals.add(sample, float(sample))
    least = arrivals._least
    assert least > 500
    for sample in range(0, 5000, 7):
        assert sample - least < arrivals.at(sample) <= sample


def test_times_that_are_never_asked_for_do_not_pile_up():
    arrivals = Arrivals(100)
    for number in range(10_000):
        arrivals.add(10 * number, float(number))
    assert arrivals.at(50) == 5.0
    assert arrivals.at(99_999) <= 9999.0
    arrivals.add(1_000_000, 77_777.0)
    assert arrivals.at(1_000_000) == 77_777.0
