"""Sample-rate conversion by the kernel: against SciPy with the same filter, sines, and soxr."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from sgn_rt.audio.resample import CONTEXT, SpanResampler
from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.plugins.kernels import SPAN, Kernels
from sgn_rt.tensorrt.plugins.polyphase import (
    EXACT,
    LARGEST_RATE,
    PASSBAND,
    PolyphaseResampler,
    response,
    tables,
    without_kernel,
)

from .harness import Host, HostLauncher

MODEL = 11025
PAIRS = [
    (44100, MODEL), (MODEL, 44100), (48000, MODEL), (MODEL, 48000), (16000, MODEL), (8000, MODEL),
    (48000, 44100), (44100, 16000), (192000, MODEL), (MODEL, 192000), (44099, MODEL),
    (MODEL, 44099), (1000, MODEL), (8000, 7999),
]  # fmt: skip
LIMIT_DB = -100.0


@pytest.fixture
def launch(host: Host, host_library: Path):
    return HostLauncher(Kernels(host_library))


def converted(resample: PolyphaseResampler, signal: np.ndarray, cuts) -> np.ndarray:
    """The spans between ``cuts``, joined; the signal is zero outside of itself."""
    parts = []
    for start, stop in pairwise(cuts):
        low, high = resample.source_span(start, stop)
        span = np.zeros((len(signal), high - low), np.float32)
        inside = slice(max(low, 0), min(high, signal.shape[1]))
        if inside.start < inside.stop:
            span[:, inside.start - low : inside.stop - low] = signal[:, inside]
        parts.append(resample(span, start, stop))
        assert (parts[-1].shape, parts[-1].dtype) == ((len(signal), stop - start), np.float32)
    return np.concatenate(parts, axis=1)


def noise(channels: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(samples)
    return (0.3 * rng.standard_normal((channels, samples))).clip(-1, 1).astype(np.float32)


def rms_db(error: np.ndarray, reference: np.ndarray) -> float:
    """In dB, of all samples."""
    return float(10 * np.log10(np.mean(error**2) / np.mean(reference**2) + 1e-30))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_blocks_equal_the_whole_in_every_bit(launch, source, target):
    resample = PolyphaseResampler(source, target, launch)
    signal = noise(2, max(800, 4000 * source // target))
    length = 4000
    whole = converted(resample, signal, [0, length])
    rng = np.random.default_rng(source)
    for cuts in ([0, 1, 2, 3, length], sorted({0, length, *rng.integers(0, length, 9).tolist()})):
        np.testing.assert_array_equal(converted(resample, signal, cuts), whole)
    # Somewhere in a long stream: the same samples where both rates come together again.
    far = 123_457
    low, high = resample.source_span(0, length)
    span = np.zeros((2, high - low), np.float32)
    span[:, -low:] = (
        signal[:, :high]
        if high <= signal.shape[1]
        else np.pad(signal, ((0, 0), (0, high - signal.shape[1])))
    )
    start = far * resample.filter.up
    assert resample.source_span(start, start + length)[0] - low == far * resample.filter.down
    np.testing.assert_array_equal(resample(span, start, start + length), whole)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_numpy_takes_over_where_the_kernel_stops(launch, source, target):
    signal = noise(3, max(800, 1000 * source // target))
    by_kernel = converted(PolyphaseResampler(source, target, launch), signal, [0, 40, 1000])
    by_numpy = converted(PolyphaseResampler(source, target, without_kernel), signal, [0, 1, 1000])
    # Float32 sums of a few hundred products in another order.
    np.testing.assert_allclose(by_numpy, by_kernel, atol=2e-6)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_equals_scipy_in_double_precision(launch, source, target):
    """With the same filter: what is left are float32 coefficients, sums, steps of columns."""
    resample = PolyphaseResampler(source, target, launch)
    up, down, reach = resample.filter.up, resample.filter.down, resample.filter.reach
    signal = noise(1, max(400, 2000 * source // target))
    got = converted(resample, signal, [0, signal.shape[1] * up // down])[0]
    prototype = response(np.arange(-reach * up, reach * up + 1) / up, up, down)
    expected = resample_poly(signal[0].astype(np.float64), up, down, window=prototype / up)
    assert rms_db(got - expected[: len(got)], expected) < -118
    assert np.abs(got - expected[: len(got)]).max() < 2e-6


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_tones_keep_level_and_phase_and_cast_no_image(launch, source, target):
    """Against the analytic sine: all that is left, images included, lies below the limit."""
    resample = PolyphaseResampler(source, target, launch)
    edge = PASSBAND * min(source, target) / 2
    count, skip = 3000, 2 * resample.filter.reach * target // source + 2
    seconds = np.arange(source * (count + 2 * skip) // target + 1) / source
    at = (np.arange(count) + skip) / target
    for frequency in (0.011 * edge, 0.4 * edge, 0.999 * edge):
        signal = np.sin(2 * np.pi * frequency * seconds).astype(np.float32)[None]
        expected = np.sin(2 * np.pi * frequency * at)
        got = converted(resample, signal, [skip, skip + count])[0]
        assert rms_db(got - expected, expected) < LIMIT_DB - 10, frequency
        gain = 20 * np.log10(got @ expected / (expected @ expected))
        assert abs(gain) < 1e-4, "ripple"


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_what_lies_above_the_new_nyquist_frequency_is_gone(launch, source, target):
    resample = PolyphaseResampler(source, target, launch)
    skip = 4 * CONTEXT
    samples = source * (2000 + skip) // target
    seconds = np.arange(samples) / source
    for frequency in {target / 2 * 1.0005, min(target * 0.75, source / 2), source * 0.4999}:
        if target / 2 < frequency < source / 2:
            signal = np.sin(2 * np.pi * frequency * seconds + 0.3).astype(np.float32)[None]
            out = converted(resample, signal, [skip, 2000])[0]
            assert rms_db(out, signal) < LIMIT_DB - 10, frequency


@pytest.mark.parametrize("band", [0.5, 0.9])
@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if min(pair) >= 8000])
def test_beside_soxr(launch, source, target, band):
    """Where soxr's HQ is flat, one is the other; above, it falls by 0.007 dB, and ours does not."""
    resample = PolyphaseResampler(source, target, launch)
    rng = np.random.default_rng(5)
    count, skip = 3000, 4 * CONTEXT * target // min(source, target)
    tones = rng.uniform(20, band * min(source, target) / 2, 40)
    phases = rng.uniform(0, 6, 40)

    def music(rate: int, samples: int) -> np.ndarray:
        time = np.arange(samples)[:, None] / rate
        return np.sin(2 * np.pi * tones * time + phases).sum(1) / 40

    signal = music(source, (count + 2 * skip) * source // target + 1).astype(np.float32)[None]
    truth = music(target, count + skip)[skip:]
    ours = converted(resample, signal, [skip, skip + count])[0]
    theirs = converted(SpanResampler(source, target), signal, [skip, skip + count])[0]
    assert rms_db(ours - truth, truth) < LIMIT_DB - 15
    assert rms_db(ours - theirs, truth) < (LIMIT_DB if band == 0.5 else -70)


@pytest.mark.parametrize(("source", "target"), [(44100, MODEL), (MODEL, 44099)])
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 11])
def test_windows_of_different_streams_together(host, host_library, source, target, rows):
    """Each with its own place: the bits that it has alone; memory of exactly the size needed."""
    kernels = Kernels(host_library)
    resample = PolyphaseResampler(source, target, HostLauncher(kernels))
    filter_ = resample.filter
    count, samples = 300, 300 * source // target + 2 * filter_.reach
    signal = noise(3 * rows, samples).reshape(3, rows, samples)
    firsts = [resample.source_span(start, start + count)[0] for start in (0, 777, 10**7)]
    # The last one's memory begins late: what lies before is zero.
    spans = np.concatenate(
        [resample.span(start, first + extra) for start, first, extra in
         zip((0, 777, 10**7), firsts, (0, 0, 50), strict=True)]
    )  # fmt: skip
    with ExitStack() as stack:
        addresses = []
        for array in (signal, spans, filter_.coefficients, filter_.places):
            address, view = stack.enter_context(host.memory(array.nbytes))
            view[...] = np.ascontiguousarray(array).view(np.uint8).ravel()
            addresses.append(address)
        out, view = stack.enter_context(host.memory(3 * rows * count * 4))
        kernels.resample(
            source=addresses[0], spans=addresses[1], out=out, coefficients=addresses[2],
            places=addresses[3], shape=signal.shape, count=count, filter_=filter_, stream=0,
        )  # fmt: skip
        got = view.view(np.float32).reshape(3, rows, count).copy()
    for window, (start, extra) in enumerate(((0, 0), (777, 0), (10**7, 50))):
        low, high = resample.source_span(start, start + count)
        padded = np.zeros((rows, high - low), np.float32)
        room = high - low - extra
        padded[:, extra:] = signal[window, :, :room]
        for row in range(rows):
            alone = resample(padded[row : row + 1], start, start + count)
            np.testing.assert_array_equal(got[window, row], alone[0])


