"""The engine's two steps on a fake device: what runs when, what stays there, what is shared."""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sgn_rt._types import Part
from sgn_rt.engines.guarded import GuardedEngine
from sgn_rt.engines.tensorrt import engine_of
from sgn_rt.engines.tensorrt_engine import TensorRTEngine
from sgn_rt.errors import ConfigError, EngineError, ParityWarning
from sgn_rt.model.contract import Kind
from sgn_rt.streaming import rounds
from sgn_rt.streaming.finder import FindingStream
from sgn_rt.streaming.presence import PresenceRule
from sgn_rt.streaming.settings import StreamSettings
from sgn_rt.streaming.stream import Stream
from sgn_rt.tensorrt.plugins.kernels import Kernels
from sgn_rt.tensorrt.run.options import RunOptions

from .fakes import PRESENCE, SHARES

ALL = np.arange(3)
NONE = np.empty(0, np.int64)


@pytest.fixture
def make_engine(bundle):
    return lambda model, **options: TensorRTEngine("tensorrt", bundle, model, RunOptions(**options))


@pytest.fixture
def engine(make_engine, pair):
    return make_engine(pair)


@pytest.fixture
def windows(config):
    rng = np.random.default_rng(3)
    return lambda count: rng.standard_normal((count, config.window_samples), np.float32)


@pytest.fixture
def ran(module):
    """What has been given to a stream since it was last asked."""

    def since() -> Counter[Kind]:
        kinds = Counter(kind for kind, _, _ in module.executed)
        module.executed.clear()
        return kinds

    return since


def check(heard, windows, categories, parts):
    for rows, window, part in zip(heard, windows, parts, strict=True):
        cut = window[part.start : part.stop]
        np.testing.assert_array_equal(rows, cut * SHARES[list(categories)][:, None])


def test_presence_comes_first_and_only_what_is_chosen_is_synthesised(engine, windows, ran):
    mixture = windows(3)
    analyses = engine.analyze(mixture)
    np.testing.assert_array_equal([each.presence for each in analyses], [PRESENCE] * 3)
    assert ran() == {Kind.PLUGIN: 1}
    parts = [Part(10 * row, 500) for row in range(3)]
    check(engine.hear(analyses, np.array([1]), parts), mixture, [1], parts)
    assert ran() == {Kind.SYNTHESIS: 1}
    np.testing.assert_array_equal(
        engine.synthesize(analyses[2], np.array([2, 0])), mixture[2] * SHARES[[2, 0]][:, None]
    )
    assert ran() == {Kind.SYNTHESIS: 1}
    assert [rows.shape for rows in engine.hear(analyses, NONE, parts)] == [
        (0, 500), (0, 490), (0, 480)
    ]  # fmt: skip
    assert ran() == {}


def test_named_categories_take_both_steps_without_a_wait_between(engine, device, windows, ran):
    engine.answer(windows(2), np.array([1]), np.array([1]), [Part(0, 100)] * 2)
    assert ran() == {Kind.PLUGIN: 1, Kind.SYNTHESIS: 1}
    calls = [call for call in device.log if call in ("execute", "wait", "synchronize", "copy")]
    assert calls == ["execute", "execute", "wait"]  # and nothing is kept


def test_a_late_category_takes_no_network(engine, windows, ran, device):
    """In batches of its own: windows of several calls, in any order."""
    mixture = windows(6)
    parts = [Part(row, 300 + row) for row in range(6)]
    first = engine.answer(mixture[:4], None, np.array([0]), parts[:4])
    first += engine.answer(mixture[4:], None, np.array([0]), parts[4:])
    check([heard for _, heard in first], mixture, [0], parts)
    assert ran()[Kind.PLUGIN] == 2
    order = [5, 0, 3, 1]
    late = engine.hear([first[i][0] for i in order], np.array([2]), [parts[i] for i in order])
    check(late, mixture[order], [2], [parts[i] for i in order])
    assert ran() == {Kind.SYNTHESIS: 1}


def test_a_whole_engine_takes_the_network_again(make_engine, whole, windows, ran):
    engine, mixture, parts = make_engine(whole), windows(2), [Part(0, 900)] * 2
    answers = engine.answer(mixture, None, np.array([0]), parts)
    late = engine.hear([analysis for analysis, _ in answers], np.array([1, 2]), parts)
    check(late, mixture, [1, 2], parts)
    assert ran() == {Kind.WAVEFORM: 2}
    nothing = engine.hear([analysis for analysis, _ in answers], NONE, parts)
    assert [rows.shape for rows in nothing] == [(0, 900)] * 2
    assert ran() == {}


