"""What may be said of a recording: its level, an excerpt, what is damaged, when to stop."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
import soundfile

from sgn_rt.errors import AudioError, CancelledError, ConfigError, LevelWarning
from sgn_rt.streaming.output import RESIDUAL


@pytest.fixture
def trained(fake_separator, small_config):
    """A separator whose model was trained from -40 to -10 dBFS."""

    def make(**options):
        config = small_config(n_fft=32, hop_length=8, training_level_dbfs=(-40.0, -10.0))
        return fake_separator(config=config, **options)

    return make


def rms_dbfs(windows) -> float:
    return 10 * np.log10(np.mean(np.square(windows, dtype=np.float64)))


def test_the_network_hears_what_it_was_trained_on(trained, noise):
    opened = trained()
    opened.engine.seen = []
    quiet = noise(1, 16_000) * np.float32(1e-3)  # about -78 dBFS
    result = opened.separator.separate(quiet, ["bell"], sample_rate=8000)
    assert result.level_dbfs == pytest.approx(rms_dbfs(quiet), abs=1.5)
    assert result.gain_db == pytest.approx(-25.0 - result.level_dbfs)
    assert -30 < rms_dbfs(np.concatenate(opened.engine.seen)) < -20
    # The sources are at the recording's own level.
    loud = trained().separator.separate(
        quiet * 10 ** (result.gain_db / 20), ["bell"], sample_rate=8000, level="off"
    )
    expected = loud.sources["bell"] / 10 ** (result.gain_db / 20)
    np.testing.assert_allclose(result.sources["bell"], expected, rtol=1e-4, atol=1e-9)


def test_within_the_range_nothing_is_changed(trained, fake_separator, noise):
    signal = noise(2, 9000)
    result = trained().separator.separate(signal, sample_rate=8000, residual=True)
    assert result.gain_db == 0.0
    assert -40 < result.level_dbfs < -10
    plain = fake_separator().separator.separate(signal, sample_rate=8000, residual=True)
    assert plain.level_dbfs is None, "no claim, no measure"
    for name, source in plain.sources.items():
        np.testing.assert_array_equal(result.sources[name], source)


def test_a_gain_of_the_callers_own_and_a_stream_agree(trained, noise):
    signal = noise(1, 20_000) * np.float32(1e-3)
    separator = trained().separator
    result = separator.separate(signal, ["bell"], sample_rate=8000, level=30.0, residual=True)
    assert (result.gain_db, result.level_dbfs) == (30.0, None)
    stream = separator.stream(sample_rate=8000, categories=["bell"], gain_db=30.0, residual=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LevelWarning)
        parts = [stream.feed(signal), stream.flush()]
    for name in ("bell", RESIDUAL):
        joined = np.concatenate([part[name] for part in parts], axis=1)
        np.testing.assert_array_equal(joined, result.sources[name])
    total = result.sources["bell"] + result.sources[RESIDUAL]
    np.testing.assert_allclose(total, signal, atol=1e-9)


def test_a_stream_outside_of_the_range_warns_once(trained, noise):
    separator = trained().separator
    quiet = noise(1, 80_000) * np.float32(1e-3)
    stream = separator.stream(sample_rate=8000, categories=["bell"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for block in np.array_split(quiet, 20, axis=1):
            stream.feed(block)
    (warned,) = caught
    assert warned.category is LevelWarning
    assert "expected -40 to -10 dBFS" in str(warned.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({"gain_db": 50.0}, {}):
            fine = separator.stream(sample_rate=8000, categories=["bell"], **options)
            fine.feed(quiet if options else quiet * np.float32(300))


@pytest.mark.parametrize("level", ["loud", None, True, np.nan, 500.0])
def test_levels_that_there_are_not(fake_separator, noise, fails, level):
    with fails(ConfigError, "got"):
        fake_separator().separator.separate(noise(1, 100), sample_rate=8000, level=level)


def test_an_option_that_there_is_not(fake_separator, noise):
    separator = fake_separator().separator
    with pytest.raises(TypeError, match="unexpected keyword argument 'treshold'"):
        separator.separate(noise(1, 100), sample_rate=8000, treshold=0.4)


def test_an_excerpt_is_the_recording_cut(fake_separator, noise, tmp_path):
    separator = fake_separator().separator
    signal = noise(2, 20_000)
    cut = separator.separate(signal[:, 4000:12_000], ["bell"], sample_rate=8000)
    part = {"start_s": 0.5, "duration_s": 1.0}
    excerpt = separator.separate(signal, ["bell"], sample_rate=8000, **part)
    np.testing.assert_array_equal(excerpt.sources["bell"], cut.sources["bell"])
    soundfile.write(tmp_path / "mix.wav", signal.T, 8000, subtype="FLOAT")
    path = tmp_path / "mix.wav"
    files = separator.separate_to(path, tmp_path / "out", ["bell"], **part)
    written, _ = soundfile.read(files.stems["bell"], dtype="float32")
    np.testing.assert_array_equal(written.T, cut.sources["bell"])
    assert separator.finished(path, tmp_path / "out", ["bell"], **part) == files.stems
    assert separator.finished(path, tmp_path / "out", ["bell"]) is None


def test_a_damaged_file_is_an_error_or_salvaged(fake_separator, noise, tmp_path, fails):
    path = tmp_path / "mix.wav"
    soundfile.write(path, noise(1, 16_000)[0], 8000, subtype="FLOAT")
    path.write_bytes(path.read_bytes()[:40_000])
    separator = fake_separator().separator
    with fails(AudioError, "truncated"):
        separator.separate(path, ["bell"])
    result = separator.separate(path, ["bell"], salvage=True)
    assert 9000 < result.samples < 10_000
    assert f"{result.samples} samples" in result.salvaged
    assert result.to_dict()["salvaged"] == result.salvaged


def test_too_much_for_a_service_is_refused_before_the_work(fake_separator, noise, fails):
    opened = fake_separator()
    with fails(AudioError, "expected at most 1 s"):
        opened.separator.separate(noise(1, 16_000), sample_rate=8000, most_seconds=1.0)
    with fails(AudioError, "channels"):
        opened.separator.separate(noise(3, 1000), sample_rate=8000, most_channels=2)
    assert opened.engine.calls == 0


@pytest.mark.parametrize("categories", [None, ["bell"]])
def test_work_that_is_cancelled_leaves_nothing(
    fake_separator, noise, tmp_path, tree, fails, categories
):
    cancel = threading.Event()
    path = tmp_path / "mix.wav"
    soundfile.write(path, noise(1, 40_000)[0], 8000)
    told = []

    def progress(done):
        told.append(done)
        if len(told) == 2:
            cancel.set()

    separator = fake_separator().separator
    with fails(CancelledError, "got cancelled"):
        separator.separate_to(path, tmp_path / "out", categories, progress=progress, cancel=cancel)
    assert len(told) == 2
    assert tree(tmp_path) == ["mix.wav"]
    cancel.clear()
    assert separator.separate_to(path, tmp_path / "out", categories, cancel=cancel).stems


@pytest.mark.parametrize("rate", [8000, 44100])
def test_the_least_latency_can_be_had_and_no_less(fake_separator, fails, rate):
    separator = fake_separator().separator
    least = separator.least_latency_s(rate)
    assert separator.stream(sample_rate=rate, latency_s=least).latency_samples == least * rate
    with fails(ConfigError, "expected at least"):
        separator.stream(sample_rate=rate, latency_s=least - 2 / rate)


@pytest.mark.parametrize(
    "options",
    [
        {"start_s": np.float32(0.5), "duration_s": np.int64(1)},
        {"residual": np.True_, "salvage": np.False_},
        {"level": np.float32(3.0)},
        {"threshold": np.float32(0.25)},
    ],
    ids=lambda options: "-".join(options),
)
def test_numbers_of_numpy_are_options_as_others(fake_separator, noise, tmp_path, options):
    path = tmp_path / "mix.wav"
    soundfile.write(path, noise(1, 16_000)[0], 8000)
    separator = fake_separator().separator
    files = separator.separate_to(path, tmp_path / "out", ["bell"], **options)
    plain = {name: value.item() for name, value in options.items()}
    assert separator.finished(path, tmp_path / "out", ["bell"], **plain) == files.stems


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"threshold": "a"}, ConfigError),
        ({"threshold": True}, ConfigError),
        ({"threshold": {"bell": None}}, ConfigError),
        ({"threshold": {1: 0.5, "kazoo": 0.5}}, ConfigError),
        ({"level": np.zeros(2)}, ConfigError),
        ({"start_s": None}, AudioError),
        ({"duration_s": "1"}, AudioError),
        ({"format": "mp3"}, AudioError),
    ],
    ids=str,
)
def test_what_is_no_option_is_said_before_any_work(
    fake_separator, noise, tmp_path, fails, options, kind
):
    path = tmp_path / "mix.wav"
    soundfile.write(path, noise(1, 16_000)[0], 8000)
    opened = fake_separator()
    for work in (opened.separator.separate_to, opened.separator.finished):
        with fails(kind, "expected"):
            work(path, tmp_path / "out", ["bell"], **options)
    assert opened.engine.calls == 0


@pytest.mark.parametrize("gain_db", ["a", None, True, np.zeros(2)])
def test_gains_that_a_stream_cannot_have(fake_separator, fails, gain_db):
    with fails(ConfigError, "gain"):
        fake_separator().separator.stream(sample_rate=8000, gain_db=gain_db)
