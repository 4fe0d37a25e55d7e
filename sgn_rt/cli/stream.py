"""``sgn-rt stream``: raw PCM in, raw PCM out, live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO, Literal

import click
import numpy as np

from sgn_rt._types import Float
from sgn_rt.audio.pcm import PCM_FORMATS, PcmFormat, decoded, encoded, frame_bytes
from sgn_rt.cli.common import (
    bundle_option,
    categories_option,
    check_option,
    engine_option,
    parity_option,
    threads_option,
)
from sgn_rt.cli.devices import device_option
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.engines.devices import Devices
from sgn_rt.errors import AudioError
from sgn_rt.separator import Separator
from sgn_rt.streaming.stream import Stream

BLOCK_S = 0.02
"""Largest block taken from stdin at a time, seconds; what has come is taken at once."""


@click.command("stream")
@click.option("--rate", type=int, required=True, help="Sample rate of input and output, Hz.")
@click.option("--channels", type=click.IntRange(min=1), default=1, show_default=True,
              help="Interleaved channels of the input.")  # fmt: skip
@categories_option("Categories wanted; they come as consecutive groups of channels.", required=True)
@click.option("--latency", "latency_s", type=float, metavar="SECONDS",
              help="Longest delay that is borne; the least work if left out.")  # fmt: skip
@click.option("--gain", "gain_db", type=float, default=0.0, metavar="DB",
              help="What the network hears is louder by so much; the sources are not.")  # fmt: skip
@click.option("--sample-format", type=click.Choice(PCM_FORMATS), default="s16le",
              show_default=True, help="Of input and output alike.")  # fmt: skip
@click.option("--residual", is_flag=True, help="Also give what is left, as the last category.")
@bundle_option
@engine_option
@parity_option
@check_option
@device_option
@threads_option
@verbosity_options
def command(
    rate: int,
    channels: int,
    categories: list[str],
    latency_s: float | None,
    gain_db: float,
    sample_format: PcmFormat,
    residual: bool,
    bundle: Path | None,
    engine: str,
    parity: Literal["fallback", "raise", "off"],
    check_every: int | None,
    device: Devices,
    threads: int | None,
) -> None:
    """Separate raw PCM from stdin to stdout while it comes.

    The output has the input's format, rate and length; the categories are consecutive channels. It
    comes later by the latency that is printed on stderr.
    """
    if sys.stdin is None:
        raise AudioError("stdin: got a closed one, expected raw PCM. Send some to it.")
    if sys.stdin.isatty():
        raise AudioError(
            "stdin: got a terminal, expected raw PCM. For a file: ffmpeg -i FILE -f s16le - | "
            "sgn-rt stream ..., or use sgn-rt separate."
        )
    with Separator.open(
        bundle, engine, parity, threads=threads, check_every=check_every, device=device
    ) as separator:
        stream = separator.stream(
            sample_rate=rate,
            channels=channels,
            categories=categories,
            latency_s=latency_s,
            residual=residual,
            gain_db=gain_db,
        )
        click.echo(
            f"sgn-rt: {separator.engine.name}, latency {stream.latency_samples} samples "
            f"({stream.latency_samples / rate:.3f} s), "
            f"{channels * (len(stream.categories) + residual)} channels out",
            err=True,
        )
        _pump(stream, sys.stdin.buffer, sys.stdout.buffer, sample_format)


def _pump(stream: Stream, source: BinaryIO, sink: BinaryIO, sample_format: PcmFormat) -> None:
    frame = frame_bytes(stream.channels, sample_format)
    size = max(1, int(stream.sample_rate * BLOCK_S)) * frame
    held = b""
    read = getattr(source, "read1", source.read)  # what is there, not the whole of a block
    while data := read(size):
        held += data
        whole = len(held) - len(held) % frame
        block = decoded(held[:whole], stream.channels, sample_format)
        held = held[whole:]
        _write(sink, stream.feed(block), sample_format)
    _write(sink, stream.flush(), sample_format)
    if held:
        raise AudioError(
            f"stdin: got {len(held)} bytes after the last whole frame, expected frames of {frame} "
            f"bytes ({stream.channels} channels of {sample_format}). Check --channels and "
            "--sample-format; all whole frames were separated."
        )


def _write(sink: BinaryIO, blocks: dict[str, Float], sample_format: PcmFormat) -> None:
    sink.write(encoded(np.concatenate(list(blocks.values())), sample_format))
    sink.flush()
