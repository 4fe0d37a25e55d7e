"""The stream: one result whatever the blocks, exact latency, no shared state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sgn_rt.errors import AudioError, CategoryError, ConfigError, EngineError, SgnError
from sgn_rt.streaming.output import RESIDUAL

RATES = (8000, 11025, 44100, 44099, 16000, 192000)
LATENCIES = (None, 0.07, 0.1, 0.5, 100.0)


def run(stream, signal, blocks):
    """Feed blocks of the given sizes; check after each that what is out is exactly what is due."""
    parts, fed, out = [], 0, 0
    for size in blocks:
        parts.append(stream.feed(signal[:, fed : fed + size]))
        fed = min(fed + size, signal.shape[1])
        out += next(iter(parts[-1].values())).shape[1]
        assert out == max(0, fed - stream.latency_samples)
    assert fed == signal.shape[1]
    parts.append(stream.flush())
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def random_blocks(rng, samples):
    """Sizes that add up to ``samples`` or a little more, none and one among them."""
    largest = int(rng.choice([3, 50, 700, 9000, samples + 5]))
    sizes = []
    while sum(sizes) < samples:
        sizes.append(int(rng.integers(0, max(2, min(largest, samples // 3 + 2)))))
        if len(sizes) > 400:
            sizes.append(samples)
    return sizes


@pytest.mark.parametrize("seed", range(100))
def test_any_blocks_give_the_same_samples(fake_separator, small_config, noise, seed):
    rng = np.random.default_rng(seed)
    rate = int(rng.choice(RATES))
    model_rate = int(rng.choice([8000, 11025, rate]))
    channels = int(rng.choice([1, 2, 6]))
    context = 0.0 if rate == model_rate else 2 * 128 / min(rate, model_rate)
    latency = LATENCIES[rng.integers(len(LATENCIES))]
    samples = int(rng.choice([1, 2, 100, *rng.integers(1, rate // 2, 5)]))
    model = small_config(n_fft=32, hop_length=8, sample_rate=model_rate)
    engine = {"concurrency": int(rng.choice([1, 3])), "batch": int(rng.choice([1, 4]))}
    opened = fake_separator(config=model, **engine)
    options = {
        "sample_rate": rate,
        "channels": channels,
        "categories": [["drum"], ["horn", "bell"], None][rng.integers(3)],
        "latency_s": None if latency is None else latency + context,
        "residual": bool(rng.integers(2)),
    }
    signal = noise(channels, samples, seed)

    blockwise = run(opened.separator.stream(**options), signal, random_blocks(rng, samples))
    at_once = run(opened.separator.stream(**options), signal, [samples])

    assert blockwise.keys() == at_once.keys()
    for name, whole in at_once.items():
        assert whole.shape == (channels, samples)
        assert whole.dtype == np.float32
        np.testing.assert_array_equal(blockwise[name], whole, name)


@pytest.mark.parametrize("rate", [8000, 44100, 44099])
def test_offline_is_the_stream(fake_separator, noise, rate):
    opened = fake_separator(concurrency=2)
    signal = noise(2, rate // 3)
    stream = opened.separator.stream(sample_rate=rate, channels=2, residual=True)
    live = run(stream, signal, [777] * (signal.shape[1] // 777 + 1))
    offline = opened.separator.separate(signal, live.keys() - {RESIDUAL}, sample_rate=rate)
    assert offline.sources.keys() == live.keys() - {RESIDUAL}
    for name, source in offline.sources.items():
        np.testing.assert_array_equal(source, live[name])


@pytest.mark.parametrize("latency_s", [None, 0.1, 0.25])
@pytest.mark.parametrize("rate", [8000, 44100, 44099])
def test_an_impulse_comes_out_exactly_when_declared(fake_separator, rate, latency_s):
    opened = fake_separator(depends=False)
    stream = opened.separator.stream(sample_rate=rate, categories=["bell"], latency_s=latency_s)
    at = rate // 4 + 17
    signal = np.zeros((1, at + stream.latency_samples + 200), np.float32)
    signal[0, at] = 1.0
    before = stream.feed(signal[:, : at + stream.latency_samples])["bell"]
    moment = stream.feed(signal[:, at + stream.latency_samples :][:, :1])["bell"]
    after = stream.feed(signal[:, at + stream.latency_samples + 1 :])["bell"]

    assert before.shape[1] == at
    assert moment.shape == (1, 1)
    peak = np.abs(moment).item()
    assert peak > np.abs(before).max()
    assert peak > np.abs(after).max()
    if rate == 8000:  # nothing is converted, and the bell's share is a half
        assert peak == 0.5
        assert not before.any()
        assert not after.any()


def test_latency_is_what_was_asked_for_or_less_where_less_will_do(fake_separator, config):
    opened = fake_separator()
    longest = opened.separator.stream(sample_rate=8000).latency_samples
    declared = [
        opened.separator.stream(sample_rate=8000, latency_s=seconds).latency_samples
        for seconds in (0.0093, 0.05, 801 / 8000, 100.0)
    ]
    assert declared == [74, 400, 801, longest]
    assert longest == config.window_samples


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_latencies(fake_separator, fails, seconds):
    with fails(ConfigError, "latency: got", "positive"):
        fake_separator().separator.stream(sample_rate=8000, latency_s=seconds)


@pytest.mark.parametrize("rate", [8000, 44099])
def test_the_least_latency_that_the_message_names_can_be_had(fake_separator, fails, rate):
    separator = fake_separator().separator
    with fails(ConfigError, "latency: got 0.001 s") as failure:
        separator.stream(sample_rate=rate, latency_s=0.001)
    least = float(failure.message.split("at least ")[1].split(" s")[0])
    samples = int(failure.message.split("(")[1].split(" samples")[0])
    assert separator.stream(sample_rate=rate, latency_s=least).latency_samples >= samples
    assert separator.stream(sample_rate=rate, latency_s=samples / rate).latency_samples == samples
    with fails(ConfigError, f"{samples} samples"):
        separator.stream(sample_rate=rate, latency_s=(samples - 1) / rate)


@pytest.mark.parametrize("rate", [8000, 44099])
@pytest.mark.parametrize("channels", [1, 6])
def test_stems_and_residual_add_up(fake_separator, noise, tolerance, rate, channels):
    opened = fake_separator()
    signal = noise(channels, rate // 3)
    stream = opened.separator.stream(
        sample_rate=rate, channels=channels, categories=["horn", "bell"], residual=True
    )
    out = run(stream, signal, [1000] * (signal.shape[1] // 1000 + 1))
    assert list(out) == ["horn", "bell", RESIDUAL]
    assert np.abs(sum(out.values()) - signal).max() <= tolerance["residual"]


def test_residual_of_nothing_is_the_mixture(fake_separator, noise):
    stream = fake_separator().separator.stream(sample_rate=44099, categories=[], residual=True)
    signal = noise(1, 20000)
    out = run(stream, signal, [700] * 29)
    assert list(out) == [RESIDUAL]
    np.testing.assert_array_equal(out[RESIDUAL], signal)


def test_a_tone_keeps_its_place_and_level_through_both_conversions(fake_separator, tolerance):
    stream = fake_separator(depends=False).separator.stream(sample_rate=44099, categories=["bell"])
    signal = np.sin(np.arange(30000) * (2 * np.pi * 440 / 44099)).astype(np.float32)[None]
    out = run(stream, signal, [30000])["bell"]
    inside = slice(2000, -2000)
    assert np.abs(out - 0.5 * signal)[:, inside].max() <= tolerance["round_trip"]


def test_flush_ends_the_signal_and_reset_begins_another(fake_separator, noise):
    stream = fake_separator().separator.stream(sample_rate=11025, channels=2)
    first, second = noise(2, 5000, 1), noise(2, 3333, 2)
    fresh = run(stream, first, [5000])
    assert all(block.shape == (2, 0) for block in stream.flush().values())
    with pytest.raises(SgnError, match=r"got a block after flush, expected none\. Call reset"):
        stream.feed(second)
    stream.reset()
    run(stream, second, [100] * 34)
    stream.reset()
    stream.feed(second)  # a signal given up halfway
    stream.reset()
    assert stream.engines == {}
    assert set(stream.presence.values()) == {0.0}
    again = run(stream, first, [1] * 100 + [4900])
    for name, source in fresh.items():
        np.testing.assert_array_equal(again[name], source)


def test_nothing_fed_gives_nothing(fake_separator):
    for rate in (8000, 44100):
        stream = fake_separator().separator.stream(sample_rate=rate, channels=2, residual=True)
        out = stream.flush()
        assert {name: block.shape for name, block in out.items()} == dict.fromkeys(
            ("bell", "drum", "horn", RESIDUAL), (2, 0)
        )


def test_streams_of_one_separator_share_nothing(fake_separator, noise):
    separator = fake_separator(concurrency=2).separator
    signals = [noise(1, 6000 + 100 * i, i) for i in range(4)]
    rates = (8000, 44100, 11025, 44099)
    alone = [
        run(separator.stream(sample_rate=rate), signal, [signal.shape[1]])
        for rate, signal in zip(rates, signals, strict=True)
    ]
    streams = [separator.stream(sample_rate=rate) for rate in rates]
    parts = [[] for _ in streams]
    for at in range(0, 6300, 450):  # in turn, on one thread
        for stream, signal, part in zip(streams, signals, parts, strict=True):
            part.append(stream.feed(signal[:, at : at + 450]))
    for stream, part, expected in zip(streams, parts, alone, strict=True):
        part.append(stream.flush())
        for name, source in expected.items():
            np.testing.assert_array_equal(np.concatenate([p[name] for p in part], 1), source)
    with ThreadPoolExecutor(4) as threads:  # side by side
        together = list(
            threads.map(
                lambda rate, signal: run(separator.stream(sample_rate=rate), signal, [333] * 20),
                rates,
                signals,
            )
        )
    for got, expected in zip(together, alone, strict=True):
        for name, source in expected.items():
            np.testing.assert_array_equal(got[name], source)


def test_the_input_is_neither_kept_nor_changed(fake_separator, noise):
    separator = fake_separator().separator
    signal = noise(1, 4000)
    expected = run(separator.stream(sample_rate=8000), signal, [4000])
    stream = separator.stream(sample_rate=8000)
    parts = []
    for at in range(0, 4000, 500):
        block = signal[:, at : at + 500].copy()
        kept = block.copy()
        parts.append(stream.feed(block))
        np.testing.assert_array_equal(block, kept)
        block[:] = 7.0  # as a caller that reads into one buffer does
    parts.append(stream.flush())
    np.testing.assert_array_equal(np.concatenate([p["bell"] for p in parts], 1), expected["bell"])


def test_what_comes_out_is_the_callers_to_change(fake_separator, noise):
    separator = fake_separator().separator
    signal = noise(1, 6000)
    expected = run(separator.stream(sample_rate=8000), signal, [6000])
    stream = separator.stream(sample_rate=8000)
    parts = []
    for at in range(0, 6000, 300):
        out = stream.feed(signal[:, at : at + 300])
        parts.append(out["bell"].copy())
        for block in out.values():
            block[:] = np.nan
    parts.append(stream.flush()["bell"])
    np.testing.assert_array_equal(np.concatenate(parts, 1), expected["bell"])


@pytest.mark.parametrize("dtype", ["f2", "f8", "longdouble"])
def test_other_floating_point_types(fake_separator, noise, dtype):
    separator = fake_separator().separator
    signal = noise(1, 3000).astype("f2").astype("f4")
    expected = run(separator.stream(sample_rate=8000), signal, [3000])
    got = run(separator.stream(sample_rate=8000), signal.astype(dtype), [3000])
    np.testing.assert_array_equal(got["horn"], expected["horn"])


def test_one_axis_where_there_is_one_channel(fake_separator, noise):
    separator = fake_separator().separator
    signal = noise(1, 2000)
    stream = separator.stream(sample_rate=8000)
    out = [stream.feed(signal[0]), stream.feed([]), stream.flush()]
    expected = run(separator.stream(sample_rate=8000), signal, [2000])
    np.testing.assert_array_equal(np.concatenate([o["bell"] for o in out], 1), expected["bell"])


BAD_BLOCKS = {
    "shape": (np.zeros((3, 10), "f4"), "got shape (3, 10), expected (2, samples)"),
    "one axis": (np.zeros(10, "f4"), "got shape (10,)"),
    "three axes": (np.zeros((1, 2, 10), "f4"), "got shape (1, 2, 10)"),
    "integers": (np.zeros((2, 10), "i8"), "got int64 samples"),
    "complex": (np.zeros((2, 10), "c8"), "got complex64 samples"),
    "ragged": ([[0.0, 1.0], [0.0]], "Give all channels one length"),
    "nan": (np.array([[0.0, 0.0], [0.0, np.nan]], "f4"), "got nan in channel 1 at sample 101"),
    "inf": (np.array([[0.0, -np.inf], [0.0, 0.0]], "f4"), "got -inf in channel 0 at sample 101"),
    "huge": (np.array([[1e300, 0.0], [0.0, 0.0]]), "got inf in channel 0 at sample 100"),
    "too loud": (np.array([[0.0, 0.0], [2e9, 0.0]]), "in channel 1 at sample 100"),
    "half nan": (np.array([[0.0, 0.0], [np.nan, 0.0]], "f2"), "got nan in channel 1"),
}


@pytest.mark.parametrize("name", BAD_BLOCKS)
def test_a_bad_block_is_refused_and_not_taken(fake_separator, noise, fails, name):
    block, part = BAD_BLOCKS[name]
    separator = fake_separator().separator
    signal = noise(2, 5000)
    expected = run(separator.stream(sample_rate=8000, channels=2), signal, [5000])
    stream = separator.stream(sample_rate=8000, channels=2)
    out = [stream.feed(signal[:, :100])]
    with fails(AudioError, part):
        stream.feed(block)
    out += [stream.feed(signal[:, 100:]), stream.flush()]
    for key, source in expected.items():
        np.testing.assert_array_equal(np.concatenate([o[key] for o in out], 1), source)


def test_the_loudest_that_is_taken_separates(fake_separator):
    stream = fake_separator(depends=False).separator.stream(sample_rate=8000)
    out = run(stream, np.full((1, 2000), -1e9, np.float32), [2000])
    np.testing.assert_array_equal(out["bell"], np.full((1, 2000), -5e8, np.float32))


def test_an_engine_that_fails_once_loses_nothing(fake_separator, noise):
    signal = noise(1, 9000)
    expected = run(fake_separator().separator.stream(sample_rate=8000), signal, [9000])

    def fail_at_two_and_last(call, answer):
        if call in (2, 12):
            raise RuntimeError("not now")
        return answer

    opened = fake_separator(fault=fail_at_two_and_last)
    stream = opened.separator.stream(sample_rate=8000)
    parts, failures = [], 0
    for at in range(0, 9000, 450):
        try:
            parts.append(stream.feed(signal[:, at : at + 450]))
        except EngineError:
            failures += 1
    assert opened.engine.calls == 12, "the last window is the one to fail"
    with pytest.raises(EngineError, match=r"fake: got RuntimeError: not now"):
        stream.flush()
    parts.append(stream.flush())
    assert failures == 1
    for key, source in expected.items():
        np.testing.assert_array_equal(np.concatenate([p[key] for p in parts], 1), source)


@pytest.mark.parametrize("latency_s", [None, 0.05])
@pytest.mark.parametrize("samples", [1, 5, 700, 1016, 3000])
def test_windows_are_full_of_sound(fake_separator, noise, latency_s, samples):
    """Beyond the signal's ends the network hears the signal mirrored, and never silence."""
    opened = fake_separator()
    stream = opened.separator.stream(sample_rate=8000, latency_s=latency_s)
    layout, signal = stream._settings.layout, noise(1, samples)
    opened.engine.seen = []
    run(stream, signal, [samples])
    *inner, last = opened.engine.seen
    for index, window in enumerate(inner):
        heard = signal[:, max(0, layout.start(index)) : layout.stop(index)]
        missing = max(0, -layout.start(index))
        np.testing.assert_array_equal(window, np.pad(heard, ((0, 0), (missing, 0)), "symmetric"))
    if samples >= layout.window:
        np.testing.assert_array_equal(last, signal[:, -layout.window :])
    else:
        # A short one lies at the window's end, as far as this has been heard before.
        left = min(layout.window - samples, -layout.start(0))
        right = layout.window - samples - left
        np.testing.assert_array_equal(last, np.pad(signal, ((0, 0), (left, right)), "symmetric"))


