"""Memory that answers come in: lent for as long as an array of it lives, and bounded."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sgn_rt.tensorrt.run.answers import AnswerPool


@pytest.fixture
def pool(device):
    return AnswerPool(device, 3 << 16)


def lend(pool, device, value: int, size: int = 1000) -> np.ndarray:
    with device.current():
        pinned = pool.take(size)
    pinned.array[:size] = value
    return pool.lend(pinned, size)


def test_an_answer_is_the_memory_itself_until_its_last_array_ends(pool, device):
    first = lend(pool, device, 1)
    row = first.view(np.int8).reshape(10, 100)[3]
    del first
    second = lend(pool, device, 2)
    assert row.tolist() == [1] * 100
    assert device.counts["allocate pinned"] == 2
    address = row.__array_interface__["data"][0] - 300
    del row
    third = lend(pool, device, 3)
    assert third.__array_interface__["data"][0] == address
    assert (second[0], device.counts["allocate pinned"]) == (2, 2)


def test_beyond_the_limit_answers_are_copies(pool, device):
    lent = [lend(pool, device, value) for value in range(6)]
    assert [array[0] for array in lent] == list(range(6))
    assert device.live["pinned"] == 4  # three that are lent, and one for all copies
    assert [array.base is not None for array in lent] == [True] * 3 + [False] * 3


def test_what_fits_no_more_is_freed(pool, device):
    for size in (1 << 16, 1 << 20, 1 << 16, 1 << 20, 1 << 22, 1 << 24, 1 << 26):
        assert lend(pool, device, 7, size)[-1] == 7
    assert device.live["pinned"] <= 3


def test_arrays_may_end_in_any_thread_and_after_the_pool(pool, device):
    arrays = [lend(pool, device, value) for value in range(2)]
    thread = threading.Thread(target=arrays.pop)
    thread.start()
    thread.join()
    assert device.live["pinned"] == 2
    pool.close()
    assert (device.live["pinned"], arrays[0][0]) == (1, 0)
    arrays.clear()
    assert device.live["pinned"] == 0
