"""A live stream through the client and a real server: the very samples, events, refusals."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from sgn_rt.errors import AudioError, CategoryError, OverloadError, ServerError, SgnError
from sgn_rt.serving.client import AsyncClient, Client, live
from sgn_rt.streaming.presence_events import PresenceEvent

from ..server.tools import RATE

OPTIONS = {"sample_rate": 11025, "channels": 2, "categories": ["horn", "bell"], "latency_s": 0.2,
           "residual": True}  # fmt: skip


def joined(parts):
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def alone(separator, mixture, **options):
    stream = separator.stream(**{**OPTIONS, **options})
    return joined([stream.feed(mixture), stream.flush()]), stream.latency_samples


def blocks(mixture, seed=0):
    rng = np.random.default_rng(seed)
    at = 0
    while at < mixture.shape[1]:
        step = int(rng.integers(0, 3000))
        yield mixture[:, at : at + step]
        at += step


def same(parts, expected):
    found = joined(parts)
    assert list(found) == list(expected)
    for name, sound in expected.items():
        np.testing.assert_array_equal(found[name], sound)


def test_the_very_samples(client, fake, noise):
    mixture = noise(2, 20011)
    expected, latency = alone(fake.separator, mixture)
    parts = []
    with client.stream(**OPTIONS) as stream:
        assert (stream.sample_rate, stream.channels) == (11025, 2)
        assert (stream.categories, stream.latency_samples) == (
            ("horn", "bell", "residual"),
            latency,
        )
        for block in blocks(mixture):
            stream.feed(block)
            parts.append(stream.read())
        parts.append(stream.close())
    same(parts, expected)


def test_asyncio_gives_the_same_and_many_at_once(server, fake, noise):
    mixtures = [noise(2, 9000 + 100 * i, seed=i) for i in range(4)]

    async def one(client, mixture):
        async with client.stream(**OPTIONS) as stream:
            parts = [stream.read()]
            for block in blocks(mixture):
                await stream.afeed(block)
                parts.append(stream.read())
            parts.append(await stream.aread())
            parts.append(await stream.aclose())
        return parts

    async def main():
        async with AsyncClient(server.url) as client:
            return await asyncio.gather(*(one(client, mixture) for mixture in mixtures))

    for mixture, parts in zip(mixtures, asyncio.run(main()), strict=True):
        same(parts, alone(fake.separator, mixture)[0])


def test_what_is_there_can_be_waited_for(client, noise):
    mixture = noise(2, 20000)
    with client.stream(**OPTIONS) as stream:
        stream.feed(mixture)
        came = 0
        while came < 20000 - stream.latency_samples:
            part = stream.wait()["horn"].shape[1]
            assert part
            came += part
        assert came == 20000 - stream.latency_samples


def test_sixteen_bits_cost_half_and_little(client, fake, noise):
    mixture = noise(2, 9000)
    expected, _ = alone(fake.separator, mixture)
    with client.stream(**OPTIONS, sample_format="s16le") as stream:
        stream.feed(mixture)
        found = stream.close()
    for name, sound in expected.items():
        np.testing.assert_allclose(found[name], sound, atol=4 / 32768)


def test_a_new_signal_begins_with_nothing_of_the_old(client, fake, noise):
    first, second = noise(2, 15000), noise(2, 12000, seed=1)
    with client.stream(**OPTIONS) as stream:
        stream.feed(first)
        stream.wait()
        stream.reset()
        parts = [stream.read()]
        assert parts[0]["horn"].shape[1] == 0
        stream.feed(second)
        parts.append(stream.close())
    same(parts, alone(fake.separator, second)[0])


def test_presence_comes_as_events(client, noise):
    with client.stream(**OPTIONS) as stream:
        stream.feed(noise(2, 9000))
        stream.close()
        events = stream.events()
        assert {(event.kind, event.category) for event in events} >= {("appeared", "bell")}
        assert all(isinstance(event, PresenceEvent) for event in events)
        assert stream.events() == []


def test_errors_of_the_server_are_our_own(client, running, fake, noise, fails):
    with fails(CategoryError, "'cow'"), client.stream(sample_rate=RATE, categories=["cow"]):
        pass
    with pytest.raises(TypeError, match="'colour'"), client.stream(sample_rate=RATE, colour=1):
        pass
    with client.stream(sample_rate=RATE) as stream, fails(AudioError, "sample 3"):
        stream.feed(np.array([0, 0, 0, np.nan], np.float32))
    full = running(fake.separator, max_streams=0).url
    with Client(full) as other, pytest.raises(OverloadError), other.stream(sample_rate=RATE):
        pass
    token = "a-token-of-many-letters"
    url = running(fake.separator, token=token).url
    with (
        Client(url) as other,
        pytest.raises(ServerError, match="Authorization"),
        other.stream(sample_rate=RATE),
    ):
        pass
    with Client(url, token=token) as other, other.stream(sample_rate=RATE) as stream:
        assert stream.close()


def test_whom_nobody_reads_feeds_no_more(client, noise, fails, monkeypatch):
    monkeypatch.setattr(live, "MOST_HELD", 1 << 16)
    mixture = noise(2, 20000)
    with client.stream(**OPTIONS) as stream:
        stream.feed(mixture)
        waited = stream.wait()["horn"].shape[1]
        while waited < 10000:
            waited += stream.wait()["horn"].shape[1]
        stream.feed(mixture)
        fed = 40000
        with fails(OverloadError, "nobody has read"):
            while fed < 10_000_000:
                stream.feed(mixture)
                fed += 20000
        stream.wait()
        stream.abort()
        with fails(SgnError, "after its end"):
            stream.feed(mixture)
