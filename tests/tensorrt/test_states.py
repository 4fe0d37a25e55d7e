"""States on the device: bounded, given back with the last who may ask, the oldest make room."""

from __future__ import annotations

import gc

import pytest

from sgn_rt.model.contract import Tensor
from sgn_rt.tensorrt.run.states import StatePool

ROW = {Tensor.SPECTRUM: 1024, Tensor.BASIS: 512, Tensor.GUIDE: 12}


@pytest.fixture
def make_pool(device):
    return lambda limit: StatePool(device, ROW, limit)


@pytest.fixture(autouse=True)
def _current(device):
    with device.current():
        yield


def test_every_tensor_begins_where_tensorrt_may_read_it(make_pool):
    slot = make_pool(1 << 20).hold(3).slot
    starts = [slot.address(name, 0) for name in ROW]
    assert [start % 256 for start in starts] == [0, 0, 0]
    assert [slot.address(name, 2) - start for name, start in zip(ROW, starts, strict=True)] == [
        2048, 1024, 24
    ]  # fmt: skip
    ends = [start + 3 * size for start, size in zip(starts, ROW.values(), strict=True)]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] <= slot.memory.address + slot.memory.size


def test_room_is_used_again(make_pool, device):
    pool = make_pool(1 << 20)
    for rows in (4, 4, 3, 1):
        assert pool.hold(rows).slot.rows == 4  # the last one is gone at once
    assert device.counts["allocate"] == 1
    first, second = pool.hold(2), pool.hold(2)
    assert first.slot is not second.slot
    assert device.counts["allocate"] == 2


def test_the_oldest_make_room_and_know_it(make_pool, device):
    pool = make_pool(2 * 1792)
    held = [pool.hold(1) for _ in range(4)]
    assert [each.slot is None for each in held] == [True, True, False, False]
    assert device.counts["allocate"] == 2
    del held
    gc.collect()
    pool.close()
    assert device.live["memory"] == 0


def test_what_is_in_use_stays(make_pool):
    pool = make_pool(2 * 1792)
    first, second = pool.hold(1), pool.hold(1)
    with first.in_use() as slot:
        assert slot is first.slot
        third = pool.hold(1)
        assert (first.slot is slot, second.slot, third.slot is not None) == (True, None, True)
        with third.in_use():
            assert pool.hold(1) is None
    with second.in_use() as nothing:
        assert nothing is None


def test_small_ones_go_where_a_large_one_is_wanted(make_pool, device):
    pool = make_pool(7000)
    small = [pool.hold(1) for _ in range(3)]
    del small
    large = pool.hold(4)
    assert large.slot.rows == 4
    assert device.live["memory"] == 1


def test_none_is_no_error(make_pool, device):
    assert make_pool(0).hold(1) is None
    device.fail = {"allocate": 1}  # the device is full
    assert make_pool(1 << 20).hold(1) is None


def test_what_is_held_beyond_the_end_frees_itself(make_pool, device):
    pool = make_pool(1 << 20)
    held = pool.hold(1)
    pool.close()
    assert device.live["memory"] == 1
    del held
    assert device.live["memory"] == 0
