"""Sessions: device pointers and DLPack in and out, on the application's stream."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.device.dlpack import DeviceArray
from sgn_rt.tensorrt.run.session import IN_FLIGHT, Session

from .fakes import PRESENCE, SHARES, aligned


@pytest.fixture
def session(model):
    return Session(model)


@pytest.fixture
def on_device(device, config):
    """A mixture that the application keeps on the device."""

    def make(batch: int, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        shape = (batch, config.window_samples)
        array = aligned(4 * batch * config.window_samples).view(np.float32).reshape(shape)
        array[:] = rng.standard_normal(shape)
        device.foreign |= {array.ctypes.data}
        return array

    return make


def finish(session, device):
    with device.current():
        session.stream.synchronize()


def test_what_shares_memory_makes_no_copy_and_moves_nowhere(session, device, on_device):
    """NumPy and PyTorch ask for one by `copy` and `device`; the protocol has them told."""
    result = session.run(on_device(1), [0])
    with pytest.raises(BufferError, match="got copy=True"):
        np.from_dlpack(result.sources, copy=True)
    with pytest.raises(BufferError, match=r"got device \(2, 0\), expected \(1, 0\)"):
        result.sources.__dlpack__(dl_device=(2, 0), max_version=(1, 0))
    assert np.from_dlpack(result.sources, copy=False, device="cpu").shape == (1, 1, 1016)


def test_dlpack_in_and_out_without_a_copy(session, device, on_device):
    mixture = on_device(2)
    result = session.run(mixture, [2, 0])
    assert device.counts["upload"] == 1  # the categories, and nothing else
    assert device.counts["download"] == 0
    sources = np.from_dlpack(result.sources)
    assert sources.ctypes.data == result.sources.address
    finish(session, device)
    np.testing.assert_array_equal(sources, mixture[:, None] * SHARES[[2, 0]][:, None])
    np.testing.assert_array_equal(np.from_dlpack(result.presence), np.tile(PRESENCE, (2, 1)))
    assert np.from_dlpack(result.embedding).shape == (2, 3, 16)


def test_pytorch_takes_and_gives(session, device, on_device):
    torch = pytest.importorskip("torch")
    mixture = torch.from_numpy(on_device(1))
    result = session.run(mixture, [1])
    finish(session, device)
    torch.testing.assert_close(torch.from_dlpack(result.sources)[:, 0], mixture * 0.3)


def test_outputs_live_as_long_as_they_are_used(session, device, on_device):
    result = session.run(on_device(1), [0])
    finish(session, device)
    sources = np.from_dlpack(result.sources)
    before = sources.copy()
    del result
    session.run(on_device(1, seed=1), [0])
    finish(session, device)
    gc.collect()
    np.testing.assert_array_equal(sources, before)
    session.close()
    del session
    gc.collect()
    assert device.live["memory"] == 1
    del sources
    gc.collect()
    assert device.live["memory"] == 0


def test_a_capsule_that_nobody_takes_frees_its_memory(session, device, on_device, nothing_left):
    result = session.run(on_device(1), [0])
    finish(session, device)
    capsule = result.sources.__dlpack__()
    del result
    session.close()
    gc.collect()
    assert device.live["memory"] == 1
    del capsule
    del session
    assert "memory" not in nothing_left()


def test_pointers_and_places_for_the_answer(session, device, on_device, config):
    mixture = on_device(1)
    place = aligned(4 * config.window_samples).view(np.float32).reshape(1, 1, -1)
    device.foreign |= {place.ctypes.data}
    given = DeviceArray(mixture.ctypes.data, mixture.shape, "float32")
    target = DeviceArray(place.ctypes.data, place.shape, "float32")
    result = session.run(given, [1], sources=target)
    finish(session, device)
    assert result.sources.address == place.ctypes.data
    np.testing.assert_array_equal(place[:, 0], mixture * SHARES[1])


def test_the_applications_stream_is_used_and_left_open(model, device, on_device):
    with device.current():
        stream = device.stream()
    session = Session(model, stream.handle)
    session.run(on_device(1), [0])
    assert session.stream is stream
    engines = len({model.network, model.last})
    assert len(stream.queue) == 2 + engines  # categories, the work, and a mark behind it


def test_categories_are_sent_when_they_change(session, device, on_device):
    for categories in ([0], [0], [1], [1]):
        session.run(on_device(1), categories)
    assert device.counts["upload"] == 2


@pytest.mark.parametrize("call", ["allocate pinned", "upload"])
def test_categories_that_could_not_be_sent_leave_none_behind(session, device, on_device, call):
    """The old ones have made room: whoever asks for them next has them sent again."""
    mixture = on_device(1)
    session.run(mixture, [0])
    device.fail = {call: device.counts[call] + 1}
    with pytest.raises(EngineError, match="got a failure"):
        session.run(mixture, [1])
    result = session.run(mixture, [0])
    finish(session, device)
    np.testing.assert_array_equal(np.from_dlpack(result.sources)[:, 0], mixture * SHARES[0])


def test_what_the_device_still_reads_is_kept(session, device, on_device):
    results = []
    for seed in range(12):
        mixture = on_device(1, seed)
        results.append((session.run(mixture, [1]).sources, mixture.copy()))
        del mixture
    finish(session, device)
    for sources, mixture in results:
        np.testing.assert_array_equal(np.from_dlpack(sources)[:, 0], mixture * SHARES[1])


class Producer:
    """An array of the application's that says what it is asked for."""

    def __init__(self, array):
        self.array, self.asked = array, []

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **more):
        self.asked.append(more.get("stream"))
        return self.array.__dlpack__()


