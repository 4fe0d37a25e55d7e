"""What a server bears: recordings per second, live streams at a time, and what limits them.

``python -P -m sgn_rt.benchmarks.studies.server_load --json load.json`` starts a server, sends it a
short recording again and again, and opens live streams that go as fast as they sound.

Recordings come by a Poisson process at a given rate, whatever the server does: a time is counted
from when a request was meant to be sent, so that a server that stalls does not hide it by holding
up whoever measures (what users who wait for their answer, as locust has them, would do).
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile

from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.benchmarks.machine.environment import describe
from sgn_rt.benchmarks.studies.loads import Load, show
from sgn_rt.benchmarks.studies.served import Served, Watch, own_server
from sgn_rt.errors import ServerError, SgnError
from sgn_rt.serving.client import AsyncClient

BLOCK_S = 0.1
"""Of live sound, sent at a time."""

LATENCY_S = 1.0


async def recordings(
    served: Served, clip: bytes, rate: float, seconds: float, rng: np.random.Generator
) -> Load:
    """Send a recording at random times, so many per second."""
    load = Load(rate)
    due = np.cumsum(rng.exponential(1 / rate, size=max(1, round(rate * seconds))))
    async with AsyncClient(served.url, token=served.token, timeout_s=300.0) as client:
        watch = Watch.begin(served)
        begin = time.perf_counter()

        async def one(at: float) -> None:
            await asyncio.sleep(max(0.0, begin + at - time.perf_counter()))
            try:
                await client.separate(clip)
            except SgnError as error:
                load.errors[type(error).__name__] += 1
            else:
                load.done += 1
                load.times_s.append(time.perf_counter() - begin - at)

        await asyncio.gather(*map(one, due.tolist()))
        load.seconds = time.perf_counter() - begin
        load.server = watch.end()
    return load


async def streams(
    served: Served, mixture: Float, rate: int, number: int, categories: Sequence[str]
) -> Load:
    """Open live streams and feed each as fast as it sounds."""
    load = Load(number)
    step = round(BLOCK_S * rate)
    async with AsyncClient(served.url, token=served.token) as client:
        watch = Watch.begin(served)
        begin = time.perf_counter()

        async def one(number_of: int) -> None:
            await asyncio.sleep(BLOCK_S * number_of / number)  # not all at the same moment
            try:
                async with client.stream(
                    sample_rate=rate, channels=len(mixture), categories=categories,
                    latency_s=LATENCY_S,
                ) as stream:  # fmt: skip
                    load.times_s += await _paced(stream, mixture, step)
            except SgnError as error:
                load.errors[type(error).__name__] += 1
            else:
                load.done += 1

        await asyncio.gather(*map(one, range(number)))
        load.seconds = time.perf_counter() - begin
        load.server = watch.end()
    return load


async def _paced(stream: Any, mixture: Float, step: int) -> list[float]:
    """Feed a stream as fast as it sounds; how much later than declared each piece came."""
    begin, came = time.perf_counter(), 0
    late: list[float] = []

    def take(part: dict[str, Float]) -> None:
        nonlocal came
        came += next(iter(part.values())).shape[1]
        # Its last sample was due when the sample `latency_samples` after it was sent.
        last = min(came + stream.latency_samples, mixture.shape[1])
        due = begin + np.ceil(last / step) * step / stream.sample_rate
        late.append(max(0.0, time.perf_counter() - due))

    async def read() -> None:
        while came < mixture.shape[1] - stream.latency_samples:
            take(await stream.aread())

    reading = asyncio.create_task(read())
    for at in range(0, mixture.shape[1], step):
        block = mixture[:, at : at + step]
        sent = begin + (at + block.shape[1]) / stream.sample_rate
        await asyncio.sleep(max(0.0, sent - time.perf_counter()))
        await stream.afeed(block)
    await reading
    rest = await stream.aclose()
    came += next(iter(rest.values())).shape[1]
    if came != mixture.shape[1]:
        raise ServerError(
            f"stream: got {came} samples, expected {mixture.shape[1]}. Report what was lost."
        )
    return late


async def expect_right(served: Served, clip: bytes, samples: int) -> list[str]:
    """Look at an answer before answers are timed; the categories that are in it."""
    async with AsyncClient(served.url, token=served.token) as client:
        result = await client.separate(clip)
    shapes = {sound.shape[1] for sound in result.sources.values()}
    finite = all(np.isfinite(sound).all() for sound in result.sources.values())
    if shapes != {samples} or not finite:
        raise ServerError(
            f"server: got stems of {sorted(shapes)} samples, expected finite ones of {samples}. "
            "Use a recording in which the model finds something."
        )
    return list(result.sources)


def _numbers(context: click.Context, parameter: click.Parameter, text: str) -> list[float]:
    del context, parameter
    try:
        numbers = [float(word) for word in text.split(",") if word]
    except ValueError as error:
        raise click.BadParameter(f"got {text!r}, expected numbers separated by commas") from error
    if any(not 0 < number < 1e6 for number in numbers):
        raise click.BadParameter(f"got {text!r}, expected positive numbers")
    return numbers


@click.command()
@click.option("--url", help="A server that runs already; else one is started.")
@click.option("--token", help="What it wants.")
@click.option("--rates", default="0.5,1,2,4", show_default=True, callback=_numbers,
              help="Recordings per second.")  # fmt: skip
@click.option("--streams", "numbers", default="1,4,8", show_default=True, callback=_numbers,
              help="Live streams at a time.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=1, max=600), default=20.0, show_default=True,
              help="Of each measurement.")  # fmt: skip
@click.option("--clip", "clip_s", type=click.FloatRange(min=0.5, max=60), default=6.0,
              show_default=True, help="Seconds of the recording.")  # fmt: skip
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write it there.")
@click.argument("serve_arguments", nargs=-1)
def main(
    url: str | None,
    token: str | None,
    rates: Sequence[float],
    numbers: Sequence[float],
    seconds: float,
    clip_s: float,
    seed: int,
    json_path: Path | None,
    serve_arguments: Sequence[str],
) -> None:
    """Load a server; SERVE_ARGUMENTS (after --) go to the one that is started."""
    report: dict[str, Any] = {"machine": describe(0), "clip_s": clip_s, "seconds": seconds}
    given = nullcontext(Served(url.rstrip("/"), token)) if url else own_server(serve_arguments)
    with given as served:
        report |= asyncio.run(_measured(served, rates, numbers, seconds, clip_s, seed))
    if json_path is not None:
        json_path.write_text(json.dumps(report, indent=2, allow_nan=False), encoding="utf-8")


async def _measured(
    served: Served,
    rates: Sequence[float],
    numbers: Sequence[float],
    seconds: float,
    clip_s: float,
    seed: int,
) -> dict[str, list[dict[str, Any]]]:
    """Both kinds of load, one after the other, at each of their sizes."""
    mixture, clip, rate = _material(clip_s)
    present = await expect_right(served, clip, mixture.shape[1])
    rng = np.random.default_rng(seed)
    files, live = [], []
    for offered in rates:
        files.append(await recordings(served, clip, offered, seconds, rng))
        show("recordings/s", files[-1])
    repeats = -(-round(seconds * rate) // mixture.shape[1])
    signal = np.tile(mixture, repeats)[:, : round(seconds * rate)]
    for number in numbers:
        live.append(await streams(served, signal, rate, int(number), present))
        show("live streams", live[-1])
    return {
        "recordings": [load.to_dict() for load in files],
        "streams": [load.to_dict() for load in live],
    }


def _material(clip_s: float) -> tuple[Float, bytes, int]:
    """The beginning of a piece that ships: samples, the same as a file, and its rate."""
    path = shipped_music() / "003.mix.flac"
    rate = soundfile.info(path).samplerate
    samples, _ = soundfile.read(path, frames=round(clip_s * rate), dtype="float32", always_2d=True)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC")
    return np.ascontiguousarray(samples.T), file.getvalue(), rate


if __name__ == "__main__":
    main()