@pytest.mark.parametrize("latency_s", [None, 0.05])
def test_windows_fade_into_each_other(fake_separator, latency_s):
    """Window k answers with the number k: what comes out shows who is heard where."""

    def number(call, answer):
        return answer._replace(sources=np.full_like(answer.sources, call))

    stream = fake_separator(fault=number).separator.stream(sample_rate=8000, latency_s=latency_s)
    layout, samples = stream._settings.layout, 5000
    out = run(stream, np.zeros((1, samples), np.float32), [samples])["bell"][0]
    last = sum(stream.engines.values()) - 1
    assert last > 4
    expected = np.empty(samples, np.float32)
    for index in range(last + 1):
        start = layout.final(index - 1)
        expected[start:] = index
        if index:
            fade = expected[start : start + layout.fade]
            fade[:] = index - 1 + layout.rise[: len(fade)]
    np.testing.assert_allclose(out, expected, atol=1e-5)  # of numbers up to 30, in float32


def test_a_long_block_is_computed_a_few_windows_at_a_time(fake_separator, noise, monkeypatch):
    """However much is fed at once, the windows of one round are all that memory holds of it."""
    stream = fake_separator(concurrency=2).separator.stream(sample_rate=8000, channels=2)
    rounds, hear = [], stream._hear
    monkeypatch.setattr(stream, "_hear", lambda jobs: rounds.append(len(jobs)) or hear(jobs))
    run(stream, noise(2, 20000), [20000])
    assert max(rounds) == 4
    assert sum(rounds) == sum(stream.engines.values())