def test_a_producer_is_told_the_stream(session, model, device, on_device):
    producer = Producer(on_device(1))
    session.run(producer, [0])
    with device.current():
        Session(model, 0).run(producer, [0])
    # DLPack has no 0: what CUDA calls so, its legacy default stream, is a 1.
    assert producer.asked == [session.stream.handle, 1]


def test_a_consumers_stream_waits_for_the_answer(session, device, on_device):
    mixture = on_device(1)
    with device.current():
        other = device.stream()
        result = session.run(mixture, [1])
        result.sources.__dlpack__(stream=other.handle)
        other.synchronize()  # and not the session's
    np.testing.assert_array_equal(np.from_dlpack(result.sources)[:, 0], mixture * SHARES[1])


@pytest.mark.parametrize(("stream", "asks"), [(None, True), (1, True), (-1, False)])
def test_the_default_stream_and_none_at_all(session, device, on_device, stream, asks):
    result = session.run(on_device(1), [1])
    result.sources.__dlpack__(stream=stream)
    assert (0 in device.streams) == asks
    assert not asks or len(device.streams[0].queue) == 1


def test_where_no_stream_can_be_taken_the_thread_waits(session, device, on_device, monkeypatch):
    mixture = on_device(1)
    result = session.run(mixture, [1])

    def refuses(stream):
        raise EngineError("PyCUDA: got a handle for a stream, expected its own. Give one.")

    monkeypatch.setattr(device, "borrow", refuses)
    sources = np.from_dlpack(result.sources)
    np.testing.assert_array_equal(sources[:, 0], mixture * SHARES[1])


def test_addresses_that_tensorrt_does_not_take_are_refused(session, device, on_device, config):
    mixture = on_device(2).reshape(-1)[4 : 4 + config.window_samples][None]
    with pytest.raises(EngineError, match="expected a multiple of 256"):
        session.run(mixture, [0])


def test_what_was_taken_is_given_back(session, device, on_device):
    mixture = on_device(1)
    before = sys.getrefcount(mixture)
    session.run(mixture, [0])
    assert sys.getrefcount(mixture) > before
    session.close()
    gc.collect()
    assert sys.getrefcount(mixture) == before


def test_close_frees_its_own_after_an_error_too(session, device, on_device, nothing_left):
    session.run(on_device(1), [0])
    device.fail = {"synchronize": device.counts["synchronize"] + 1}
    session.close()
    with device.current():
        session.stream.queue.clear()  # what was never waited for
    assert nothing_left() == {}


def test_an_event_that_cannot_be_had_is_an_error_and_no_more(session, device, on_device):
    device.fail = {"event": 1}
    with pytest.raises(EngineError, match="event: got a failure"):
        session.run(on_device(1), [0])