@pytest.mark.parametrize("held", [0, 70_000, 10 << 20])
def test_states_for_which_there_is_no_room_are_computed_again(
    make_engine, pair, windows, ran, device, held
):
    engine = make_engine(pair, held_bytes=held)
    mixture, parts = windows(12), [Part(0, 1016)] * 12
    analyses = engine.analyze(mixture)
    assert ran() == {Kind.PLUGIN: 3}
    check(engine.hear(analyses, np.array([1]), parts), mixture, [1], parts)
    again = ran()
    assert again[Kind.PLUGIN] == {0: 3, 70_000: 3, 10 << 20: 0}[held]
    assert again[Kind.SYNTHESIS] == 3


def test_states_live_as_long_as_anyone_may_ask(engine, windows, device):
    analyses = engine.analyze(windows(4))
    held = sum(device.spans.values())
    for _ in range(20):
        kept = engine.analyze(windows(4))[1:2]
    assert sum(device.spans.values()) <= 2 * held
    del analyses, kept
    gc.collect()
    before = device.counts["allocate"]
    engine.analyze(windows(4))
    assert device.counts["allocate"] == before


def test_a_reader_under_way_keeps_what_it_reads(make_engine, pair, windows, config):
    """Another thread's windows may want its place meanwhile."""
    size = sum(pair.network.nbytes(n, pair_call(4)) + 256 for n in ("spectrum", "basis", "guide"))
    engine = make_engine(pair, held_bytes=size)
    mixture, parts = windows(4), [Part(0, 1016)] * 4
    analyses = engine.analyze(mixture)
    held = analyses[0].state.held
    with held.in_use() as slot:
        others = engine.analyze(windows(4))
        assert others[0].state.held is None
        assert held.slot is slot
    check(engine.hear(analyses, np.array([0]), parts), mixture, [0], parts)


def pair_call(batch):
    from sgn_rt.tensorrt.run.runtime import Call

    return Call(batch, 0)


def test_answers_are_views_of_what_the_gpu_wrote_and_outlive_the_engine(
    engine, windows, device, config, nothing_left
):
    mixture, parts = windows(2), [Part(0, 1016)] * 2
    answers = engine.answer(mixture, ALL[:2], ALL[:2], parts)
    engine.answer(windows(2), ALL[:2], ALL[:2], parts)
    heard = [rows for _, rows in answers]
    assert np.shares_memory(heard[0].base, heard[1].base)
    engine.close()
    check(heard, mixture, [0, 1], parts)
    assert device.live["pinned"] == 1
    del answers, heard
    assert nothing_left() == {}


def test_of_hundreds_of_categories_few_cost_what_few_cost(
    trt, device, module, small_config, make_sidecar, bundle, monkeypatch
):
    from . import fakes
    from .conftest import pair_of

    config = small_config(n_fft=32, hop_length=8, categories=tuple(f"kind {i}" for i in range(600)))
    monkeypatch.setattr(fakes, "PRESENCE", np.linspace(0, 1, 600, dtype=np.float32))
    monkeypatch.setattr(fakes, "SHARES", np.linspace(1, 2, 600, dtype=np.float32))
    module.config = bundle.config = config
    model = pair_of(trt, device, config, make_sidecar, 4, sources=600)
    engine = TensorRTEngine("tensorrt", bundle, model)
    window = np.ones((1, config.window_samples), np.float32)
    engine.answer(window, None, np.array([7, 250]), [Part(0, 1016)])
    few = 4 * 2 * config.window_samples
    all_sources = 4 * 600 * config.window_samples
    assert sum(device.spans.values()) < all_sources / 3
    assert device.moved["down"] == few + 4 * 600 + 4


def test_more_categories_than_a_call_takes_run_the_network_once(engine, windows, ran):
    mixture, parts = windows(5), [Part(3, 700)] * 5
    answers = engine.answer(mixture, np.array([2, 1, 0]), np.array([2, 1, 0]), parts)
    check([heard for _, heard in answers], mixture, [2, 1, 0], parts)
    assert ran() == {Kind.PLUGIN: 2, Kind.SYNTHESIS: 4}