def test_presence_is_the_highest_of_any_window(fake_separator, noise):
    def rise(call, answer):
        presence = answer.presence.copy()
        presence[:, 1] = 0.1 * call if call < 4 else 0.0
        return answer._replace(presence=presence)

    opened = fake_separator(fault=rise)
    stream = opened.separator.stream(sample_rate=8000, categories=["horn"])
    run(stream, noise(1, 6000), [6000])
    assert stream.presence == pytest.approx({"bell": 0.9, "drum": 0.3, "horn": 0.1})
    assert stream.engines == {"fake": opened.engine.calls}


def test_a_round_feeds_the_engine_as_many_windows_as_it_likes(fake_separator, noise):
    """Blocks of ``round_samples`` are what keeps every processor busy; any less would not."""
    stream = fake_separator(concurrency=4).separator.stream(sample_rate=44100, channels=2)
    signal = noise(2, 6 * stream.round_samples)
    counts = []
    for at in range(0, signal.shape[1], stream.round_samples):
        before = sum(stream.engines.values())
        stream.feed(signal[:, at : at + stream.round_samples])
        counts.append(sum(stream.engines.values()) - before)
    assert all(count >= 8 for count in counts[2:])


def test_the_residual_has_its_name_to_itself(fake_separator, small_config, fails):
    model = small_config(n_fft=32, hop_length=8, categories=("bell", "drum", RESIDUAL))
    separator = fake_separator(config=model).separator
    with fails(CategoryError, "'residual'"):
        separator.stream(sample_rate=8000, residual=True)
    assert separator.stream(sample_rate=8000).categories[2] == RESIDUAL
    assert separator.stream(sample_rate=8000, categories=["bell"], residual=True) is not None