def test_what_is_far_too_soft_is_zero(launch):
    resample = PolyphaseResampler(8000, 16000, launch)
    low, high = resample.source_span(0, 64)
    assert not resample(np.full((1, high - low), 1e-27, np.float32), 0, 64).any()


def test_equal_rates_change_nothing(launch):
    resample = PolyphaseResampler(8000, 8000, launch)
    signal = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert (resample.source_span(2, 5), resample.context_s) == ((2, 5), 0)
    np.testing.assert_array_equal(resample(signal[:, 2:5], 2, 5), signal[:, 2:5])


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_spans_hold_what_is_needed_and_no_more(source, target):
    """No more than soxr's spans, too: a stream's latency does not grow."""
    resample = PolyphaseResampler(source, target, lambda *_: None)
    assert resample.context_s <= Fraction(CONTEXT, min(source, target))
    for start, stop in ((0, 1), (1, 700), (target, 3 * target), (-50, 7)):
        low, high = resample.source_span(start, stop)
        assert Fraction(start, target) - resample.context_s < Fraction(low, source)
        assert Fraction(high - 1, source) <= Fraction(stop - 1, target) + resample.context_s
        assert resample.filter.places["first"][start % resample.filter.up] == low - (
            start // resample.filter.up * resample.filter.down
        )
    assert resample.source_span(5, 5)[0] <= 5 * source // target


