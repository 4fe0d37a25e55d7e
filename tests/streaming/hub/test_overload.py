"""More than the engine holds: every policy does what it says, where it says, and loses nothing."""

from __future__ import annotations

import numpy as np
import pytest

from sgn_rt.errors import OverloadError
from sgn_rt.streaming.hub.capacity import Capacity
from sgn_rt.streaming.state import StreamState

RATE = 8000
OPTIONS = {"sample_rate": RATE, "latency_s": 0.1}
STEP = 610
"""Of windows of that latency: 76 ms."""


@pytest.fixture
def live(still, clock):
    """Feed streams in real time, by a clock that also passes while an engine computes."""

    class Live:
        def __init__(self, engine=None, *, busy_s, **options):
            self.busy_s = busy_s

            def takes_time(call, answer):
                clock.now += self.busy_s
                return answer

            self.still = still({"fault": takes_time, **(engine or {})}, clock=clock, **options)
            self.hub = self.still.hub

        def feed(self, streams, signals, block=STEP):
            pieces = [[] for _ in streams]
            start = clock.now
            for at in range(0, signals[0].shape[1], block):
                clock.now = max(clock.now, start + at / RATE)
                for stream, signal, parts in zip(streams, signals, pieces, strict=True):
                    stream.feed(signal[:, at : at + block])
                    self.still.work()
                    parts.append(stream.read())
            return pieces

    return Live


def test_what_is_late_is_counted(live, noise):
    made = live(busy_s=0.03, overload="raise", deadline_s=0.05)
    stream = made.hub.open(**OPTIONS)
    made.feed([stream], [noise(1, 10 * STEP)])
    stats = made.hub.stats()
    assert (stats.late, stream.overload) == (0, {})
    assert stats.lateness_s["p50"] == pytest.approx(0.03)


def test_a_late_stream_raises_and_loses_nothing(live, noise, alone, joined, same, fails):
    made = live(busy_s=0.06, overload="raise", deadline_s=0.05)
    signal = noise(1, 1700)
    stream, other = made.hub.open(**OPTIONS), made.hub.open(**OPTIONS)
    stream.feed(signal)
    made.still.work()
    for call in (stream.read, lambda: stream.feed(signal)):
        with fails(OverloadError, "stream: got its window at 0.00 s", "later than the deadline"):
            call()
    other.read()
    assert stream.overload == {"late": 2, "raised": 1}
    stats = made.hub.stats()
    assert (stats.late, stats.raised, stats.windows) == (2, 1, 2)
    expected = alone(made.still.separator, signal, **OPTIONS)
    same(made.still.end(stream), expected)


def test_streams_beyond_what_was_measured_are_refused(fake_separator, monkeypatch, fails):
    asked = []

    def timed(engine, config, sources):
        asked.append(sources)
        return 0.010 + 0.002 * (sources - 1)

    monkeypatch.setattr(Capacity, "_timed", staticmethod(timed))
    separator = fake_separator(concurrency=2).separator
    with separator.hub(share=0.5) as hub:
        assert asked == [1, 3]
        # One category: 10 ms a window, two at a time, 13.1 windows/s a stream: 6.6 % of the engine.
        streams = [hub.open(**OPTIONS, categories=["bell"]) for _ in range(7)]
        with fails(OverloadError, "13.11 windows/s", "52 %", "at most 50 %", "200.0 such"):
            hub.open(**OPTIONS, categories=["bell"])
        stats = hub.stats()
        assert (stats.refused, stats.streams) == (1, 7)
        assert stats.capacity == pytest.approx(200.0)
        assert stats.load == pytest.approx(7 * 0.0656, abs=1e-3)
        streams.pop().abort()
        streams.pop().close()
        with fails(OverloadError, "such windows/s"):  # 14 ms a window, three channels
            hub.open(**OPTIONS, channels=3)
        hub.open(**OPTIONS, categories=["bell"])
        hub.open(sample_rate=RATE, categories=["bell"])  # of more latency, so of fewer windows


def test_what_is_seen_corrects_what_was_measured(monkeypatch):
    monkeypatch.setattr(Capacity, "_timed", staticmethod(lambda engine, config, sources: 0.01))
    capacity = Capacity()
    assert capacity.windows_per_s(1, 2, 1) == float("inf")
    capacity.measure(None, type("Config", (), {"categories": ("a", "b")}))
    assert capacity.windows_per_s(1, 2, 4) == pytest.approx(800)
    for _ in range(100):
        capacity.observe(0.03, 1, is_full=False)  # not full: it says nothing
    assert capacity.windows_per_s(1, 2, 4) == pytest.approx(800)
    for _ in range(100):
        capacity.observe(0.02, 1, is_full=True)
    assert capacity.windows_per_s(1, 2, 4) == pytest.approx(400, rel=1e-3)


