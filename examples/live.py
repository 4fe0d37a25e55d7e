"""Separating while it sounds: blocks in, blocks out, a declared delay, and who begins to play.

    python examples/live.py mix.flac tuba solo.wav

A file stands for the sound card, and its blocks come as fast as they are taken; everything else is
as for a callback of live sound: `feed` and `read` wait for nobody.
"""

from __future__ import annotations

import asyncio
import sys

import soundfile

import sgn_rt

BLOCK_S = 0.01
LATENCY_S = 1.0


async def separate(source: str, category: str, target: str) -> None:
    """Write one category of a recording, block by block."""
    with sgn_rt.Separator.open() as separator, soundfile.SoundFile(source) as sound:
        rate, channels = sound.samplerate, sound.channels
        async with separator.hub() as hub:
            stream = hub.open(
                sample_rate=rate, channels=channels, categories=[category], latency_s=LATENCY_S
            )
            print(f"delay: {stream.latency_samples / rate:.2f} s")
            with soundfile.SoundFile(target, "w", rate, channels) as written:
                for block in sound.blocks(int(BLOCK_S * rate), dtype="float32", always_2d=True):
                    await stream.afeed(block.T)  # a callback calls feed, which never waits
                    written.write(stream.read()[category].T)  # what is ready, possibly nothing
                    for event in stream.events():
                        print(f"{event.time_s:6.2f} s: {event.category} {event.kind}")
                rest = await stream.aclose()  # in all as many samples come out as went in
                written.write(rest[category].T)
            for event in stream.events():
                print(f"{event.time_s:6.2f} s: {event.category} {event.kind}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python live.py RECORDING CATEGORY TARGET")
    try:
        asyncio.run(separate(*sys.argv[1:]))
    except sgn_rt.SgnError as error:
        sys.exit(str(error))
