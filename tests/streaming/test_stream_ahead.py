"""A stream that runs ahead of its caller: the same samples as `feed`, in pieces."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sgn_rt.errors import EngineError


def joined(stream, pieces):
    names = [*stream.categories, *(["residual"] if stream._settings.residual else [])]
    return {name: np.concatenate([piece[name] for piece in pieces], axis=1) for name in names}


def blocks_of(signal, size):
    return [signal[:, at : at + size] for at in range(0, signal.shape[1], size)]


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("concurrency", "batch"), [(1, 1), (3, 1), (1, 4), (2, 3)])
@pytest.mark.parametrize("size", [500, 7001, None])
def test_the_same_samples(fake_separator, noise, rate, residual, concurrency, batch, size):
    opened = fake_separator(concurrency=concurrency, batch=batch).separator
    options = {"sample_rate": rate, "channels": 2, "residual": residual}
    signal = noise(2, 3 * rate, 5)
    plain = opened.stream(**options)
    expected = joined(plain, [plain.feed(signal), plain.flush()])
    ahead = opened.stream(**options)
    pieces = []
    for block in blocks_of(signal, size or ahead.round_samples):
        pieces += ahead.feed_ahead(block)
    pieces += ahead.flush_ahead()
    assert ahead.flush_ahead() == []
    for name, samples in joined(ahead, pieces).items():
        np.testing.assert_array_equal(samples, expected[name])
    assert ahead.presence == plain.presence
    assert ahead.engines == plain.engines


def test_an_engine_that_takes_batches_gets_full_ones(fake_separator, noise):
    opened = fake_separator(concurrency=2, batch=3)
    opened.engine.seen = []
    separator = opened.separator
    separator.separate(noise(1, 48000), ["bell"], sample_rate=8000)
    sizes = [len(mixture) for mixture in opened.engine.seen]
    assert max(sizes) == 3
    assert sizes.count(3) >= len(sizes) - 3  # the last of a round, and of the recording, are not
    live = separator.stream(sample_rate=8000, channels=1)
    opened.engine.seen = []
    live.feed(noise(1, live.latency_samples + 100))
    assert [len(mixture) for mixture in opened.engine.seen] == [1]


def test_a_round_of_many_sources_is_small(fake_separator, monkeypatch):
    opened = fake_separator(concurrency=2, batch=8)
    stream = opened.separator.stream(sample_rate=8000, categories=["bell", "drum"])
    large = stream.round_samples
    monkeypatch.setattr("sgn_rt.streaming.rounds.ROUND_BYTES", 4 * 1016 * 2 * 2 * 7)
    assert stream.round_samples == pytest.approx(large * 7 / 16, abs=1)
    monkeypatch.setattr("sgn_rt.streaming.rounds.ROUND_BYTES", 1)
    assert stream.round_samples == pytest.approx(large / 16, abs=1)  # however much that is


def test_windows_are_in_work_when_it_returns(fake_separator, noise):
    go = threading.Event()

    def wait(call, answer):
        assert go.wait(timeout=20)
        return answer

    stream = fake_separator(concurrency=2, fault=wait).separator.stream(sample_rate=8000)
    samples = stream.round_samples // 2  # as many windows as there are in work at a time
    assert stream.feed_ahead(noise(1, samples)) == []
    assert not stream.engines
    go.set()
    pieces = stream.flush_ahead()
    assert sum(piece["bell"].shape[1] for piece in pieces) == samples


@pytest.mark.parametrize("concurrency", [1, 2])
def test_an_engine_that_fails_once_loses_nothing(fake_separator, noise, concurrency):
    def once(call, answer):
        if call == 5:
            raise RuntimeError("not now")
        return answer

    signal = noise(1, 40_000)
    right = fake_separator(concurrency=concurrency).separator.stream(sample_rate=8000)
    expected = joined(right, [right.feed(signal), right.flush()])
    opened = fake_separator(concurrency=concurrency, fault=once).separator
    stream, failures, pieces = opened.stream(sample_rate=8000), 0, []
    for block in blocks_of(signal, 3000):
        try:
            pieces += stream.feed_ahead(block)
        except EngineError:
            failures += 1
    try:
        pieces += stream.flush_ahead()
    except EngineError:
        failures += 1
        pieces += stream.flush_ahead()
    assert failures == 1
    for name, samples in joined(stream, pieces).items():
        np.testing.assert_array_equal(samples, expected[name])


def test_feed_after_feed_ahead_waits_for_all(fake_separator, noise):
    signal = noise(1, 20_000)
    opened = fake_separator(concurrency=2).separator
    plain = opened.stream(sample_rate=8000)
    expected = joined(plain, [plain.feed(signal), plain.flush()])
    stream = opened.stream(sample_rate=8000)
    pieces = stream.feed_ahead(signal[:, :9000])
    pieces += [stream.feed(signal[:, 9000:]), stream.flush()]
    for name, samples in joined(stream, pieces).items():
        np.testing.assert_array_equal(samples, expected[name])


def test_reset_forgets_what_is_in_work(fake_separator, noise):
    opened = fake_separator(concurrency=2).separator
    signal = noise(1, 20_000)
    stream = opened.stream(sample_rate=8000)
    expected = joined(stream, [stream.feed(signal), stream.flush()])
    stream.reset()
    stream.feed_ahead(noise(1, 12_000, 9))
    stream.reset()
    again = joined(stream, [*stream.feed_ahead(signal), *stream.flush_ahead()])
    for name, samples in again.items():
        np.testing.assert_array_equal(samples, expected[name])
