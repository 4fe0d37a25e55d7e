"""Recordings encoded as programs in the field encode them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

ENCODED = {
    "m4a": ("aac", {}),
    "mp4": ("aac", {"movflags": "faststart"}),
    "alac.m4a": ("alac", {"movflags": "faststart"}),
    "webm": ("libopus", {}),
    "vorbis.webm": ("vorbis", {}),
    "mka": ("flac", {}),
    "mkv": ("flac", {}),
    "wma": ("wmav2", {}),
    "aac": ("aac", {}),
    "ac3": ("ac3", {}),
    "ts": ("aac", {}),
    "flac.ogg": ("flac", {}),
    "opus.ogg": ("libopus", {}),
    "lame.mp3": ("libmp3lame", {}),
    "untold.mp3": ("libmp3lame", {"write_xing": "0"}),
}
"""Kind: codec, options of the container."""

Encode = Callable[..., Path]


@pytest.fixture(scope="session")
def tones() -> Callable[[int, int, int], np.ndarray]:
    """A tone in each channel, shape = (channels, samples), float32: survives any codec."""

    def make(channels: int, samples: int, rate: int) -> np.ndarray:
        hertz = 300.0 * (1 + np.arange(channels))[:, None]
        slow = 0.15 + 0.1 * np.sin(np.arange(samples) / 3000.0)
        return (slow * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.float32)

    return make


@pytest.fixture
def encode(tmp_path, tones) -> Encode:
    """Encode tones: ``encode("m4a")``; ``variable`` for bit rates that follow the sound."""
    av = pytest.importorskip("av")

    def write(
        kind: str,
        channels: int = 2,
        rate: int = 48000,
        samples: int = 60_000,
        *,
        sound: np.ndarray | None = None,
        variable: bool = False,
        film: bool = False,
    ) -> Path:
        codec, options = ENCODED[kind]
        path = tmp_path / f"sound.{kind}"
        sound = tones(channels, samples, rate) if sound is None else sound
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            if film:
                _add_pictures(av, container, 3 * samples // rate)
            stream.bit_rate = 128_000
            if codec == "vorbis":
                stream.codec_context.options = {"strict": "experimental"}
            if variable:
                if not hasattr(stream.codec_context, "global_quality"):
                    pytest.skip("PyAV before 15 encodes no variable bit rate")
                stream.codec_context.flags |= av.codec.context.Flags.qscale
                stream.codec_context.global_quality = 4 * 118
            given = av.AudioFrame.from_ndarray(sound, format="fltp", layout=layout)
            given.sample_rate, given.pts = rate, 0
            form = stream.codec_context.codec.audio_formats[0]
            convert = av.AudioResampler(format=form, layout=layout, rate=rate)
            for frame in convert.resample(given):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


def _add_pictures(av, container, seconds: int) -> None:
    """A black film that goes on after its sound."""
    stream = container.add_stream("mjpeg", rate=5)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
    for number in range(5 * seconds):
        frame = av.VideoFrame(32, 32, "yuvj420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = number, Fraction(1, 5)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


@pytest.fixture
def without_av(monkeypatch) -> Callable[[], None]:
    """Call it, and PyAV is not installed."""

    def hide() -> None:
        monkeypatch.setitem(sys.modules, "av", None)

    return hide


@pytest.fixture
def cut() -> Callable[[Path, float], Path]:
    """Leave a share of a file."""

    def shorten(path: Path, share: float) -> Path:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        return path

    return shorten
