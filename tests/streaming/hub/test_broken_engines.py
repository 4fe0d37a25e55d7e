"""Engines that raise, answer with nonsense, hang or go: every stream gets its sound, or is told."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

from sgn_rt.errors import EngineError, ParityWarning

OPTIONS = {"sample_rate": 8000, "latency_s": 0.1}


def raises(call, answer):
    if call == 3:
        raise RuntimeError("lost the device")
    return answer


def not_a_number(call, answer):
    return answer._replace(sources=answer.sources * (np.nan if call == 3 else 1))


def no_presence(call, answer):
    return answer._replace(presence=answer.presence * (np.nan if call == 3 else 1))


@pytest.mark.parametrize("fault", [raises, not_a_number, no_presence])
@pytest.mark.parametrize("batch", [1, 3])
def test_an_engine_that_fails_is_replaced_for_all(
    open_fakes, fake_engine, config, noise, alone, same, fault, batch
):
    fakes = {
        "bad": fake_engine(config, "bad", batch=batch),
        "good": fake_engine(config, "good", concurrency=3),
    }
    signals = [noise(1, 4000, i) for i in range(3)]
    with open_fakes(fakes) as separator:
        fakes["bad"].calls, fakes["bad"]._fault = 0, fault  # the probe is over
        with separator.hub(overload="raise", deadline_s=1e9) as hub:
            streams = [hub.open(**OPTIONS) for _ in signals]

            def runs():
                for stream, signal in zip(streams, signals, strict=True):
                    stream.feed(signal)
                return [stream.close() for stream in streams]

            with pytest.warns(ParityWarning, match="now good"):
                got = runs()
            stats = hub.stats()
            assert len(hub._board.crew._threads) == 3, "the threads that the other engine likes"
        for one, signal in zip(got, signals, strict=True):
            same(one, alone(separator, signal, **OPTIONS))
    assert stats.engine == "good"
    assert len(stats.replacements) == 1


class Hangs:
    """The engine of a driver that does not come back, from one call on."""

    def __init__(self, at):
        self.at, self.reached, self.let_go = at, threading.Event(), threading.Event()
        self.left = threading.Event()

    def __call__(self, call, answer):
        if call >= self.at:
            self.reached.set()
            assert self.let_go.wait(timeout=60)
            self.left.set()
            answer = answer._replace(sources=answer.sources + 1)  # nobody is to hear it
        return answer


def watched(hub):
    """As the watchdog, and until what hangs was given up."""
    hub._board.watch()
    hub._board._watch._replacer.join(timeout=60)


def _until_given_up(hub):
    """The watchdog's own thread may be at it just now."""
    while not hub.stats().given_up:
        hub._board.watch()


def test_an_engine_that_hangs_is_replaced(
    open_fakes, fake_engine, config, noise, alone, same, clock
):
    hangs = Hangs(at=2)
    fakes = {
        "hangs": fake_engine(config, "hangs", fault=hangs),
        "good": fake_engine(config, "good"),
    }
    signals = [noise(1, 4000, i) for i in range(3)]
    with open_fakes(fakes, parity="fallback") as separator:
        fakes["hangs"].calls = 0
        options = {"overload": "raise", "deadline_s": 1e9, "clock": clock, "hangs_s": 30.0}
        with separator.hub(**options) as hub:
            streams = [hub.open(**OPTIONS) for _ in signals]
            for stream, signal in zip(streams, signals, strict=True):
                stream.feed(signal)
            assert hangs.reached.wait(timeout=60)
            hub._board.watch()
            clock.now += 29.0
            hub._board.watch()
            assert hub.stats().given_up == 0
            clock.now += 2.0
            with pytest.warns(ParityWarning, match="hangs: got no answer within 30.0 s"):
                _until_given_up(hub)
            got = [stream.close() for stream in streams]
            hangs.let_go.set()
            assert hangs.left.wait(timeout=60)
            again = hub.open(**OPTIONS)
            again.feed(signals[0])
            got.append(again.close())
            stats = hub.stats()
        for one, signal in zip(got, [*signals, signals[0]], strict=True):
            same(one, alone(separator, signal, **OPTIONS))
    assert (stats.engine, stats.given_up, stats.streams) == ("good", 1, 0)


def test_an_answer_that_comes_too_late_is_dropped(
    open_fakes, fake_engine, config, noise, alone, same, clock, gate
):
    """Before the windows are computed again: whoever computes them has them for himself."""
    hangs = Hangs(at=0)
    fakes = {"hangs": fake_engine(config, "hangs"), "good": fake_engine(config, "good")}
    signal = noise(1, 2000)
    with open_fakes(fakes) as separator:
        probed = fakes["hangs"].calls
        fakes["good"]._fault = lambda call, answer: gate(call, answer) if call >= probed else answer
        fakes["hangs"]._fault = hangs
        options = {"overload": "raise", "deadline_s": 1e9, "clock": clock, "hangs_s": 30.0}
        with separator.hub(**options) as hub:
            stream = hub.open(**OPTIONS)
            stream.feed(signal)
            assert hangs.reached.wait(timeout=60)
            (call,) = hub._board.desk.under_way()
            clock.now += 31.0
            with pytest.warns(ParityWarning, match="no answer"):
                _until_given_up(hub)
            assert gate.reached.wait(timeout=60)
            hangs.let_go.set()
            call.thread.join(timeout=60)
            assert not call.thread.is_alive()
            gate.open.set()
            same(stream.close(), alone(separator, signal, **OPTIONS))


