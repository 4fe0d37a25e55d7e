"""Signals of which the end is kept, and queues."""

from __future__ import annotations

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


def test_what_is_dropped_is_let_go():
    signal = Signal()
    signal.append(np.zeros(1_000_000, np.float32))
    signal.drop_before(999_990)
    assert signal.span(999_990, 1_000_000).base is None
    assert sum(block.nbytes for block in signal._blocks) == 40
    assert all(block.base is None for block in signal._blocks)


def test_a_queue_gives_other_blocks_than_it_took():
    queue = Queue(1, 2)
    whole = np.arange(20, dtype=np.float32).reshape(1, 2, 10)
    for part in np.array_split(whole, 4, axis=-1):
        queue.put(part)
    taken = [np.stack(queue.take(n)) for n in (0, 1, 5, 0, 4)]
    assert [part.shape for part in taken] == [(1, 2, n) for n in (0, 1, 5, 0, 4)]
    np.testing.assert_array_equal(np.concatenate(taken, axis=-1), whole)
    taken[2][:] = -1
    assert whole.min() == 0
    with pytest.raises(IndexError):
        queue.take(1)
