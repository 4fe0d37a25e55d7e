"""What is heard of sources, as the GPU writes it: parts of windows in one format and length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float, Part, SampleFormat
from sgn_rt.tensorrt.plugins.kernels import WINDOW
from sgn_rt.tensorrt.plugins.kernels import SampleFormat as Form

_FORMS: Final[dict[SampleFormat, Form]] = {
    "float32": Form.FLOAT32,
    "float16": Form.FLOAT16,
    "int16": Form.INT16,
    "dithered-int16": Form.DITHERED_INT16,
}


def form_of(parts: Sequence[Part]) -> Form:
    """The format of a call, which is that of its first part."""
    return _FORMS[parts[0].format] if parts else Form.FLOAT32


def longest(parts: Sequence[Part]) -> int:
    """Samples that are written of every window: those of the longest part, at least one."""
    return max((part.stop - part.start for part in parts), default=1) or 1


def write_windows(records: NDArray[Any], parts: Sequence[Part], samples: int, count: int) -> None:
    """Write down where parts begin, for the GPU; ``records`` beyond them are of no interest.

    A part shorter than ``count`` samples at the end of its window begins so much earlier.
    """
    assert records.dtype == WINDOW
    starts = (min(part.start, samples - count) for part in parts)
    records[: len(parts)] = [
        (part.position, part.channel, start, part.gain)
        for part, start in zip(parts, starts, strict=True)
    ]
    records[len(parts) :] = (0, 0, 0, 1.0)


def from_windows(written: NDArray[Any], parts: Sequence[Part], samples: int) -> list[NDArray[Any]]:
    """Of each window its part, views of what was ``written`` [B, S, count]."""
    count = written.shape[-1]
    heard = []
    for of_window, part in zip(written, parts, strict=True):
        skip = part.start - min(part.start, samples - count)
        heard.append(of_window[:, skip : skip + part.stop - part.start])
    return heard


def cut_here(sources: Float, parts: Sequence[Part]) -> tuple[list[Float], NDArray[np.bool_]]:
    """The same on the host, from all of the sources [B, S, N]; and which windows are finite."""
    heard = []
    for of_window, part in zip(sources, parts, strict=True):
        cut = of_window[:, part.start : part.stop]
        heard.append(cut if part.gain == 1.0 else cut * np.float32(part.gain))
    return heard, np.array([np.isfinite(of_window).all() for of_window in sources], np.bool_)