@pytest.mark.parametrize("what", ["presence", True])
def test_what_is_not_finite_is_an_error(engine, windows, module, what):
    module.poison = what
    with pytest.raises(EngineError, match="non-finite"):
        engine.answer(windows(2), ALL[:1], ALL[:1], [Part(500, 600)] * 2)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"lanes": 0}, "lanes"), ({"held_bytes": -1}, "held_bytes"), ({"lanes": 1.5}, "lanes")],
)
def test_options_that_cannot_be(options, name, fails):
    with fails(ConfigError, name):
        RunOptions(**options)


@pytest.mark.parametrize("lanes", [1, 3])
def test_as_many_lanes_as_are_wanted(make_engine, pair, windows, device, lanes):
    engine = make_engine(pair, lanes=lanes)
    engine.separate(windows(16), np.array([0]))
    assert device.live["context"] == 2 * lanes
    assert engine.concurrency == lanes


@pytest.fixture
def halves(config, make_sidecar):
    """Both halves as they are read from a bundle."""
    from .conftest import half_of

    return [half_of(kind, config, make_sidecar, 4) for kind in (Kind.PLUGIN, Kind.SYNTHESIS)]


def test_a_second_separator_shares_the_weights(bundle, halves, trt, device, windows, module):
    engines = [engine_of(bundle, "tensorrt", halves, trt, device) for _ in range(2)]
    assert {engine.graph for engine in engines} == {halves[0][0].artifact}
    assert (module.counts["deserialize_cuda_engine"], device.engines) == (2, 2)
    engines[0].close()
    mixture = windows(1)
    sources = engines[1].separate(mixture, np.array([1])).sources
    np.testing.assert_array_equal(sources[:, 0], mixture * SHARES[1])
    engines[1].close()
    gc.collect()
    assert device.engines == 0
    assert device.wrong == []
    engine_of(bundle, "tensorrt", halves, trt, device)
    assert module.counts["deserialize_cuda_engine"] == 4


def test_close_frees_weights_while_the_engine_is_still_referred_to(
    bundle, halves, trt, device, windows, nothing_left
):
    engine = engine_of(bundle, "tensorrt", halves, trt, device)
    engine.separate(windows(1), ALL)
    engine.close()
    assert nothing_left() == {}
    assert device.engines == 0
    for call in (engine.session, engine.new_lane, lambda: engine.analyze(windows(1))):
        with pytest.raises(EngineError, match="after close"):
            call()


def test_a_network_without_its_synthesis_is_refused(bundle, halves, trt, device, fails):
    with fails(EngineError, "no engine of the synthesis", "sgn-rt build BUNDLE"):
        engine_of(bundle, "tensorrt", halves[:1], trt, device)


def test_the_librarys_functions_are_those_that_lanes_call():
    """The emulation of the fakes takes what the binding takes."""
    import inspect

    from .fakes import HostKernels

    ours = inspect.signature(HostKernels.finish).parameters
    assert list(ours) == list(inspect.signature(Kernels.finish).parameters)


def stream_of(engine, config, sample_format="float32", kind=Stream, **options):
    guarded = GuardedEngine(["tensorrt"], lambda _: engine, lambda _: None, "off")
    rule = PresenceRule.of(config, None)
    named = () if kind is FindingStream else ("bell", "horn")
    options = {"categories": named, "channels": 2} | options
    settings = StreamSettings.of(
        guarded, config, sample_rate=8000, rule=rule, sample_format=sample_format, **options
    )
    return kind(guarded, ThreadPoolExecutor(2), settings)


@pytest.mark.parametrize("sample_format", ["float16", "int16", "dithered-int16"])
def test_what_comes_over_the_bus_is_short_and_cross_faded_in_full(
    make_engine, pair, config, device, noise, sample_format
):
    signal = noise(2, 20_000)
    separated = {}
    for name in ("float32", sample_format):
        device.moved.clear()
        stream = stream_of(make_engine(pair), config, name, gain_db=6.0)
        blocks = [stream.feed(signal), stream.flush()]
        separated[name] = np.concatenate([block["horn"] for block in blocks], axis=1)
        separated[name, "bytes"] = device.moved["down"]
    assert separated[sample_format].dtype == np.float32
    error = np.abs(separated[sample_format] - separated["float32"]).max()
    steps = {"float16": 2.0**-12, "int16": 2.0**-16, "dithered-int16": 1.5 * 2.0**-15}
    assert 0 < error <= 1.001 * steps[sample_format]
    assert separated[sample_format, "bytes"] < 0.6 * separated["float32", "bytes"]


