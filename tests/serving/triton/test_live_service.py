"""Live streams by number, without Triton: order, stale ones, floods, failures."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sgn_rt.errors import AudioError, ConfigError, EngineError, OverloadError, SgnError
from sgn_rt.serving.triton.live_service import Block, LiveAnswer, LiveService

OPTIONS = {"sample_rate": 8000, "latency_s": 0.1, "categories": ["bell"]}


class Told:
    """What was told of blocks, in its order."""

    def __init__(self):
        self.answers, self._some = [], threading.Condition()

    def __call__(self, answer):
        with self._some:
            self.answers.append(answer)
            self._some.notify_all()

    def wait(self, count):
        with self._some:
            assert self._some.wait_for(lambda: len(self.answers) >= count, timeout=60)
        return self.answers


@pytest.fixture
def live(fake_separator):
    """Makes services; keywords are those of the fake engine, and of the service."""
    made = []

    def make(*, idle_s=10.0, clock=lambda: 0.0, **engine):
        opened = fake_separator(**engine)
        made.append(LiveService(opened.separator, idle_s=idle_s, clock=clock))
        return made[-1], opened

    yield make
    for service in made:
        service.close()


def test_answers_come_in_the_order_of_blocks_and_are_those_of_a_stream(live, noise):
    service, opened = live()
    mixture = noise(1, 9000)
    blocks = np.split(mixture, [0, 100, 3000, 3001], axis=1)
    stream = opened.separator.stream(**OPTIONS)
    expected = [stream.feed(block)["bell"] for block in blocks] + [stream.flush()["bell"]]
    told = Told()
    for number, block in enumerate(blocks):
        service.take(5, Block(block, OPTIONS if number == 0 else None), told)
    service.take(5, Block(np.zeros((1, 0), np.float32), end=True), told)
    answers = told.wait(6)
    for answer, samples in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(answer.sources[0], samples)
    assert answers[-1].latency_samples == stream.latency_samples
    assert answers[-1].present.tolist() == [name in stream.present for name in stream.presence]
    assert service.streams == 0


def test_streams_that_nobody_feeds_are_dropped(live, noise):
    now = [0.0]
    service, _ = live(clock=lambda: now[0])
    told = Told()
    for number in (1, 2):
        service.take(number, Block(noise(1, 10), OPTIONS), told)
    told.wait(2)
    now[0] = 9.0
    service.take(2, Block(noise(1, 10)), told)
    told.wait(3)
    now[0] = 10.5
    assert service.drop_stale() == 1
    assert service.streams == 1
    service.take(1, Block(noise(1, 10)), told)
    assert "not known" in str(told.wait(4)[-1])


def test_a_flood_is_refused_and_what_was_taken_is_not_lost(live, noise):
    held = threading.Event()

    def hold(call, answer):
        assert held.wait(60)
        return answer

    service, _ = live(fault=hold)
    told, refused = Told(), Told()
    minute = np.zeros((1, 8000 * 50), np.float32)
    # The first is in work, the second waits, and the third would be too much.
    service.take(1, Block(minute[:, :4000], OPTIONS), told)
    service.take(1, Block(minute), told)
    service.take(1, Block(minute), refused)
    service.take(1, Block(minute), refused)
    assert isinstance(refused.wait(1)[-1], OverloadError)
    held.set()
    service.take(1, Block(minute[:, :0], end=True), told)
    taken = told.wait(3) + [a for a in refused.answers if isinstance(a, LiveAnswer)]
    samples = sum(answer.sources.shape[-1] for answer in taken)
    assert (samples - 4000) % minute.shape[1] == 0


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({}, ConfigError, "expected sample_rate"),
        (OPTIONS | {"rate": 1}, ConfigError, "got parameters"),
        (OPTIONS | {"latency_s": 1e-9}, ConfigError, "latency"),
        (OPTIONS | {"sample_rate": "8000"}, AudioError, "rate"),
    ],
)
def test_options_that_cannot_be_had_end_the_stream(live, noise, options, kind, words):
    service, _ = live()
    told = Told()
    service.take(1, Block(noise(1, 10), options), told)
    (error,) = told.wait(1)
    assert type(error) is kind
    assert words in str(error)
    service.take(1, Block(noise(1, 10)), told)
    assert "not known" in str(told.wait(2)[-1])
    assert service.streams == 0


def test_a_block_that_is_no_sound_ends_its_stream_alone(live, noise):
    service, _ = live()
    told, other = Told(), Told()
    service.take(1, Block(noise(1, 10), OPTIONS), told)
    service.take(2, Block(noise(1, 10), OPTIONS), other)
    service.take(1, Block(np.full((1, 10), np.nan, np.float32)), told)
    service.take(2, Block(noise(1, 5), end=True), other)
    assert isinstance(told.wait(2)[1], AudioError)
    assert sum(answer.sources.shape[-1] for answer in other.wait(2)) == 15


def test_what_waits_behind_a_failed_block_is_of_no_known_stream(live, noise):
    begun, held = threading.Event(), threading.Event()

    def fail(call, answer):
        begun.set()
        assert held.wait(60)
        raise RuntimeError("broken")

    service, _ = live(fault=fail)
    told = Told()
    service.take(1, Block(noise(1, 9000), OPTIONS), told)
    assert begun.wait(60)
    service.take(1, Block(noise(1, 10)), told)
    held.set()
    first, second = told.wait(2)
    assert type(first) is EngineError
    assert type(second) is SgnError
    assert "not known" in str(second)


def test_an_end_that_aborts_computes_nothing(live, noise):
    service, opened = live()
    told = Told()
    service.take(1, Block(noise(1, 100), OPTIONS), told)
    service.take(1, Block(noise(1, 0), end=True, abort=True), told)
    assert told.wait(2)[1].sources.shape == (1, 1, 0)
    assert opened.engine.calls == 0


def test_windows_of_streams_that_wait_at_a_time_go_together(live, noise, monkeypatch):
    reached, held, fed = threading.Event(), threading.Event(), threading.Semaphore(0)

    def hold(call, answer):
        reached.set()
        assert held.wait(60)
        return answer

    service, opened = live(fault=hold, batch=4)
    crew = service._hub._board.crew
    wake = crew.wake
    monkeypatch.setattr(crew, "wake", lambda flow=None: (wake(flow), fed.release()))
    signals = [noise(1, 1200, seed) for seed in range(5)]
    told = [Told() for _ in signals]
    for number, block in enumerate(signals):
        service.take(number, Block(block, OPTIONS), told[number])
        if number == 0:
            assert reached.wait(60)
    for _ in signals:
        assert fed.acquire(timeout=60)
    opened.engine.seen = []
    held.set()
    for number, block in enumerate(signals):
        service.take(number, Block(block[:, :0], end=True), told[number])
        got = np.concatenate([answer.sources[0] for answer in told[number].wait(2)], axis=-1)
        stream = opened.separator.stream(**OPTIONS)
        expected = [stream.feed(block)["bell"], stream.flush()["bell"]]
        np.testing.assert_allclose(got, np.concatenate(expected, axis=1), rtol=0, atol=1e-6)
    assert max(len(mixture) for mixture in opened.engine.seen) == 4
