"""Sample-rate conversion by polyphase filters in the plugin library: design and spans.

The filter is a sinc in a Kaiser window, designed in double precision. An output is one sum over
inputs at fixed places, so that a signal in blocks gives the bits of the signal as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, gcd
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.audio.samples import without_tiny
from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.plugins.kernels import PLACE, SPAN, FilterTables

HALF_WIDTH: Final = 96
"""Samples, at the lower of both rates, that the filter reaches to either side."""

STOPBAND_DB: Final = 120.0
"""That the Kaiser window is made for, from the lower rate's Nyquist frequency on: 119 dB or more of
every alias and image are left in doubles."""

_BETA: Final = 0.1102 * (STOPBAND_DB - 8.7)  # Kaiser's formulas
_TRANSITION: Final = (STOPBAND_DB - 7.95) / (2.285 * 2 * HALF_WIDTH) / np.pi

PASSBAND: Final = 1 - _TRANSITION
"""Of the lower rate's Nyquist frequency: up to here the gain is 1 within 0.0001 dB."""

EXACT: Final = 4096
"""Largest number in the ratio of the rates for which the filter of every phase is stored. Beyond,
it lies on a line between the two nearest of as many phases a sample of the lower rate, 150 dB
below the signal; so that coefficients stay below 4 MB whatever the rates."""

_BLOCK: Final = 1 << 22
"""Products held at a time where NumPy does the work."""

LARGEST_RATE: Final = (1 << 20) - 1
"""Hz, that places of 32 bits allow."""


def response(distance: NDArray[np.float64], up: int, down: int) -> NDArray[np.float64]:
    """The filter, in double precision.

    Parameters
    ----------
    distance
        From its centre, in input samples.
    up, down
        The ratio of the rates in lowest terms.

    Returns
    -------
    ndarray
        Weights of inputs; their sum over distances one apart is 1.
    """
    scale = min(1.0, up / down)
    cutoff = scale * (1 - _TRANSITION / 2)
    inside = np.clip(1 - (distance * scale / HALF_WIDTH) ** 2, 0, None)
    window = np.where(inside > 0, np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA), 0.0)
    weights: NDArray[np.float64] = cutoff * np.sinc(cutoff * distance) * window
    return weights


@lru_cache(maxsize=16)
def tables(up: int, down: int) -> FilterTables:
    """Those of a ratio in lowest terms."""
    reach = ceil(HALF_WIDTH * max(1.0, down / up))
    taps = np.arange(1 - reach, 1 + reach, dtype=np.float64)[:, None]
    numerators = np.arange(up, dtype=np.int64) * down
    phases = (numerators % up) / up
    interpolated = max(up, down) > EXACT
    places = np.zeros(up, PLACE)
    places["first"] = numerators // up + 1 - reach
    if interpolated:
        steps = ceil(EXACT * min(1.0, up / down))
        columns = np.arange(steps + 1) / steps
        places["column"], places["weight"] = phases * steps, phases * steps % 1
    else:
        columns = phases
        places["column"] = np.arange(up)
    coefficients = response(taps - columns, up, down).astype(np.float32)
    return FilterTables(up, down, coefficients, places, interpolated, reach)


class Launcher(Protocol):
    """Runs the kernel on arrays of the host, wherever it does."""

    def __call__(
        self, filter_: FilterTables, source: Float, span: NDArray[Any], count: int
    ) -> Float:
        """`count` outputs of every row of ``source``."""
        ...


def without_kernel(filter_: FilterTables, source: Float, span: NDArray[Any], count: int) -> Float:
    """As `Launcher`, in NumPy, where a device is lost: the same sums in another order."""
    taps = len(filter_.coefficients)
    signal = np.lib.stride_tricks.sliding_window_view(
        np.pad(source, ((0, 0), (taps, taps))), taps, axis=1
    )
    out = np.empty((len(source), count), np.float32)
    block = max(1, _BLOCK // (len(source) * taps))
    for begin in range(0, count, block):
        outputs = int(span["output"][0]) + np.arange(begin, min(begin + block, count))
        period, phase = np.divmod(outputs, filter_.up)
        place = filter_.places[phase]
        weights = filter_.coefficients[:, place["column"]]
        if filter_.interpolated:
            following = filter_.coefficients[:, place["column"] + 1]
            weights = weights + place["weight"] * (following - weights)
        first = int(span["input"][0]) + period * filter_.down + place["first"] + taps
        np.einsum("rot,to->ro", signal[:, first], weights, out=out[:, begin : begin + len(first)])
    return without_tiny(out)


@dataclass(frozen=True, slots=True)
class PolyphaseResampler:
    """`sgn_rt.audio.resample.Resampler` by the kernel: joined spans equal the whole in every bit.

    Attributes
    ----------
    source_rate, target_rate
        Hz, up to `LARGEST_RATE`.
    launch
        What the work is done through.

    Raises
    ------
    EngineError
        For other rates.
    """

    at_once: ClassVar[bool] = True

    source_rate: int
    target_rate: int
    launch: Launcher

    def __post_init__(self) -> None:
        for rate in (self.source_rate, self.target_rate):
            if not 0 < rate <= LARGEST_RATE:
                raise EngineError(
                    f"sample rate: got {rate}, expected 1 to {LARGEST_RATE} Hz. "
                    "Convert the recording before."
                )

    @property
    def ratio(self) -> Fraction:
        """Target samples per source sample."""
        return Fraction(self.target_rate, self.source_rate)

    @property
    def filter(self) -> FilterTables:
        """What converts between these rates."""
        common = gcd(self.source_rate, self.target_rate)
        return tables(self.target_rate // common, self.source_rate // common)

    @property
    def context_s(self) -> Fraction:
        """Seconds of signal needed beyond either end of a span; 0 where both rates are one."""
        if self.source_rate == self.target_rate:
            return Fraction(0)
        return Fraction(self.filter.reach, self.source_rate)

    def source_span(self, start: int, stop: int) -> tuple[int, int]:
        """Source samples that the target samples ``[start, stop)`` are made of, no more."""
        if self.source_rate == self.target_rate:
            return start, stop
        up, down, reach = self.filter.up, self.filter.down, self.filter.reach
        first, last = start * down // up, max(start, stop - 1) * down // up
        return first + 1 - reach, last + 1 + reach

    def span(self, start: int, first: int) -> NDArray[Any]:
        """Where in the filter's period a span lies, for the kernel.

        Parameters
        ----------
        start
            Its first target sample.
        first
            The source's sample that the memory given begins with.

        Returns
        -------
        ndarray
            shape = (1,), `SPAN`.
        """
        period, output = divmod(start, self.filter.up)
        return np.array([(output, period * self.filter.down - first)], SPAN)

    def __call__(self, source: Float, start: int, stop: int) -> Float:
        """As `sgn_rt.audio.resample.Resampler`."""
        source = np.ascontiguousarray(source)
        if self.source_rate == self.target_rate:
            return source
        first, _ = self.source_span(start, stop)
        return self.launch(self.filter, source, self.span(start, first), stop - start)