def test_tables_are_small_whatever_the_rates():
    """Every phase of usual ratios; steps between them for all others."""
    assert not tables(147, 2560).interpolated
    assert not tables(640, 147).interpolated
    for up, down in ((44099, MODEL), (MODEL, 44099), (EXACT + 1, 2)):
        filter_ = tables(up, down)
        assert filter_.interpolated
        assert filter_.coefficients.nbytes < 4 << 20


@pytest.mark.parametrize("rate", [0, -1, LARGEST_RATE + 1])
def test_rates_beyond_are_refused(rate):
    for rates in ((rate, MODEL), (MODEL, rate)):
        with pytest.raises(EngineError, match=f"sample rate: got {rate}, expected 1 to"):
            PolyphaseResampler(*rates, lambda *_: None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": 2}, {"spans": 2}, {"coefficients": 2}, {"places": 8}, {"out": 2}, {"count": -1},
        {"shape": (1, 1, -1)}, {"count": 1 << 30}, {"shape": (1 << 20, 1 << 20, 64)},
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(host_library, wrong):
    right = {
        "source": 256, "spans": 256, "out": 256, "coefficients": 256, "places": 256,
        "shape": (0, 1, 64), "count": 64, "filter_": tables(1, 4), "stream": 0,
    }  # fmt: skip
    kernels = Kernels(host_library)
    kernels.resample(**right)
    assert SPAN.itemsize == 8
    with pytest.raises(EngineError, match=r"resampling of .* samples by 1/4: got"):
        kernels.resample(**right | wrong)
