"""Conversion of spans against one conversion of the whole by soxr."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import gcd

import numpy as np
import pytest
import soxr

from sgn_rt.audio.resample import CONTEXT, SpanResampler

PAIRS = [
    (8000, 11025), (11025, 8000), (44100, 11025), (11025, 44100), (48000, 11025), (44099, 11025),
    (11025, 44099), (192000, 11025), (11025, 192000), (96000, 16000), (8000, 7999), (1000, 11025),
]  # fmt: skip


def rms(x):
    return np.sqrt(np.mean(np.square(x, dtype=np.float64)))


def convert(resample, signal, cuts):
    """Join the spans between ``cuts``; the signal is zero outside of itself."""
    parts = []
    for start, stop in pairwise(cuts):
        low, high = resample.source_span(start, stop)
        span = np.zeros((len(signal), high - low), np.float32)
        inside = slice(max(low, 0), min(high, signal.shape[1]))
        if inside.start < inside.stop:
            span[:, inside.start - low : inside.stop - low] = signal[:, inside]
        parts.append(resample(span, start, stop))
        assert parts[-1].shape == (len(signal), stop - start)
        assert parts[-1].dtype == np.float32
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_joined_spans_are_one_conversion(source, target, tolerance):
    rng = np.random.default_rng(source + target)
    signal = (0.3 * rng.standard_normal((2, 2 * source))).clip(-1, 1).astype(np.float32)
    resample = SpanResampler(source, target)
    length = 2 * target
    cuts = sorted({0, length, 1, *rng.integers(0, length, 6).tolist()})
    joined = convert(resample, signal, cuts)
    whole = soxr.resample(signal.T.astype("f8"), source, target, quality="VHQ").T
    hq = soxr.resample(signal.T, source, target, quality="HQ").T
    # Away from the ends: there it is a matter of what lies beyond the signal.
    inside = slice(4 * CONTEXT, length - 4 * CONTEXT)
    assert rms((joined - hq)[:, inside]) <= tolerance["seam"]
    assert np.abs(joined - hq)[:, inside].max() <= tolerance["seam_peak"]
    # The test can tell: soxr's best setting is another filter, and far off by this measure.
    assert rms((joined - whole[:, :length])[:, inside]) > 10 * tolerance["seam"]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_span_begins_on_a_sample_of_both_rates_with_all_its_context(source, target):
    resample = SpanResampler(source, target)
    context, ratio = resample.context_s, Fraction(target, source)
    for start in (-(10**6) - 1, -1, 0, 1, 77, 10**5 + 3, 10**12 + 7):
        for count in (0, 1, 1000):
            low, high = resample.source_span(start, start + count)
            assert (low * ratio).denominator == 1
            missing = Fraction(start, target) - context - Fraction(low, source)
            assert 0 <= missing < Fraction(1, gcd(source, target)), "less than a common period"
            beyond = Fraction(high, source) - Fraction(start + count, target) - context
            assert 0 <= beyond < Fraction(1, source)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_span_is_the_same_whatever_its_neighbours(source, target, tolerance):
    rng = np.random.default_rng(1)
    signal = (0.3 * rng.standard_normal((1, 2 * source))).clip(-1, 1).astype(np.float32)
    resample = SpanResampler(source, target)
    first = convert(resample, signal, [0, target // 3, target])
    second = convert(resample, signal, [0, target // 2, target // 2 + 1, target])
    assert rms(first - second) <= tolerance["seam"]
    assert np.abs(first - second).max() <= tolerance["seam_peak"]


def test_a_tone_keeps_its_phase():
    resample = SpanResampler(44099, 11025)
    seconds = np.arange(44099 * 2) / 44099
    signal = np.sin(2 * np.pi * 1000 * seconds).astype(np.float32)[None]
    out = convert(resample, signal, [0, 5000, 22050])[0, 500:-500]
    expected = np.sin(2 * np.pi * 1000 * np.arange(22050) / 11025)[500:-500]
    np.testing.assert_allclose(out, expected, atol=2e-5)


def test_equal_rates_change_nothing():
    resample = SpanResampler(8000, 8000)
    signal = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert resample.source_span(2, 5) == (2, 5)
    assert resample.context_s == 0
    np.testing.assert_array_equal(resample(signal[:, 2:5], 2, 5), signal[:, 2:5])


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_spans_hold_their_context_and_whole_samples(source, target):
    resample = SpanResampler(source, target)
    for start, stop in ((0, 0), (0, 1), (1, 700), (target, 3 * target)):
        low, high = resample.source_span(start, stop)
        context = Fraction(CONTEXT, min(source, target))
        assert Fraction(low, source) <= Fraction(start, target) - context
        assert Fraction(high, source) >= Fraction(stop, target) + context
        assert low * target % source == 0, "begins on a sample of both rates"