def test_the_last_engine_hangs(fake_separator, noise, fails, clock):
    hangs = Hangs(at=0)
    separator = fake_separator(fault=hangs).separator
    with separator.hub(overload="raise", clock=clock, hangs_s=20.0) as hub:
        busy, idle = hub.open(**OPTIONS), hub.open(**OPTIONS)
        busy.feed(noise(1, 1000))
        assert hangs.reached.wait(timeout=60)
        clock.now += 21.0
        watched(hub)
        for call in (busy.read, idle.read, lambda: idle.feed(noise(1, 9)), idle.close, busy.close):
            with fails(EngineError, "fake: got no answer within 20.0 s"):
                call()
        with fails(EngineError, "got no answer"):
            hub.open(**OPTIONS)
        hangs.let_go.set()


def test_an_engine_that_takes_long_to_be_replaced_does_not_hang(still, noise, clock):
    hub = still(clock=clock, hangs_s=20.0)
    stream = hub.hub.open(**OPTIONS)
    stream.feed(noise(1, 1000))
    board = hub.hub._board
    board.crew.heed()
    call, _ = board.desk.take(hub.engine, clock(), lambda *_: False)
    clock.now += 100.0
    with hub.separator._service.engine._lock:  # as it is held while another is opened and proved
        board.watch()
    assert board.desk.under_way() == [call]
    clock.now += 21.0
    watched(hub.hub)
    assert board.desk.under_way() == []
    with pytest.raises(EngineError, match="no answer within"):
        stream.read()


@pytest.mark.parametrize("how", ["raises", "hangs"])
def test_an_engine_that_hangs_while_it_is_opened(
    open_fakes, fake_engine, config, noise, fails, clock, how
):
    first, second = Hangs(at=0), Hangs(at=0)

    def fault(call, answer):
        if how == "raises":
            raise EngineError("first: got nothing, expected sources. Look at its log.")
        return first(call, answer)

    fakes = {"first": fake_engine(config, "first"), "second": fake_engine(config, "second")}
    with open_fakes(fakes, parity="fallback") as separator:
        fakes["first"]._fault, fakes["second"]._fault = fault, second
        options = {"overload": "raise", "deadline_s": 1e9, "clock": clock, "hangs_s": 30.0}
        with separator.hub(**options) as hub:
            stream = hub.open(**OPTIONS)
            stream.feed(noise(1, 1000))
            if how == "hangs":
                assert first.reached.wait(timeout=60)
                clock.now += 31.0
                hub._board.watch()
            assert second.reached.wait(timeout=60)  # while it is proved, before it is in service
            hub._board.watch()
            clock.now += 299.0
            hub._board.watch()
            stream.read()
            clock.now += 2.0
            hub._board.watch()
            for call in (stream.read, stream.close, lambda: hub.open(**OPTIONS)):
                with fails(EngineError, "first: got no other engine in its place within 300 s"):
                    call()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ParityWarning)
                first.let_go.set()
                second.let_go.set()
                hub.close()


def test_no_engine_is_left(fake_separator, noise, fails):
    def always(call, answer):
        raise RuntimeError("gone")

    separator = fake_separator(fault=always).separator
    with separator.hub(overload="raise") as hub:
        streams = [hub.open(**OPTIONS) for _ in range(2)]
        for stream in streams:
            stream.feed(noise(1, 1000))
        for stream in streams:
            with fails(EngineError, "got RuntimeError: gone"):
                stream.close()
        late = hub.open(**OPTIONS)
        late.feed(noise(1, 100))
        with fails(EngineError, "got RuntimeError: gone"):
            late.close()
        assert hub.stats().streams == 0


def test_what_one_stream_breaks_does_not_break_its_neighbours(still, noise, alone, same):
    """Windows that no engine bears are their own stream's trouble, though they went in one call."""

    def bears_no_silence(call, answer):
        if any(not sources.any() for sources in answer.sources):
            raise RuntimeError("division by zero")
        return answer

    hub = still({"batch": 4, "fault": bears_no_silence})
    hub.engine.seen = []
    good, bad, other = (hub.hub.open(**OPTIONS) for _ in range(3))
    signal = noise(1, 3000)
    bad.feed(np.zeros((1, 3000), "f4"))
    for stream in (good, other):
        stream.feed(signal)
    hub.work()
    silent = sum(not window.any() for mixture in hub.engine.seen for window in mixture)
    assert silent == 4, "two windows that went together, once more alone, and then no others"
    expected = alone(hub.separator, signal, **OPTIONS)
    for stream in (good, other):
        same(hub.end(stream), expected, 1e-6)
    with pytest.raises(EngineError, match="division by zero"):
        bad.read()


def test_spot_checks_look_at_windows_of_all_streams(open_fakes, fake_engine, config, noise):
    fakes = {name: fake_engine(config, name) for name in ("onnxruntime", "torch")}
    with (
        open_fakes(fakes, parity="off", check_every=2) as separator,
        separator.hub(overload="raise", deadline_s=1e9) as hub,
    ):
        streams = [hub.open(**OPTIONS) for _ in range(3)]
        for stream in streams:
            stream.feed(noise(1, 3000))
            stream.close()
        assert separator.checked_windows >= hub.stats().windows // 2 > 3


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_listener_that_raises_is_its_own_trouble(fake_separator, noise, caplog, kind):
    told = threading.Semaphore(0)

    def listener(done):
        told.release()
        raise kind("no room on the disk")

    with fake_separator().separator.hub(overload="raise", on_batch=listener) as hub:
        stream = hub.open(**OPTIONS)
        stream.feed(noise(1, 3000))
        assert told.acquire(timeout=20)
        assert told.acquire(timeout=20), "the thread that told it has ended"
        assert stream.close()["bell"].shape == (1, 3000)
    assert "no room on the disk" in caplog.text