def test_close_frees_its_own(session, device, on_device, nothing_left):
    session.run(on_device(1), [0])
    session.close()
    session.close()
    assert nothing_left() == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :-1].copy(), "expected float32 of shape"),
        (lambda x: x.astype(np.float64), "got float64"),
        (lambda x: x[:, ::-1], "dense row-major"),
        (lambda x: np.concatenate([x] * 5), "got 5 windows"),
        (lambda x: x[:0], "got 0 windows"),
        (lambda x: x.tolist(), "got list, expected an array on the device"),
    ],
)
def test_what_does_not_fit_is_refused(change, message, session, on_device):
    with pytest.raises(EngineError, match=message):
        session.run(change(on_device(1)), [0])


@pytest.mark.parametrize("categories", [[], [3], [-1], [0, 1, 2]])
def test_categories_that_do_not_fit_are_refused(categories, session, on_device):
    with pytest.raises(EngineError, match="session: got"):
        session.run(on_device(1), categories)


def test_another_devices_array_is_refused(session, on_device, config):
    array = DeviceArray(1, (1, config.window_samples), "float32", (2, 1))
    with pytest.raises(EngineError, match=r"device \(2, 1\), expected \(1, 0\)"):
        session.run(array, [0])


def test_calls_of_a_kind_allocate_nothing(session, device, on_device):
    for seed in range(IN_FLIGHT + 1):
        session.run(on_device(2, seed), [0])
    device.log.clear()
    for seed in range(6):
        result = session.run(on_device(2, seed), [0])
    finish(session, device)
    assert result.sources.shape == (2, 1, 1016)
    assert not {"allocate", "free memory", "allocate pinned", "synchronize"} & set(device.log[:-1])


def test_memory_is_used_again_when_its_readers_are_done(session, device, on_device):
    mixture = on_device(1)
    with device.current():
        reader = device.stream()
    addresses, read = set(), []
    for seed in range(3 * IN_FLIGHT):
        result = session.run(on_device(1, seed), [1])
        capsule = result.sources.__dlpack__(stream=reader.handle)
        address = result.sources.address
        addresses.add(address)
        # The application's work on its own stream, which outlives the array in Python.
        reader.give(lambda address=address: read.append(device.view(address, 4).copy()))
        del capsule, result
    assert len(addresses) < 3 * IN_FLIGHT
    with device.current():
        session.stream.synchronize()
        reader.synchronize()
    firsts = [on_device(1, seed)[0, 0] * SHARES[1] for seed in range(3 * IN_FLIGHT)]
    np.testing.assert_array_equal(np.concatenate(read).view(np.float32), np.array(firsts))
    del mixture


def test_what_a_consumer_takes_in_no_order_is_not_used_again(session, device, on_device):
    allocated = []
    for seed in range(2 * IN_FLIGHT):
        session.run(on_device(1, seed), [1]).sources.__dlpack__(stream=-1)
        gc.collect()
        allocated.append(device.counts["allocate"])
    assert allocated[-1] - allocated[IN_FLIGHT] == IN_FLIGHT - 1


@pytest.mark.parametrize("named", [True, False])
def test_the_callers_stream_waits_for_its_own_tensor(model, device, on_device, config, named):
    session, mixture = Session(model), on_device(1)
    place = aligned(4 * config.window_samples).view(np.float32).reshape(1, 1, -1)
    device.foreign |= {place.ctypes.data}
    target = DeviceArray(place.ctypes.data, place.shape, "float32")
    with device.current():
        reader = device.stream() if named else device.borrow(0)
        session.run(mixture, [1], sources=target, stream=reader.handle if named else None)
        reader.synchronize()  # and not the session's
    np.testing.assert_array_equal(place[:, 0], mixture * SHARES[1])
    session.run(mixture, [1])
    assert not reader.queue  # what is the session's own is waited for by who takes it


def test_a_session_that_is_dropped_frees_all(model, device, on_device, nothing_left):
    session = Session(model)
    session.run(on_device(2), [0])
    with device.current():
        session.stream.synchronize()
    del session
    assert nothing_left() == {}


def test_a_larger_call_has_room_and_those_under_way_keep_theirs(session, device, on_device):
    results = []
    for seed, batch in enumerate((1, 3, 4, 2)):
        mixture = on_device(batch, seed)
        results.append((session.run(mixture, [1, 2]).sources, mixture))
    finish(session, device)
    for sources, mixture in results:
        expected = mixture[:, None] * SHARES[[1, 2]][:, None]
        np.testing.assert_array_equal(np.from_dlpack(sources), expected)
