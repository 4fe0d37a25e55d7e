"""What streams of a hub in trouble still get: in time, at their own pace, and no louder."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

RATE = 8000


class Gates:
    """A fault of an engine: each call waits for its own word, and says that it has come."""

    def __init__(self):
        self._calls = [(threading.Event(), threading.Event()) for _ in range(100)]

    def __call__(self, call, answer):
        reached, go = self._calls[call]
        reached.set()
        assert go.wait(timeout=60)
        return answer

    def reached(self, call):
        return self._calls[call][0].wait(timeout=20)

    def let(self, *calls):
        for call in calls or range(100):
            self._calls[call][1].set()


@pytest.fixture
def gates():
    made = Gates()
    yield made
    made.let()


def test_what_passes_does_not_wait_for_the_call_beside_it(fake_separator, noise, clock, gates):
    opened = fake_separator(fault=gates)
    with opened.separator.hub(overload="pass-through", clock=clock, deadline_s=1.0) as hub:
        first, late, fresh = (hub.open(sample_rate=RATE, latency_s=0.3) for _ in range(3))
        first.feed(noise(1, 1016))
        assert gates.reached(0)
        clock.now += 0.01
        gates.let(0)
        first.feed(noise(1, 1016))
        assert gates.reached(1)
        late.feed(noise(1, 800))
        rest = []
        closing = threading.Thread(target=lambda: rest.append(late.close()))
        closing.start()
        while not late._flow.has_ended:
            time.sleep(0)
        clock.now += 5.0
        fresh.feed(noise(1, 1016))
        gates.let(1)
        assert gates.reached(2)  # of the fresh one; what is late has come with it
        closing.join(timeout=20)
        came = not closing.is_alive()
        gates.let()
        closing.join(timeout=20)
        assert came, "a window that no network is to hear has waited for one"
        assert rest[0]["drum"].shape == (1, 800)
        assert late.overload["pass-through"]


def test_one_slow_call_is_not_held_against_the_engine_for_ever(fake_separator, noise, clock):
    def slow_once(call, answer):
        clock.now += 5.0 if call == 0 else 0.01
        return answer

    opened = fake_separator(fault=slow_once)
    with opened.separator.hub(overload="pass-through", clock=clock, deadline_s=0.1) as hub:
        stream = hub.open(sample_rate=RATE, latency_s=0.3)
        stream.feed(noise(1, 1016))
        for windows in range(1, 200):
            while hub.stats().windows < windows:
                time.sleep(0)
            clock.now += 763 / RATE
            stream.feed(noise(1, 763))  # the next window is complete
            stream.read()
        stream.close()
    assert 1 < stream.overload["pass-through"] < 60


def test_a_residual_stays_in_bounds_where_the_mixture_passes(fake_separator, noise, clock, gates):
    opened = fake_separator(fault=gates)
    signal = noise(1, RATE)
    with opened.separator.hub(overload="pass-through", clock=clock, deadline_s=0.1) as hub:
        other, stream = (hub.open(sample_rate=RATE, latency_s=0.3, residual=True) for _ in range(2))
        other.feed(signal)
        assert gates.reached(0)
        stream.feed(signal)
        clock.now += 5.0
        gates.let()
        found = stream.close()
    assert stream.overload_spans[0].stop_s == 1.0
    np.testing.assert_allclose(sum(found.values()), signal, atol=1e-6)
    np.testing.assert_allclose(found["residual"], 0.0, atol=1e-6)


def test_a_stream_that_begins_anew_has_its_own_pace_again(fake_separator, noise, clock, gates):
    opened = fake_separator(fault=gates)
    with opened.separator.hub(overload="longer-step", clock=clock, deadline_s=0.1) as hub:
        stream = hub.open(sample_rate=RATE, latency_s=0.3)
        stream.feed(noise(1, 3000))
        assert gates.reached(0)
        clock.now += 5.0
        gates.let()
        while not stream.overload.get("longer-step"):
            if stream._flow.input.room >= 100:  # this thread may well be faster than the hub's
                stream.feed(noise(1, 100))
            stream.read()
            time.sleep(0)
        stream.reset()
        waiting = hub._board.desk._scheduler._streams[stream._flow.key]
        assert waiting.step_s == stream._flow.settings.step_s


def test_the_last_window_overwrites_nothing_that_was_not_read(
    fake_separator, noise, alone, joined, same
):
    opened = fake_separator()
    with opened.separator.hub(overload="raise", deadline_s=1e9, buffer_s=0.17) as hub:
        for size in range(2300, 2500, 10):
            signal = noise(1, size)
            stream = hub.open(sample_rate=RATE)
            for block in np.split(signal, range(50, size, 50), axis=1):
                while stream._flow.input.room < block.shape[1]:
                    time.sleep(0)
                stream.feed(block)  # and nobody reads before the end
            stream._flow.end()
            for _ in range(50):  # as long as a reader may well take
                time.sleep(0.0005)
                assert stream._flow.output.room >= 0
            expected = alone(opened.separator, signal, sample_rate=RATE)
            same(joined([stream.close()]), expected)
