"""What a service does all day, in small: nothing grows, nothing is left, nothing is wrong.

What was tried at full length once (2 000 separations, 100 runs of 4 threads, an hour of blocks of
0.1 s, 35 signals) held; each is kept here at a length that a test suite can bear.
"""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sgn_rt.audio.resample import SpanResampler
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import ParityWarning
from sgn_rt.model.bundle import Bundle
from sgn_rt.streaming.windows import place

DESCRIPTORS = Path("/proc/self/fd")


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_separations_leave_nothing_behind(fake_separator, noise, traced):
    """Memory and descriptors after 100 are those after 5; threads are those of its pool."""
    others = threading.active_count()
    separator, signal = fake_separator().separator, noise(1, 4000)

    def separate(times):
        for _ in range(times):
            separator.separate(signal, ["bell"], sample_rate=8000)
        descriptors = len(os.listdir(DESCRIPTORS)) if DESCRIPTORS.exists() else 0
        return held(), descriptors

    separate(5)
    memory, descriptors = separate(5)
    more, same = separate(100)
    assert same == descriptors
    assert more - memory < 50_000
    assert threading.active_count() - others <= 2


def test_a_long_stream_of_small_blocks_is_flat(fake_separator, noise, traced):
    stream = fake_separator().separator.stream(sample_rate=8000, categories=["bell"])
    block = noise(1, 800)

    def feed(times):
        fed = sum(stream.feed(block)["bell"].shape[1] for _ in range(times))
        return held(), fed

    feed(30)
    memory, _ = feed(1)
    more, out = feed(600)
    assert out == 600 * 800
    assert more - memory < 50_000


def test_engines_that_fail_at_once_under_several_threads(
    open_fakes, fake_engine, fake_separator, config, noise
):
    """10 runs, 4 threads each: no wrong sample, and exactly two warnings."""
    signal = noise(1, 6000)
    right = fake_separator().separator.separate(signal, ["horn"], sample_rate=8000).sources["horn"]

    def failing(name, first):
        def fault(call, answer):
            if call >= first:
                raise RuntimeError("device lost")
            return answer

        return fake_engine(config, name, fault=fault, concurrency=2)

    for run in range(10):
        engines = {
            "first": failing("first", 1 + run),
            "second": failing("second", 1 + run % 3),
            "third": fake_engine(config, "third"),
        }
        with (
            open_fakes(engines) as separator,
            ThreadPoolExecutor(4) as pool,
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            jobs = [
                pool.submit(separator.separate, signal, ["horn"], sample_rate=8000)
                for _ in range(4)
            ]
            for job in jobs:
                np.testing.assert_array_equal(job.result(timeout=120).sources["horn"], right)
        assert [warning.category for warning in caught] == [ParityWarning] * 2
        assert len(separator.rejected) == 2


class Stop(BaseException):
    """As an interrupt comes: no Exception."""


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, ValueError])
def test_callbacks_that_raise_leave_nothing_and_break_nothing(
    fake_separator, noise, tmp_path, tree, error
):
    soundfile = pytest.importorskip("soundfile")
    recording = tmp_path / "clip.wav"
    soundfile.write(recording, noise(1, 9000)[0], 8000)
    separator = fake_separator().separator
    before = tree(tmp_path)
    for fatal in range(4):
        told = []

        def progress(done, told=told, fatal=fatal):
            told.append(done)
            if len(told) > fatal:
                raise error

        with pytest.raises(error):
            separator.separate_to(recording, tmp_path / "out", ["bell"], progress=progress)
        (tmp_path / "out").rmdir() if (tmp_path / "out").exists() else None
        assert tree(tmp_path) == before
    separator.separate_to(recording, tmp_path / "out", ["bell"])


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_positions_do_not_drift(config, noise, rate):
    """At sample 2^59 a span is made of the same samples, to the same bits, as at the beginning."""
    resampler = SpanResampler(rate, config.sample_rate)
    layout, _ = place(config, rate, resampler.context_s, None)
    far = 2**59 // layout.step
    far -= far % config.sample_rate  # then it is whole seconds of both rates
    shift = far * layout.step
    assert layout.start(far) - layout.start(0) == shift
    assert layout.final(far + 3) - layout.final(3) == shift
    near = resampler.source_span(4000, 5000)
    moved = resampler.source_span(4000 + shift, 5000 + shift)
    source_shift = shift * rate // config.sample_rate
    assert moved == (near[0] + source_shift, near[1] + source_shift)
    sound = noise(1, near[1] - near[0])
    np.testing.assert_array_equal(
        resampler(sound, 4000, 5000), resampler(sound, 4000 + shift, 5000 + shift)
    )


def extreme(samples: int) -> np.ndarray:
    """Windows that no recording holds, float32 and below the largest magnitude that is taken."""
    time = np.arange(samples)
    rng = np.random.default_rng(5)
    signals = [
        np.zeros(samples),
        np.full(samples, 1e-38),
        np.full(samples, -1e9),
        np.where(time % 2, 1e9, -1e9),
        np.eye(1, samples, samples // 2)[0] * 1e9,
        np.sin(time / 3.0) * 1e5,
        np.exp(np.linspace(-80, 20, samples)),
        rng.standard_normal(samples) * 1e-20,
        rng.choice([-1.0, 1.0], samples),
        np.tan(time / 7.0).clip(-1e9, 1e9),
        rng.standard_cauchy(samples).clip(-1e9, 1e9),
        np.finfo("f4").tiny * rng.standard_normal(samples),
    ]
    return np.stack(signals).astype(np.float32)


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_extreme_signals_are_finite(exported, name):
    """An engine refuses to answer with anything else: no error is the proof."""
    engine = open_engine(name, Bundle.open(exported))
    answer = engine.separate(extreme(engine.config.window_samples), np.arange(3))
    assert np.isfinite(answer.sources).all()
    assert ((answer.presence >= 0) & (answer.presence <= 1)).all()