def test_without_a_measure_what_is_seen_counts(still, noise):
    hub = still()
    assert hub.hub.stats().capacity is None
    stream = hub.hub.open(**OPTIONS)
    stream.feed(noise(1, 2000))
    hub.work()
    assert hub.hub.stats().capacity > 0


def test_a_late_stream_takes_longer_steps_until_there_is_time(live, noise, joined):
    """One and the same signal goes through, so every seam between two layouts would be heard."""
    made = live({"depends": False}, busy_s=0.07, overload="longer-step", deadline_s=0.03)
    stream = made.hub.open(**OPTIONS, categories=["bell"])
    signal = noise(1, 120 * STEP)
    half = 30 * STEP

    def paced():
        (scheduled,) = made.hub._board.desk._scheduler._streams.values()
        return scheduled.step_s

    pieces = made.feed([stream], [signal[:, :half]])[0]
    assert stream.overload["longer-step"] > 10
    assert paced() == pytest.approx(stream._flow.settings.layout.longer_step.step / RATE)
    made.busy_s = 0.001
    pieces += made.feed([stream], [signal[:, half:]])[0]
    assert stream._flow.state.grid.layout == stream._flow.settings.layout
    assert paced() == pytest.approx(STEP / RATE)
    pieces.append(made.still.end(stream))
    np.testing.assert_allclose(joined(pieces)["bell"], 0.5 * signal, rtol=0, atol=1e-6)
    (span,) = stream.overload_spans
    assert span.kind == "longer-step"
    assert 0 < span.start_s < span.stop_s < signal.shape[1] / RATE
    assert made.hub.stats().longer_steps == stream.overload["longer-step"]
    assert made.hub.stats().windows < 115
    assert stream._flow.state.tracker._heard == pytest.approx(120, abs=3), "each by its length"


def test_longer_steps_sound_as_their_layout_alone(live, noise, joined, same):
    made = live(busy_s=0.07, overload="longer-step", deadline_s=0.03)
    stream = made.hub.open(**OPTIONS, residual=True)
    grid, changes, change = stream._flow.state.grid, [], stream._flow.state.grid.change
    grid.change = lambda *given: changes.append(given) or change(*given)
    signal = noise(1, 40 * STEP)
    pieces = made.feed([stream], [signal])[0]
    made.still.engine._fault = lambda call, answer: answer
    pieces.append(made.still.end(stream))
    assert changes
    state = StreamState(stream._flow.settings, map)
    for number, layout in changes:
        state.grid.change(number, layout)
    state.take(signal)
    state.end()
    engine = made.still.separator._service.engine
    from sgn_rt.streaming.jobs import ask

    while (window := state.begin()) is not None:
        positions = state._settings.positions(state._settings.named)
        state.add(window, ask(engine, window.jobs, positions))
    state.finish()
    same(joined(pieces), state.emit(state.fed))
    latency = stream.latency_samples
    assert all(change[1].look_ahead == latency for change in changes)


def test_what_would_be_late_is_the_mixture(live, noise, joined):
    made = live({"depends": False}, busy_s=0.2, overload="pass-through", deadline_s=0.05)
    stream = made.hub.open(**OPTIONS, categories=["bell"], gain_db=6.0)
    signal = noise(1, 40 * STEP)
    half = 20 * STEP
    pieces = made.feed([stream], [signal[:, :half]])[0]
    calls, passed = made.still.engine.calls, stream.overload["pass-through"]
    assert passed > 5
    assert calls == made.hub.stats().windows - passed, "they cost nothing: the network is not asked"
    made.busy_s = 0.0
    pieces += made.feed([stream], [signal[:, half:]])[0]
    pieces.append(made.still.end(stream))
    got, share = joined(pieces)["bell"][0], np.empty(40 * STEP)
    share = got / np.where(np.abs(signal[0]) < 1e-3, np.nan, signal[0])
    assert np.nanmin(share) > 0.499  # half of it is the bell's, all where it passes
    assert np.nanmax(share) < 1.001
    inside = 127 / RATE
    for span in stream.overload_spans:
        assert span.kind == "pass-through"
        at = slice(round((span.start_s + inside) * RATE), round(span.stop_s * RATE))
        np.testing.assert_allclose(got[at], signal[0, at], rtol=0, atol=1e-6)
    np.testing.assert_allclose(got[-8 * STEP :], 0.5 * signal[0, -8 * STEP :], rtol=0, atol=1e-6)
    assert made.hub.stats().passed == stream.overload["pass-through"]
    assert made.still.engine.calls > calls
