"""Signals of which the end is kept, and queues."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from sgn_rt.streaming.buffers import Queue, Signal


def test_a_signal_is_zero_outside_of_itself():
    signal = Signal(2)
    for part in np.array_split(np.arange(1, 21, dtype=np.float32).reshape(2, 10), 3, axis=1):
        signal.append(part)
    assert signal.stop == 10
    np.testing.assert_array_equal(signal.span(-2, 3), [[0, 0, 1, 2, 3], [0, 0, 11, 12, 13]])
    np.testing.assert_array_equal(signal.span(9, 12), [[10, 0, 0], [20, 0, 0]])
    np.testing.assert_array_equal(signal.span(15, 17), np.zeros((2, 2)))
    assert signal.span(4, 4).shape == (2, 0)
    signal.drop_before(8)
    np.testing.assert_array_equal(signal.span(8, 11), [[9, 10, 0], [19, 20, 0]])
    signal.drop_before(3)  # further back changes nothing
    signal.drop_before(100)  # beyond the end keeps what is to come
    signal.append(np.full((2, 1), 5, np.float32))
    np.testing.assert_array_equal(signal.span(10, 12), [[5, 0], [5, 0]])
    with pytest.raises(AssertionError, match="given up"):
        signal.span(9, 11)


def test_a_signal_may_begin_later():
    signal = Signal(1, start=7)
    signal.append(np.ones((1, 3), np.float32))
    np.testing.assert_array_equal(signal.span(7, 12), [[1, 1, 1, 0, 0]])
    with pytest.raises(AssertionError, match="given up"):
        signal.span(6, 8)


def test_what_is_given_is_copied():
    signal, block = Signal(1), np.ones((1, 4), np.float32)
    signal.append(block)
    out = signal.span(0, 4)
    block[:], out[:] = 2, 3
    np.testing.assert_array_equal(signal.span(0, 4), [[1, 1, 1, 1]])


def held(make) -> int:
    """Bytes that something newly made still holds."""
    tracemalloc.start()
    try:
        kept = make()
        return tracemalloc.get_traced_memory()[0] if kept is not None else 0
    finally:
        tracemalloc.stop()


def test_what_is_dropped_is_let_go():
    def make():
        signal = Signal()
        signal.append(np.zeros(1_000_000, np.float32))
        signal.drop_before(999_990)
        assert signal.span(999_990, 1_000_000).base is None
        return signal

    assert held(make) < 10_000


def test_blocks_of_nothing_cost_nothing():
    def make():
        signal = Signal(2)
        for _ in range(10_000):
            signal.append(np.zeros((2, 0), np.float32))
        return signal

    assert held(make) < 10_000


@pytest.mark.parametrize("blocks", [1, 7, 400])
def test_work_grows_with_the_signal_alone(monkeypatch, blocks):
    """However the signal comes, each sample is moved a few times, not once for each that goes."""
    moved, move = [], Signal._move
    monkeypatch.setattr(
        Signal,
        "_move",
        lambda self, size: (moved.append(self.stop - self._start), move(self, size)),
    )
    signal, samples = Signal(), 40_000
    for part in np.array_split(np.arange(samples, dtype=np.float32), blocks):
        signal.append(part)
        while signal._start + 50 <= signal.stop:
            at = signal._start
            np.testing.assert_array_equal(signal.span(at, at + 50), np.arange(at, at + 50))
            signal.drop_before(at + 50)
    assert sum(moved) <= 2 * samples


def test_a_queue_gives_other_blocks_than_it_took():
    queue = Queue()
    whole = np.arange(20, dtype=np.float32).reshape(2, 10)
    for part in np.array_split(whole, 4, axis=-1):
        queue.put({"a": part, "b": -part})
    queue.put({})
    taken = [queue.take(["a", "b"], 2, n) for n in (0, 1, 5, 0, 4)]
    assert [part["a"].shape for part in taken] == [(2, n) for n in (0, 1, 5, 0, 4)]
    for name, sign in (("a", 1), ("b", -1)):
        out = np.concatenate([part[name] for part in taken], axis=-1)
        np.testing.assert_array_equal(out, sign * whole)
    taken[2]["a"][:] = -1
    assert whole.min() == 0
    with pytest.raises(IndexError):
        queue.take(["a", "b"], 2, 1)
