"""The hub in asyncio: who waits is woken, who is cancelled loses nothing."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from sgn_rt.errors import AudioError, EngineError, OverloadError, SgnError

OPTIONS = {"sample_rate": 8000, "latency_s": 0.1}
CALM = {"overload": "raise", "deadline_s": 1e9}


def test_feeding_and_reading_side_by_side(fake_separator, noise, alone, joined, same):
    separator = fake_separator(concurrency=2).separator
    signals = [noise(1, 12_000, i) for i in range(4)]

    async def one(hub, signal):
        stream = hub.open(**OPTIONS)
        pieces = []

        async def reads():
            got = 0
            while got < signal.shape[1] - stream.latency_samples:
                pieces.append(await stream.aread())
                size = pieces[-1]["bell"].shape[1]
                assert size
                got += size

        async def feeds():
            for at in range(0, signal.shape[1], 300):
                await stream.afeed(signal[:, at : at + 300])

        await asyncio.gather(feeds(), reads())
        return joined([*pieces, await stream.aclose()])

    async def main():
        async with separator.hub(buffer_s=0.1, **CALM) as hub:
            return await asyncio.gather(*(one(hub, signal) for signal in signals))

    for got, signal in zip(asyncio.run(main()), signals, strict=True):
        same(got, alone(separator, signal, **OPTIONS))


def test_who_waits_and_is_cancelled_loses_nothing(fake_separator, noise, alone, joined, same, gate):
    separator = fake_separator(fault=gate).separator
    signal = noise(1, 3000)

    async def cancelled(task):
        task = asyncio.create_task(task)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def main():
        async with separator.hub(buffer_s=0.2, **CALM) as hub:
            stream = hub.open(**OPTIONS)
            fed = 0
            while True:
                try:
                    stream.feed(signal[:, fed : fed + 100])
                except OverloadError:
                    break
                fed += 100
                if fed > 800:
                    assert await asyncio.to_thread(gate.reached.wait, 60)
            for _ in range(50):
                await cancelled(stream.afeed(signal[:, fed : fed + 100]))
                await cancelled(stream.aread())
            assert len(stream._flow.waiters) == 0
            reading = asyncio.create_task(stream.aread())
            await asyncio.sleep(0)
            gate.open.set()
            pieces = [await reading]
            while fed < 3000:
                feeding = asyncio.create_task(stream.afeed(signal[:, fed : fed + 100]))
                while not feeding.done():
                    pieces.append(stream.read())
                    await asyncio.sleep(0)
                await feeding
                fed += 100
            await cancelled(stream.aclose())
            with pytest.raises(SgnError, match="while close\\(\\) waits for the rest"):
                stream.read()
            pieces.append(await stream.aclose())
            return joined(pieces)

    same(asyncio.run(main()), alone(separator, signal, **OPTIONS))


def test_who_waits_is_told_of_errors(fake_separator, noise):
    def gone(call, answer):
        raise RuntimeError("gone")

    separator = fake_separator(fault=gone).separator

    async def main():
        async with separator.hub(**CALM) as hub:
            stream = hub.open(**OPTIONS)
            reading = asyncio.create_task(stream.aread())
            await asyncio.sleep(0)
            await stream.afeed(noise(1, 1000))
            with pytest.raises(EngineError, match="gone"):
                await reading
            with pytest.raises(EngineError, match="gone"):
                await stream.aclose()
            other = hub.open(**OPTIONS)
            with pytest.raises(AudioError, match="expected at most 40000"):
                await other.afeed(np.zeros((1, 40_001), "f4"))
            reading = asyncio.create_task(other.aread())
            await asyncio.sleep(0)
            await asyncio.to_thread(hub.close)
            with pytest.raises(SgnError, match="after close"):
                await reading

    asyncio.run(main())


def test_reset_while_another_task_reads(fake_separator, noise):
    separator = fake_separator().separator

    async def main():
        async with separator.hub(**CALM) as hub:
            stream = hub.open(**OPTIONS)
            reading = asyncio.create_task(stream.aread())
            await asyncio.sleep(0)
            stream.reset()
            await asyncio.sleep(0)
            await stream.afeed(noise(1, 900))
            assert (await asyncio.wait_for(reading, 60))["bell"].shape[1] == 100
            stream.abort()
            with pytest.raises(SgnError, match="stream: got a call after close"):
                await stream.aread()

    asyncio.run(main())


def test_a_loop_that_is_gone_holds_up_nobody(fake_separator, noise, gate):
    with fake_separator(fault=gate).separator.hub(**CALM) as hub:
        stream = hub.open(**OPTIONS)
        stream.feed(noise(1, 900))
        assert gate.reached.wait(timeout=60)
        loop = asyncio.new_event_loop()
        reading = loop.create_task(stream.aread())
        loop.run_until_complete(asyncio.sleep(0))
        waiters = list(stream._flow.waiters)
        reading.cancel()
        loop.run_until_complete(asyncio.gather(reading, return_exceptions=True))
        loop.close()
        stream._flow.waiters.extend(waiters)  # as it is where a thread has taken them just before
        gate.open.set()
        done = threading.Event()
        threading.Thread(target=lambda: (stream.close(), done.set())).start()
        assert done.wait(timeout=60)
