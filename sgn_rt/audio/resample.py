"""Sample-rate conversion of any span of a signal: a span always gives the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sgn_rt.audio.samples import without_tiny

QUALITY = "HQ"
CONTEXT = 128
"""Samples, at the lower of both rates, on either side of a span: soxr's HQ filter has decayed below
-130 dB of full scale there (measured over 8 to 192 kHz), so that spans join without a seam."""


class Resampler(Protocol):
    """Converts spans of a signal that is zero outside what is given; safe in several threads."""

    at_once: ClassVar[bool]
    """Whether signals are best converted in one call, or else each in a thread of its own."""

    @property
    def ratio(self) -> Fraction:
        """Target samples per source sample."""
        ...

    @property
    def context_s(self) -> Fraction:
        """Seconds of signal needed beyond either end of a span; 0 where both rates are one."""
        ...

    def source_span(self, start: int, stop: int) -> tuple[int, int]:
        """Source samples that the target samples ``[start, stop)`` are made of."""
        ...

    def __call__(self, source: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """Target samples ``[start, stop)``.

        Parameters
        ----------
        source
            Exactly the samples of `source_span`, zeros where there is no signal,
            shape = (channels, samples), float32.

        Returns
        -------
        ndarray
            shape = (channels, stop - start), float32, C-contiguous.
        """
        ...


@dataclass(frozen=True, slots=True)
class SpanResampler:
    """`Resampler` by soxr.

    A streaming converter's output comes in bursts that depend on how it is fed. Converting each
    span on its own, with enough context, has an exact delay, no state, and one result whatever the
    blocks were.

    Attributes
    ----------
    source_rate, target_rate
        Hz.
    """

    at_once: ClassVar[bool] = False

    source_rate: int
    target_rate: int

    @property
    def ratio(self) -> Fraction:
        """Target samples per source sample."""
        return Fraction(self.target_rate, self.source_rate)

    @property
    def context_s(self) -> Fraction:
        """Seconds of signal needed beyond either end of a span; 0 where both rates are one."""
        if self.source_rate == self.target_rate:
            return Fraction(0)
        return Fraction(CONTEXT, min(self.source_rate, self.target_rate))

    def source_span(self, start: int, stop: int) -> tuple[int, int]:
        """Source samples that the target samples ``[start, stop)`` are made of."""
        if self.source_rate == self.target_rate:
            return start, stop
        source, target = self.source_rate, self.target_rate
        # Both ends of the conversion must fall on whole samples of both rates, or phases differ.
        # A period of both is `step` samples of the source, `period` of the target. In integers:
        # a live stream asks this for every block, and fractions take twenty times as long.
        common, lower = gcd(source, target), min(source, target)
        step, period = source // common, target // common
        first = (start * lower - CONTEXT * target) // (lower * period) * step
        return first, -(-(stop * lower + CONTEXT * target) * source // (lower * target))

    def __call__(self, source: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
        """As `Resampler`."""
        if self.source_rate == self.target_rate:
            return np.ascontiguousarray(source)
        first, _ = self.source_span(start, stop)
        skip = start - first * self.target_rate // self.source_rate
        import soxr  # engines know this class also where nothing is converted and soxr is not there

        converted = soxr.resample(
            np.ascontiguousarray(source.T), self.source_rate, self.target_rate, quality=QUALITY
        )
        return without_tiny(np.array(converted[skip : skip + stop - start].T, order="C"))


def at_rate(signal: NDArray[np.float32], source_rate: int, target_rate: int) -> NDArray[np.float32]:
    """All of a signal, shape = (samples,), at another rate, Hz."""
    resample = SpanResampler(source_rate, target_rate)
    length = int(len(signal) * resample.ratio)
    start, stop = resample.source_span(0, length)
    span = np.zeros((1, stop - start), np.float32)
    kept = signal[:stop]
    span[0, -start : -start + len(kept)] = kept
    converted: NDArray[np.float32] = resample(span, 0, length)[0]
    return converted