def test_channels_that_came_in_two_formats_are_equally_loud(
    make_engine, make_pair, config, device, noise, fake_engine
):
    """The GPU fails between two channels of one place, and the CPU goes on in float32."""
    engines = {
        "tensorrt": make_engine(make_pair(1), lanes=1),
        "onnxruntime": fake_engine(config, "onnxruntime", depends=False),
    }
    guarded = GuardedEngine(list(engines), engines.__getitem__, lambda _: None, "fallback")
    settings = StreamSettings.of(
        guarded, config, sample_rate=8000, channels=2, categories=["horn"],
        rule=PresenceRule.of(config, None), sample_format="int16",
    )  # fmt: skip
    stream = Stream(guarded, ThreadPoolExecutor(1), settings)
    signal = noise(2, 5_000)
    device.fail = {"record": 2}
    with pytest.warns(ParityWarning, match="now onnxruntime"):
        blocks = [stream.feed(signal), stream.flush()]
    assert stream.engines["tensorrt"] == 1
    horn = np.concatenate([block["horn"] for block in blocks], axis=1)
    np.testing.assert_allclose(horn, signal * SHARES[2], atol=2.0**-15)


def test_dither_is_of_a_place_in_the_signal_not_of_the_windows_there(
    make_engine, pair, config, noise
):
    """Two windows that cross-fade have the same noise; channels have their own."""
    signal = np.repeat(noise(1, 9_000), 2, axis=0)
    offline, live = (
        stream_of(make_engine(pair), config, "dithered-int16", latency_s=latency)
        for latency in (None, 0.05)
    )
    whole = [
        np.concatenate([s.feed(signal)["bell"], s.flush()["bell"]], 1) for s in (offline, live)
    ]
    np.testing.assert_allclose(*whole, atol=1e-6)
    assert np.any(whole[0][0] != whole[0][1])


def test_a_round_that_memory_cuts_short_says_so(
    make_engine, pair, config, noise, monkeypatch, caplog
):
    monkeypatch.setattr(rounds, "ROUND_BYTES", 60_000)
    stream = stream_of(make_engine(pair), config, "float32")
    with caplog.at_level(logging.INFO, "sgn_rt"):
        for _ in range(2):
            stream.feed(noise(2, 9_000))
    said = [record.getMessage() for record in caplog.records if "batches of" in record.getMessage()]
    assert len(said) == 1
    assert "batches of 2 windows, not of 4 as tensorrt likes them" in said[0]


@pytest.mark.parametrize("sample_format", ["float32", "dithered-int16"])
def test_what_is_found_is_what_would_have_been_named_for_one_network_a_window(
    make_engine, pair, config, noise, module, sample_format
):
    signal = noise(2, 30_000)

    def joined(stream):
        pieces = stream.feed_ahead(signal) + stream.flush_ahead()
        return {
            name: np.concatenate([piece[name] for piece in pieces if name in piece], axis=1)
            for name in stream.categories
        }

    options = {"categories": ("bell", "drum"), "sample_format": sample_format}
    named = joined(stream_of(make_engine(pair), config, **options))
    module.computed.clear()
    stream = stream_of(make_engine(pair), config, sample_format, kind=FindingStream)
    found = joined(stream)
    seen = module.computed[Kind.PLUGIN]
    windows = sum(stream.engines.values())
    assert windows <= seen < windows + 4  # the last batch has the shape of those before it
    assert found.keys() == named.keys()
    for name, source in named.items():
        np.testing.assert_array_equal(found[name], source, name)


@pytest.mark.parametrize("held_bytes", [0, 400_000, 512 << 20])
def test_threads_that_keep_and_lose_states_hear_their_own(
    make_engine, pair, config, held_bytes, device, nothing_left
):
    engine = make_engine(pair, held_bytes=held_bytes, answer_bytes=1 << 18)
    start = threading.Barrier(6)

    def work(seed):
        rng, waiting = np.random.default_rng(seed), []
        start.wait()
        for turn in range(25):
            mixture = rng.standard_normal((1 + turn % 5, config.window_samples), np.float32)
            parts = [Part(7 * row, 300 + turn) for row in range(len(mixture))]
            answers = engine.answer(mixture, None, ALL[: turn % 3], parts)
            check([heard for _, heard in answers], mixture, ALL[: turn % 3], parts)
            waiting.append((mixture, parts, [analysis for analysis, _ in answers]))
            if len(waiting) == 3:
                mixture, parts, analyses = waiting.pop(0)
                check(engine.hear(analyses, np.array([2, 0]), parts), mixture, [2, 0], parts)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    engine.close()
    assert nothing_left() == {}
