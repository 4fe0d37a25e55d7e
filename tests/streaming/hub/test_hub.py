"""The hub as its callers see it: each stream keeps its promises, whoever else there is."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import tracemalloc
import warnings

import numpy as np
import pytest

from sgn_rt.errors import AudioError, ConfigError, LevelWarning, OverloadError, SgnError
from sgn_rt.streaming.hub.stats import BatchDone

BLOCK = 80


def feed_all(stream, signal, size=BLOCK):
    for at in range(0, signal.shape[1], size):
        stream.feed(signal[:, at : at + size])


def test_two_streams_at_a_time(fake_separator, noise, alone, joined, same):
    separator = fake_separator(concurrency=2).separator
    choices = [
        {"sample_rate": 44100, "categories": ["horn", "bell"], "latency_s": 0.2, "residual": True},
        {"sample_rate": 8000, "categories": None, "latency_s": None, "gain_db": 6.0},
    ]
    signals = [noise(2, 30000, 1), noise(1, 6000, 2)]
    with separator.hub() as hub:
        streams = [
            hub.open(channels=len(signal), **options)
            for signal, options in zip(signals, choices, strict=True)
        ]
        pieces = [[], []]
        for at in range(0, 30000, 500):
            for stream, signal, parts in zip(streams, signals, pieces, strict=True):
                stream.feed(signal[:, at : at + 500])
                parts.append(stream.read())
        for stream, parts in zip(streams, pieces, strict=True):
            parts.append(stream.close())
            assert next(iter(stream.close().values())).shape[1] == 0
        stats = hub.stats()
    for signal, options, parts in zip(signals, choices, pieces, strict=True):
        same(joined(parts), alone(separator, signal, **options))
    assert (stats.streams, stats.waiting, stats.late, stats.engine) == (0, 0, 0, "fake")
    assert stats.windows > 10
    assert stats.to_dict()["queue_s"].keys() == {"p50", "p90", "p99", "max"}


def test_exactly_the_latency_where_the_network_is_in_time(still, noise):
    hub = still()
    stream = hub.hub.open(sample_rate=44100, categories=["bell"], latency_s=0.15)
    assert stream.latency_samples == 6615
    signal, out = noise(1, 20000), 0
    for at in range(0, 20000, 123):
        stream.feed(signal[:, at : at + 123])
        hub.work()
        out += stream.read()["bell"].shape[1]
        assert out == max(0, min(at + 123, 20000) - stream.latency_samples)


def test_a_stream_that_pauses_does_not_hold_up_the_other(still, noise):
    hub = still()
    quick, slow = (hub.hub.open(sample_rate=8000, latency_s=0.1) for _ in range(2))
    slow.feed(noise(1, 790))
    feed_all(quick, noise(1, 4000))
    hub.work()
    assert quick.read()["bell"].shape[1] == 4000 - quick.latency_samples
    assert slow.read()["bell"].shape[1] == 0


def test_windows_of_all_streams_go_to_the_engine_together(still, noise, alone, same):
    done = []
    hub = still({"batch": 4}, on_batch=done.append)
    options = [{"sample_rate": 8000, "categories": names} for names in (["horn"], ["drum", "bell"])]
    signals = [noise(1, 1200, i) for i in range(4)]
    streams = [hub.hub.open(**options[i % 2]) for i in range(4)]
    hub.engine.seen = []
    for stream, signal in zip(streams, signals, strict=True):
        stream.feed(signal)
    hub.work()
    assert [len(mixture) for mixture in hub.engine.seen] == [4]
    assert [(batch.windows, batch.streams, batch.engine, batch.late) for batch in done] == [
        (4, 4, "fake", 0)
    ]
    assert isinstance(done[0], BatchDone)
    assert len(done[0].queue_s) == 4
    for i in range(4):
        expected = alone(hub.separator, signals[i], **options[i % 2])
        same(hub.end(streams[i]), expected, 1e-6)


def test_channels_beyond_a_batch_go_in_several_calls(still, noise, alone, same):
    hub = still({"batch": 2})
    signal = noise(5, 1500)
    stream = hub.hub.open(sample_rate=8000, channels=5)
    hub.engine.seen = []
    stream.feed(signal)
    got = hub.end(stream)
    sizes = [len(mixture) for mixture in hub.engine.seen]
    assert max(sizes) == 2
    assert sum(sizes) == 10
    same(got, alone(hub.separator, signal, sample_rate=8000), 1e-6)


def test_what_is_due_first_goes_first(still, noise, clock):
    order = []
    hub = still(clock=clock, on_batch=lambda batch: order.append(batch.queue_s))
    first, second = (hub.hub.open(sample_rate=8000, latency_s=0.1) for _ in range(2))
    second.feed(noise(1, 2100))  # several windows at once: due at its own pace
    clock.now += 0.001
    first.feed(noise(1, 810))
    clock.now += 0.01
    hub.work()
    waits = [round(queue_s[0], 4) for queue_s in order]
    assert waits[:2] == [0.011, 0.01], "one that floods has a single window before the other"


def test_feed_and_read_take_no_lock_and_wait_for_nobody(fake_separator, noise, gate):
    separator = fake_separator(fault=gate).separator
    with separator.hub(overload="raise", deadline_s=1e9) as hub:
        stream = hub.open(sample_rate=8000, latency_s=0.1)
        stream.feed(noise(1, 900))
        assert gate.reached.wait(timeout=60)
        board, flow, did = hub._board, stream._flow, []

        def caller():
            feed_all(stream, noise(1, 4000))
            did.append(stream.read())

        with board._lock, board.desk._lock, board.crew._lock, board.tally._lock, flow._lock:
            thread = threading.Thread(target=caller, daemon=True)
            thread.start()
            thread.join(timeout=60)
            assert did, "it waits for a lock"
        gate.open.set()
        assert did[0]["bell"].shape[1] + stream.close()["bell"].shape[1] == 4900


def allocated(work, times):
    """The most bytes that were there at a time beyond those before."""
    work()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(times):
            work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_feed_and_read_into_allocate_nothing_of_a_blocks_size(still, noise):
    hub = still(buffer_s=1e3)
    stream = hub.hub.open(sample_rate=8000, channels=2, latency_s=0.1)
    block = noise(2, 2000)
    out = {name: np.zeros((2, 500), "f4") for name in stream.categories}
    for _ in range(30):
        stream.feed(block)
        hub.work()
        stream.read_into(out)
    assert allocated(lambda: stream.feed(block), 50) < 4000, "of 16 000 bytes a block"
    assert allocated(lambda: stream.read_into(out), 50) < 4000
    ready = 4 * 2 * stream._flow.ready * len(stream.categories)
    assert ready <= allocated(stream.read, 1) + ready < ready + 4000
    assert ready > 400_000


def test_memory_is_flat(still, noise):
    hub = still({"concurrency": 2})
    streams = [hub.hub.open(sample_rate=rate, latency_s=0.2) for rate in (8000, 11025)]
    block = noise(1, 500)

    def many():
        for _ in range(50):
            for stream in streams:
                stream.feed(block)
                hub.work()
                stream.read()
                stream.events()

    many()
    for _ in range(10):  # percentiles are over the latest windows: until there are as many
        hub.hub._board.tally._queue.extend([0.0] * 1000)
        hub.hub._board.tally._lateness.extend([0.0] * 1000)
    gc.collect()
    tracemalloc.start()
    try:
        many()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            many()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()


def test_nobody_reads(still, noise, alone, joined, same):
    """Windows wait, then the input, then feed says so; nothing is lost."""
    hub = still(buffer_s=0.5)
    stream = hub.hub.open(sample_rate=8000, categories=["horn"], latency_s=0.1)
    signal, fed = noise(1, 40_000), 0
    while fed < 40_000:
        try:
            stream.feed(signal[:, fed : fed + 100])
        except OverloadError:
            break
        fed += 100
        hub.work()
    calls = hub.engine.calls
    assert 8000 < fed < 20_000
    hub.work()
    assert hub.engine.calls == calls
    pieces = [stream.read()]
    while fed < 40_000:
        hub.work()
        stream.feed(signal[:, fed : fed + 100])
        fed += 100
        pieces.append(stream.read())
    pieces.append(hub.end(stream))
    options = {"sample_rate": 8000, "categories": ["horn"], "latency_s": 0.1}
    same(joined(pieces), alone(hub.separator, signal, **options))


def test_a_window_that_a_reader_held_up_is_not_late(still, noise, clock):
    hub = still(buffer_s=0.5, clock=clock, deadline_s=0.1)
    stream = hub.hub.open(sample_rate=8000, latency_s=0.1)
    for _ in range(150):
        if stream._flow.input.room < 200:
            break
        stream.feed(noise(1, 100))
        hub.work()
        clock.now += 100 / 8000
    waited = stream._flow.input.filled
    assert waited
    clock.now += 50.0
    while stream.read()["bell"].shape[1]:
        hub.work()
    assert not stream._flow.input.filled
    assert stream.overload == {}


def test_a_stream_of_no_categories_goes_on_and_tells_presence(still, noise, alone):
    hub = still(buffer_s=0.2)
    signal = noise(1, 16000)
    stream = hub.hub.open(sample_rate=8000, categories=[], latency_s=0.1)
    for at in range(0, 16000, 80):
        stream.feed(signal[:, at : at + 80])
        hub.work()
        assert stream.read() == {}
        assert stream.samples_read == max(0, at + 80 - stream.latency_samples)
    assert stream.samples_fed == 16000
    stream._flow.end()
    hub.work()
    assert stream.close() == {}
    expected = hub.separator.stream(sample_rate=8000, categories=[], latency_s=0.1)
    expected.feed(signal)
    expected.flush()
    assert stream.presence == pytest.approx(expected.presence, abs=1e-6)
    assert max(stream.presence.values()) > 0


def test_a_block_longer_than_there_ever_is_room_for(still, noise, fails):
    hub = still(buffer_s=0.1)
    stream = hub.hub.open(sample_rate=8000)
    with fails(OverloadError, "of 800 at most", "in smaller blocks"):
        stream.feed(noise(1, 801))
    stream.feed(noise(1, 800))


def test_threads_are_told_of_input_when_a_window_needs_it(still, noise, monkeypatch):
    hub = still()
    crew, words = hub.hub._board.crew, []
    put = crew.wake
    monkeypatch.setattr(crew, "wake", lambda flow=None: (words.append(flow), put(flow)))
    stream = hub.hub.open(sample_rate=8000, latency_s=0.1)
    for at in range(100):
        stream.feed(noise(1, 80, at))
        hub.work()
        assert stream.read()["bell"].shape[1] == 80 or at < 10
    assert 10 < hub.hub.stats().windows < 20
    assert len(words) == hub.hub.stats().windows + 1


def test_input_that_waits_for_more_makes_room_for_a_large_block(still, noise):
    hub = still(buffer_s=0.1)
    stream = hub.hub.open(sample_rate=8000)
    for count in (10, 75):
        stream.feed(noise(1, count))
        hub.work()
    with pytest.raises(OverloadError):
        stream.feed(noise(1, 800))
    hub.work()
    stream.feed(noise(1, 800))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e9])
@pytest.mark.parametrize("kind", ["f4", "f8", "list"])
def test_a_bad_block_is_not_taken(still, noise, alone, same, fails, bad, kind):
    hub = still()
    stream = hub.hub.open(sample_rate=8000, categories=["drum"])
    signal = noise(1, 3000)
    stream.feed(signal[:, :100])
    block = np.zeros(20)
    block[3] = bad
    with fails(AudioError, "input: got", "in channel 0 at sample 103"):
        stream.feed(block.tolist() if kind == "list" else block.astype(kind))
    with fails(AudioError, "got shape (2, 5)"):
        stream.feed(np.zeros((2, 5), "f4"))
    stream.feed(signal[0, 100:].astype("f8"))
    same(hub.end(stream), alone(hub.separator, signal, sample_rate=8000, categories=["drum"]))


def test_tiny_samples_are_nothing(still, noise, same):
    hub = still({"depends": False})
    ends = []
    for tiny in (1e-30, 0.0):
        signal = noise(1, 3000)
        signal[:, ::3] = tiny
        stream = hub.hub.open(sample_rate=8000, residual=True)
        stream.feed(signal)
        ends.append(hub.end(stream))
    same(*ends)


def test_arrays_that_do_not_fit(still, fails):
    stream = still().hub.open(sample_rate=8000, channels=2, categories=["bell"])
    for out in ({}, {"bell": np.zeros((2, 9))}, {"bell": np.zeros(9, "f4")}):
        with fails(AudioError, "out: got", "float32 array of shape (2, samples)"):
            stream.read_into(out)
    with fails(AudioError, "out: got shape (1, 9)"):
        stream.read_into({"bell": np.zeros((1, 9), "f4")})


def test_reset_at_any_time(still, noise, alone, same):
    hub = still()
    stream = hub.hub.open(sample_rate=8000, latency_s=0.1)
    signal = noise(1, 3000)
    for fed in (0, 10, 900, 2900):
        stream.feed(noise(1, fed, 5))
        if fed == 900:
            hub.hub._board.crew.heed()  # its windows wait
            assert hub.hub.stats().waiting
        if fed == 2900:
            hub.work()
        stream.reset()
        assert hub.hub.stats().waiting == 0
        assert stream.read()["bell"].shape[1] == 0
        assert set(stream.presence.values()) == {0.0}
    stream.feed(signal)
    same(hub.end(stream), alone(hub.separator, signal, sample_rate=8000, latency_s=0.1))


def test_a_window_in_flight_of_a_signal_that_is_over_is_dropped(
    fake_separator, noise, gate, alone, same
):
    opened = fake_separator(fault=gate)
    signal = noise(1, 3000)
    with opened.separator.hub(overload="raise", deadline_s=1e9) as hub:
        stream, gone = (hub.open(sample_rate=8000, latency_s=0.1) for _ in range(2))
        stream.feed(noise(1, 900, 7))
        gone.feed(noise(1, 900, 7))
        assert gate.reached.wait(timeout=60)
        stream.reset()
        gone.abort()
        stream.feed(signal)
        gate.open.set()
        same(stream.close(), alone(opened.separator, signal, sample_rate=8000, latency_s=0.1))
        assert hub.stats().streams == 0


def test_a_client_that_is_gone(still, noise):
    """Aborted, or just an object that nobody holds any more."""
    hub = still()
    streams = [hub.hub.open(sample_rate=8000, latency_s=0.1) for _ in range(3)]
    for stream in streams:
        stream.feed(noise(1, 900))
    hub.hub._board.crew.heed()
    streams.pop().abort()
    assert hub.hub.stats().streams == 2
    streams.pop()
    del stream
    gc.collect()
    hub.work()
    assert (hub.hub.stats().streams, hub.hub.stats().waiting) == (1, 0)
    assert streams[0].read()["bell"].shape[1] == 900 - streams[0].latency_samples


def test_threads_end_at_once_though_one_has_heard_what_is_said_to_others(fake_separator):
    hub = fake_separator(concurrency=3).separator.hub(overload="raise")
    crew = hub._board.crew
    threads = list(crew._threads)
    assert len(threads) == 3
    crew._closing.set()
    crew.wake()  # a single word is left for all of them
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive()
    hub.close()


def test_events_say_what_appears_and_disappears(still, noise):
    def by_call(call, answer):
        presence = answer.presence.copy()
        presence[:, 0] = 0.9 if call in (1, 2, 4) else 0.45
        presence[:, 1] = 0.8 if call == 3 else 0.01
        return answer._replace(presence=presence)

    hub = still({"fault": by_call})
    stream = hub.hub.open(sample_rate=8000, latency_s=0.1, categories=["horn"])
    stream.feed(noise(1, 800 + 5 * 610))
    hub.work()
    step_s = stream._flow.settings.step_s
    found = [
        (event.kind, event.category, round(event.time_s / step_s)) for event in stream.events()
    ]
    assert found == [
        ("appeared", "bell", 1),
        ("appeared", "drum", 3),
        ("disappeared", "drum", 4),
    ]
    assert stream.events() == []
    assert stream.presence["bell"] == pytest.approx(0.9)
    assert "bell" in stream.present


def test_the_level_is_told_once(still, small_config):
    model = small_config(n_fft=32, hop_length=8, training_level_dbfs=(-30.0, -20.0))
    hub = still({"config": model})
    stream = hub.hub.open(sample_rate=8000)
    rng = np.random.default_rng(0)
    block = (1e-4 * rng.standard_normal((1, 8000))).astype("f4")

    def goes_on():
        for _ in range(40):
            stream.feed(block)
            hub.work()
            stream.read()

    with pytest.warns(LevelWarning, match="level of the stream") as said:
        goes_on()
    assert len(said) == 1
    assert said[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"deadline_s": 0.0}, "deadline: got 0.0"),
        ({"deadline_s": "1"}, "deadline: got '1'"),
        ({"overload": "ignore"}, "overload: got 'ignore', expected refuse, raise"),
        ({"buffer_s": -1.0}, "buffer: got -1.0"),
        ({"hangs_s": float("inf")}, "longest call: got inf"),
        ({"share": 1.5}, "share: got 1.5"),
    ],
)
def test_options_that_cannot_be(fake_separator, fails, options, part):
    with fails(ConfigError, part):
        fake_separator().separator.hub(**options)


def test_an_option_that_there_is_not(fake_separator):
    with pytest.raises(TypeError, match="unexpected keyword argument 'deadline'"):
        fake_separator().separator.hub(deadline=1.0)


def test_after_close_everything_says_so(fake_separator, noise, fails):
    before = set(threading.enumerate())
    separator = fake_separator().separator
    hub = separator.hub()
    closed, open_ = hub.open(sample_rate=8000), hub.open(sample_rate=8000)
    closed.close()
    for call in (closed.read, closed.reset, lambda: closed.feed(noise(1, 5))):
        with fails(SgnError, "stream: got a call after close()"):
            call()
    separator.close()
    for call in (
        open_.read, open_.reset, open_.close, lambda: open_.feed(noise(1, 5)),
        lambda: hub.open(sample_rate=8000),
    ):  # fmt: skip
        with pytest.raises(SgnError, match=r"got a call after close\(\), expected none"):
            call()
    assert not [
        thread
        for thread in set(threading.enumerate()) - before
        if thread.name.startswith("sgn-rt-hub")
    ]
    hub.close()
    with fails(SgnError, "separator: got a call after close()"):
        separator.hub()


def test_close_of_the_hub_wakes_who_waits_for_the_rest(fake_separator, noise, gate):
    hub = fake_separator(fault=gate).separator.hub(overload="raise", hangs_s=0.2)
    stream, errors = hub.open(sample_rate=8000), []
    stream.feed(noise(1, 3000))
    assert gate.reached.wait(timeout=60)

    def closes():
        with pytest.raises(SgnError, match="after close") as error:
            stream.close()
        errors.append(error)

    thread = threading.Thread(target=closes)
    thread.start()
    hub.close()  # its thread is in a call that does not come back
    thread.join(timeout=60)
    assert errors


def test_a_hub_that_nobody_holds_is_closed_with_its_separator(fake_separator, fails):
    separator = fake_separator().separator
    stream = separator.hub(overload="raise").open(sample_rate=8000)
    gc.collect()
    separator.close()
    with fails(SgnError, "hub: got a call after close"):
        stream.read()


def test_neither_pickled_nor_used_after_a_fork(fake_separator, fails):
    hub = fake_separator().separator.hub()
    stream = hub.open(sample_rate=8000)
    for thing in (hub, stream):
        with fails(SgnError, "pickle"):
            pickle.dumps(thing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        failed = 0
        for call in (stream.read, stream.close, hub.close, lambda: hub.open(sample_rate=8000)):
            try:
                call()
            except SgnError as error:
                failed += "forked" in str(error)
        os._exit(failed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
    stream.close()
