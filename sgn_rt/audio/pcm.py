"""Raw PCM: samples as interleaved bytes and back; one coding for the shell and for the network."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.errors import ConfigError

PcmFormat: TypeAlias = Literal["s16le", "f32le"]
"""FFmpeg's names: 16 bit integers, or float32, both little-endian."""

PCM_FORMATS: Final[tuple[PcmFormat, ...]] = get_args(PcmFormat)

_INT16_SCALE = 32768.0


def checked_pcm_format(name: object) -> PcmFormat:
    """The format.

    Raises
    ------
    ConfigError
        If it is none of those that there are.
    """
    for known in PCM_FORMATS:
        if isinstance(name, str) and name == known:
            return known
    raise ConfigError(
        f"sample format: got {name!r:.40}, expected {' or '.join(PCM_FORMATS)}. Choose one of them."
    )


def frame_bytes(channels: int, sample_format: PcmFormat) -> int:
    """Bytes of one sample of every channel."""
    return channels * (2 if sample_format == "s16le" else 4)


def decoded(data: bytes | memoryview, channels: int, sample_format: PcmFormat) -> Float:
    """Whole frames of bytes as samples, shape = (channels, samples), float32, full scale 1."""
    if sample_format == "s16le":
        samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(_INT16_SCALE)
    else:
        samples = np.frombuffer(data, "<f4").astype(np.float32)
    return samples.reshape(-1, channels).T


def encoded(samples: Float, sample_format: PcmFormat) -> bytes:
    """Samples, shape = (channels, samples), as interleaved bytes; s16le clips at full scale."""
    coded: NDArray[Any] = samples.T
    if sample_format == "s16le":
        steps = np.rint(coded * _INT16_SCALE)
        coded = np.clip(steps, -_INT16_SCALE, _INT16_SCALE - 1).astype("<i2")
    else:
        coded = coded.astype("<f4")
    return coded.tobytes()
