"""Streams beside an engine on a GPU: sample rates are converted there, whole and on time."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from sgn_rt.audio.resample import SpanResampler
from sgn_rt.engines.guarded import GuardedEngine
from sgn_rt.engines.tensorrt_engine import TensorRTEngine
from sgn_rt.errors import ConfigError
from sgn_rt.parity.service import Service
from sgn_rt.separator import Separator
from sgn_rt.streaming.presence import PresenceRule
from sgn_rt.streaming.settings import StreamSettings
from sgn_rt.streaming.stream import Stream
from sgn_rt.tensorrt.plugins.polyphase import LARGEST_RATE, PolyphaseResampler

from .fakes import SHARES

LENGTH = 30_011


@pytest.fixture
def engine(bundle, pair):
    engine = TensorRTEngine("tensorrt", bundle, pair)
    yield engine
    engine.close()


@pytest.fixture
def make_stream(engine, config, pool):
    guarded = GuardedEngine(["tensorrt"], lambda _: engine, lambda _: None, "off")

    def make(rate: int, channels: int = 2, latency_s: float | None = None) -> Stream:
        settings = StreamSettings.of(
            guarded, config, sample_rate=rate, channels=channels,
            categories=config.categories[:2], rule=PresenceRule.of(config), latency_s=latency_s,
        )  # fmt: skip
        return Stream(guarded, pool, settings)

    return make


@pytest.fixture
def sound():
    """Below 2 kHz, which every rate here carries, as float32."""
    rng = np.random.default_rng(5)

    def make(rate: int) -> np.ndarray:
        at = np.arange(LENGTH) / rate
        waves = [np.sin(2 * np.pi * (hz * at + p)) for hz, p in rng.uniform(100, 2000, (8, 2))]
        return np.stack([sum(waves[:4]), sum(waves[4:])]).astype(np.float32) / 8

    return make


def through(stream: Stream, sound: np.ndarray, *cuts: int) -> dict[str, np.ndarray]:
    """All that comes out of blocks between cuts, each as soon as it is promised."""
    parts, fed = [], 0
    for block in np.split(sound, cuts, axis=1):
        parts.append(stream.feed(block))
        fed += block.shape[1]
        out = sum(part[stream.categories[0]].shape[1] for part in parts)
        assert out == max(0, fed - stream.latency_samples), "not on time"
    parts.append(stream.flush())
    return {name: np.concatenate([part[name] for part in parts], 1) for name in stream.categories}


@pytest.mark.parametrize("rate", [44100, 48000, 16000, 7999])
def test_a_stream_is_its_input_s_share_whatever_the_blocks(make_stream, sound, device, rate):
    given = sound(rate)
    whole = through(make_stream(rate), given)
    assert device.counts["resample"] > 0
    blocks = through(make_stream(rate), given, 1, 700, 701, 9000, 29_999)
    inner = slice(rate // 20, LENGTH - rate // 20)  # a window mirrors what lies beyond the ends
    for share, name in zip(SHARES, whole, strict=False):
        assert whole[name].shape == given.shape
        np.testing.assert_array_equal(blocks[name], whole[name])
        # Twice through a filter whose stop band is at -119 dB, and float32.
        np.testing.assert_allclose(whole[name][:, inner], share * given[:, inner], atol=2e-6)


def test_all_sources_go_there_together(make_stream, sound, device):
    stream = make_stream(44100)
    through(stream, sound(44100))
    windows = sum(stream.engines.values()) // 2
    # The input once, and the sources once, for each window and the end: not each source alone.
    assert windows < device.counts["resample"] <= 2 * (windows + 1)


@pytest.mark.parametrize("rate", [44100, 11025])
def test_latency_is_exact(make_stream, sound, rate):
    stream = make_stream(rate, latency_s=0.1)
    assert stream.latency_samples <= 0.1 * rate
    through(stream, sound(rate), *range(13, LENGTH, 997))


@pytest.mark.parametrize("rate", [8000, 44100, 1000])
def test_the_least_latency_is_that_of_the_gpu_s_filters(bundle, engine, rate):
    service = Service(bundle, "tensorrt", "off", None, None, opened=engine)
    separator = Separator(bundle, service, threads=1)
    least = separator.least_latency_s(rate)
    stream = separator.stream(sample_rate=rate, latency_s=least)
    assert stream.latency_samples == round(least * rate)
    with pytest.raises(ConfigError, match="expected at least"):
        separator.stream(sample_rate=rate, latency_s=least - 2 / rate)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_gpu_that_fails_to_convert_costs_no_sample(make_stream, sound, device, caplog, number):
    given = sound(44100)
    whole = through(make_stream(44100), given)
    device.fail["resample"] = device.counts["resample"] + number
    with caplog.at_level(logging.WARNING):
        again = through(make_stream(44100), given, 5000, 20_000)
    assert caplog.text.count("sample rates are converted by the CPU from here on") == 1
    for name in whole:
        np.testing.assert_allclose(again[name], whole[name], atol=2e-6)


def test_who_hears_of_the_failure_may_close_the_engine(engine, device):
    class Closing(logging.Handler):
        def emit(self, record):
            engine.close()

    convert, handler = engine.resampler(8000, 11025), Closing()
    low, high = convert.source_span(0, 100)
    given, heard = np.ones((1, high - low), np.float32), []
    device.fail["resample"] = 1
    logger = logging.getLogger("sgn_rt.tensorrt.run.resampling")
    logger.addHandler(handler)
    try:
        work = threading.Thread(target=lambda: heard.append(convert(given, 0, 100)), daemon=True)
        work.start()
        work.join(60)
    finally:
        logger.removeHandler(handler)
    assert [samples.shape for samples in heard] == [(1, 100)]


def test_a_stream_outlives_its_engine_s_memory(engine, nothing_left):
    convert = engine.resampler(8000, 11025)
    low, high = convert.source_span(0, 100)
    given = np.ones((1, high - low), np.float32)
    before = convert(given, 0, 100)
    engine.close()
    np.testing.assert_allclose(convert(given, 0, 100), before, atol=1e-6)
    assert nothing_left() == {}


def test_soxr_where_there_is_no_library_or_no_such_rate(bundle, whole, engine):
    assert isinstance(engine.resampler(48000, 11025), PolyphaseResampler)
    assert isinstance(engine.resampler(LARGEST_RATE + 1, 11025), SpanResampler)
    plain = TensorRTEngine("tensorrt", bundle, whole)
    assert isinstance(plain.resampler(48000, 11025), SpanResampler)
    plain.close()
