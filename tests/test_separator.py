"""The separator: files and arrays of any rate, channels and length; reports; bad input."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt import RunOptions, Separator
from sgn_rt.engines import factory
from sgn_rt.errors import (
    AudioError,
    CategoryError,
    ConfigError,
    EngineError,
    SgnError,
    UnavailableError,
)


@pytest.fixture
def wav(tmp_path, noise):
    def write(samples=5000, rate=8000, channels=1, name="mix.wav", signal=None):
        signal = noise(channels, samples) if signal is None else signal
        path = tmp_path / name
        kind = path.suffix[1:].upper()
        soundfile.write(
            path, signal.T, rate, subtype="FLOAT" if kind == "WAV" else "PCM_24", format=kind
        )
        return path

    return write


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44099, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("samples", [1, 2, 3333])
def test_length_rate_and_channels_are_the_recordings(
    fake_separator, wav, tmp_path, tolerance, rate, channels, samples
):
    path = wav(samples, rate, channels)
    separator = fake_separator().separator
    result = separator.separate_to(path, tmp_path / "out", residual=True)
    assert list(result.stems) == ["bell", "drum", "residual"]
    total = 0.0
    for name, stem in result.stems.items():
        assert stem == tmp_path / "out" / "mix" / f"{name}.wav"
        info = soundfile.info(stem)
        assert (info.frames, info.samplerate, info.channels) == (samples, rate, channels)
        total = total + soundfile.read(stem, always_2d=True)[0]
    assert np.abs(total - soundfile.read(path, always_2d=True)[0]).max() <= tolerance["residual"]
    assert (result.samples, result.sample_rate, result.channels) == (samples, rate, channels)


@pytest.mark.parametrize("name", ["mix.wav", "mix.flac"])
def test_file_array_and_disk_agree(fake_separator, wav, tmp_path, name):
    path = wav(20000, 44099, 2, name)
    separator = fake_separator(concurrency=2).separator
    samples = soundfile.read(path, dtype="float32")[0].T
    disk = separator.separate_to(path, tmp_path / "out", ["horn", "bell"], residual=True)
    file = separator.separate(path, ["horn", "bell"], residual=True)
    text = separator.separate(str(path), ["horn", "bell"], residual=True, sample_rate=44099)
    array = separator.separate(samples, ["horn", "bell"], residual=True, sample_rate=44099)
    for key in ("horn", "bell", "residual"):
        np.testing.assert_array_equal(file.sources[key], array.sources[key])
        np.testing.assert_array_equal(text.sources[key], array.sources[key])
        stem = soundfile.read(disk.stems[key], dtype="float32")[0].T
        np.testing.assert_array_equal(stem, array.sources[key])
    assert list(file.sources) == ["horn", "bell", "residual"]
    assert file.sources["horn"].dtype == np.float32


def test_flac_stems_and_residual_add_up_to_24_bits(fake_separator, wav, tmp_path, tolerance):
    path = wav(9000, 22050, 2)
    result = fake_separator().separator.separate_to(path, tmp_path, format="flac", residual=True)
    assert {stem.suffix for stem in result.stems.values()} == {".flac"}
    total = sum(soundfile.read(stem)[0] for stem in result.stems.values())
    limit = tolerance["residual"] + tolerance["residual_flac"]
    assert np.abs(total - soundfile.read(path)[0]).max() <= limit


@pytest.mark.parametrize(
    ("threshold", "found"),
    [(0.5, ["bell", "drum"]), (0.51, ["bell"]), (0.0, ["bell", "drum", "horn"]), (1.0, [])],
)
def test_categories_that_are_present(fake_separator, noise, threshold, found):
    result = fake_separator().separator.separate(
        noise(1, 4000), sample_rate=8000, threshold=threshold
    )
    assert list(result.sources) == found
    assert result.presence == pytest.approx({"bell": 0.9, "drum": 0.5, "horn": 0.1})


def test_a_category_clearly_present_in_one_window_is_present(fake_separator, noise):
    def once(call, answer):
        presence = np.zeros_like(answer.presence)
        presence[:, 2] = 0.99 if call == 3 else 0.0
        presence[:, 1] = 0.7 if call == 3 else 0.0
        return answer._replace(presence=presence)

    result = fake_separator(fault=once).separator.separate(noise(1, 9000), sample_rate=8000)
    assert list(result.sources) == ["horn"]


def test_looking_for_categories_asks_the_engine_once(fake_separator, noise):
    """One that cannot stop between its steps, for all that there are; and never again."""
    asked = []

    def listen(call, answer):
        asked.append(answer.sources.shape[1])
        return answer

    fake_separator(fault=listen).separator.separate(noise(1, 4000), sample_rate=8000)
    assert asked == [3] * len(asked)


def test_nothing_present_leaves_no_folder(fake_separator, wav, tmp_path, tree):
    path = wav()
    result = fake_separator().separator.separate_to(path, tmp_path / "out", threshold=1.0)
    assert result.stems == {}
    assert tree(tmp_path) == ["mix.wav"]


UNKNOWN = {
    "unknown": (["bell", "gong"], "'gong'", "expected one of bell, drum, horn"),
    "case": (["Bell"], "'Bell'", "bell, drum, horn"),
    "repeated": (["bell", "horn", "bell"], "'bell' twice", "once"),
    "text": ("bell", "the text 'bell'", "Write ['bell']"),
    "number": ([1], "got 1", "Choose"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_categories_that_there_are_not(fake_separator, wav, tmp_path, tree, fails, name):
    categories, *parts = UNKNOWN[name]
    opened = fake_separator()
    path = wav()
    for call in (
        lambda: opened.separator.separate(path, categories),
        lambda: opened.separator.separate_to(path, tmp_path / "out", categories),
        lambda: opened.separator.stream(sample_rate=8000, categories=categories),
    ):
        with fails(CategoryError, *parts):
            call()
    assert opened.engine.calls == 0
    assert tree(tmp_path) == ["mix.wav"]


def test_categories_from_a_generator(fake_separator, noise):
    names = (name for name in ("horn", "drum"))
    result = fake_separator().separator.separate(noise(1, 2000), names, sample_rate=8000)
    assert list(result.sources) == ["horn", "drum"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_wav_with_a_sample_that_is_no_number(
    fake_separator, wav, noise, tmp_path, tree, fails, bad
):
    signal = noise(2, 9000)
    signal[1, 7654] = bad
    path = wav(signal=signal)
    with fails(AudioError, f"{path}: got {bad} in channel 1 at sample 7654"):
        fake_separator().separator.separate_to(path, tmp_path / "out" / "deep", ["bell"])
    assert tree(tmp_path) == ["mix.wav"]


def test_a_truncated_file_leaves_nothing(fake_separator, wav, tmp_path, tree, fails):
    for name in ("mix.flac", "mix.wav"):
        path = wav(30000, name=name)
        path.write_bytes(path.read_bytes()[:-9000])
        with fails(AudioError, str(path)):
            fake_separator().separator.separate_to(path, tmp_path / "out", ["bell"])
        path.unlink()
    assert tree(tmp_path) == []


def test_an_engine_that_fails_in_the_end_leaves_nothing(fake_separator, wav, tmp_path, tree, fails):
    def late(call, answer):
        if call == 9:
            raise RuntimeError("device lost")
        return answer

    path = wav(9000)
    (tmp_path / "out").mkdir()
    with fails(EngineError, "device lost"):
        fake_separator(fault=late).separator.separate_to(path, tmp_path / "out", ["bell"])
    assert tree(tmp_path) == ["mix.wav", "out"]


def test_an_output_that_cannot_be_is_told_before_any_work(
    fake_separator, wav, tmp_path, tree, fails
):
    path = wav()
    (tmp_path / "file").write_text("mine")
    opened = fake_separator()
    with fails(AudioError, f"{tmp_path / 'file'}", "no folder"):
        opened.separator.separate_to(path, tmp_path / "file")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mix").write_text("mine")
    with fails(AudioError, f"{tmp_path / 'out' / 'mix'}", "no folder"):
        opened.separator.separate_to(path, tmp_path / "out")
    assert opened.engine.calls == 0
    assert tree(tmp_path) == ["file", "mix.wav", "out", "out/mix"]


def test_the_input_is_never_its_own_stem(fake_separator, wav, tmp_path, fails):
    (tmp_path / "bell").mkdir()
    path = wav(name="bell/bell.wav")
    before = path.read_bytes()
    with fails(AudioError, "the input itself"):
        fake_separator().separator.separate_to(path, tmp_path, ["bell"])
    assert path.read_bytes() == before


ARRAYS = {
    "no rate": (np.zeros(9, "f4"), None, AudioError, "sample_rate: got none"),
    "empty": (np.zeros((1, 0), "f4"), 8000, AudioError, "got shape (1, 0)"),
    "no channel": (np.zeros((0, 9), "f4"), 8000, AudioError, "got shape (0, 9)"),
    "three axes": (np.zeros((1, 1, 9), "f4"), 8000, AudioError, "got shape (1, 1, 9)"),
    "samples first": (np.zeros((9000, 2), "f4"), 8000, AudioError, "Put channels first"),
    "integers": (np.zeros((1, 9), "i8"), 8000, AudioError, "mixture: got int64 samples"),
    "ragged": ([[0.0, 0.0], [0.0]], 8000, AudioError, "one length"),
    "bytes": (b"abc", 8000, AudioError, "bytes: got a file that does not read as audio"),
    "rate 0": (np.zeros(9, "f4"), 0, AudioError, "got 0 Hz"),
    "rate 999": (np.zeros(9, "f4"), 999, AudioError, "from 1000 to 768000"),
    "rate huge": (np.zeros(9, "f4"), 10**6, AudioError, "from 1000 to 768000"),
    "half a hertz": (np.zeros(9, "f4"), 8000.5, AudioError, "a whole number"),
    "rate nan": (np.zeros(9, "f4"), float("nan"), AudioError, "a whole number"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_cannot_be(fake_separator, fails, name):
    array, rate, kind, part = ARRAYS[name]
    with fails(kind, part):
        fake_separator().separator.separate(array, sample_rate=rate)


def test_options_that_cannot_be(fake_separator, wav, tmp_path, fails):
    separator = fake_separator().separator
    path = wav()
    for threshold in (-0.1, 1.1, float("nan")):
        with fails(ConfigError, "threshold: got"):
            separator.separate(path, threshold=threshold)
    with fails(AudioError, "format: got 'mp3', expected wav or flac"):
        separator.separate_to(path, tmp_path / "out", format="mp3")
    with fails(AudioError, "got 44100 Hz, expected the file's own 8000 Hz"):
        separator.separate(path, sample_rate=44100)
    with fails(AudioError, "channels: got 0"):
        separator.stream(sample_rate=8000, channels=0)


def test_integers_and_other_layouts_of_memory(fake_separator, noise):
    separator = fake_separator().separator
    signal = noise(2, 4000)
    expected = separator.separate(signal, ["bell"], sample_rate=8000).sources["bell"]
    for same in (np.asfortranarray(signal), signal.astype("f8"), signal.tolist()):
        got = separator.separate(same, ["bell"], sample_rate=8000).sources["bell"]
        np.testing.assert_array_equal(got, expected)
    frozen = signal.copy()
    frozen.setflags(write=False)
    got = separator.separate(frozen, ["bell"], sample_rate=np.int64(8000)).sources["bell"]
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(frozen, signal)


def test_progress_goes_from_0_to_1_and_never_back(fake_separator, wav, tmp_path):
    path = wav(40000)
    separator = fake_separator().separator
    for categories in (None, ["bell"]):
        told = []
        separator.separate(path, categories, progress=told.append)
        disk = []
        separator.separate_to(path, tmp_path / "out", categories, progress=disk.append)
        assert told == disk
        assert told == sorted(told)
        assert len(set(told)) > 10
        assert told[0] > 0
        assert told[-1] == pytest.approx(1.0)


def test_an_error_of_the_callers_own_passes_unchanged(fake_separator, wav, tmp_path, tree):
    def stop(done):
        raise BrokenPipeError("gone")

    path = wav()
    with pytest.raises(BrokenPipeError, match="gone"):
        fake_separator().separator.separate_to(path, tmp_path / "out", ["bell"], progress=stop)
    assert tree(tmp_path) == ["mix.wav"]


def test_the_report(fake_separator, noise):
    signal = noise(2, 6000)
    opened = fake_separator()
    result = opened.separator.separate(signal, sample_rate=8000)
    assert result.engine == "fake"
    assert result.windows["fake"] == opened.engine.calls, "the network once for each window"
    assert result.replacements == ()
    assert result.peak == float(np.abs(signal).max())
    assert result.timings.separate > 0
    assert result.real_time_factor == pytest.approx(result.timings.separate / 0.75)
    silent = opened.separator.separate(np.zeros(100, "f4"), sample_rate=8000)
    assert silent.peak == 0.0


def peak_memory(work) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rate", [8000, 44099])
def test_memory_does_not_grow_with_length(fake_separator, wav, tmp_path, rate, monkeypatch):
    """Disk to disk, all stems: four times the recording takes the same memory."""
    # Windows of a small model: thousands of them would be held.
    monkeypatch.setattr("sgn_rt.streaming.finder.HOLD_BYTES", 1)
    monkeypatch.setattr("sgn_rt.audio.stem_store.BLOCK", 4096)
    separator = fake_separator().separator
    signal = np.tile(np.sin(np.arange(rate, dtype=np.float32)), (1, 16))

    def separate(seconds):
        path = wav(rate=rate, signal=signal[:, : seconds * rate], name=f"{seconds}.wav")
        separator.separate_to(path, tmp_path / "out", residual=True)

    separate(1)
    short, long = (peak_memory(lambda s=s: separate(s)) for s in (4, 16))
    # 12 s more are 4 * 12 * rate bytes for each of four signals, were they kept.
    assert long - short < 4 * 12 * rate / 4


def test_after_close(fake_separator, noise, fails):
    separator = fake_separator().separator
    with separator:
        separator.separate(noise(1, 100), sample_rate=8000)
    with fails(SgnError, "after close()"):
        separator.separate(noise(1, 100), sample_rate=8000)
    separator.close()


def test_opening(open_fakes, fake_engine, config, bundle_folder, fails):
    engine = fake_engine(config, "first")
    with open_fakes({"first": engine}) as separator:
        assert separator.categories == ("bell", "drum", "horn")
        assert separator.config == config
        assert separator.bundle.root == Path(bundle_folder)
        assert [str(result.stage) for result in separator.parity] == ["whole", "level", "decision"]
        result = separator.separate(np.zeros(10, "f4"), sample_rate=8000)
        assert result.timings.load > 0
        assert result.timings.warm_up > 0
    from sgn_rt import Separator

    for wrong in (0, 1.5, "a", True):
        with fails(ConfigError, f"threads: got {wrong!r}"):
            Separator.open(bundle_folder, threads=wrong)


def test_a_category_whose_name_is_no_file_name(fake_separator, small_config, wav, tmp_path, tree):
    names = ("a/b", "..", "child speech, kid speaking")
    model = small_config(n_fft=32, hop_length=8, categories=names)
    separator = fake_separator(config=model).separator
    path = wav()
    result = separator.separate_to(path, tmp_path / "out", names)
    assert list(result.stems) == list(names)
    assert all(stem.parent == tmp_path / "out" / "mix" for stem in result.stems.values())
    assert len(tree(tmp_path / "out" / "mix")) == 3 + 1  # the manifest


def test_what_is_chosen_for_a_gpu_reaches_the_engine(monkeypatch):
    asked = []

    def open_tensorrt(bundle, *, name, options, **more):
        asked.append((name, options))
        raise UnavailableError(f"{name}: got no GPU, expected one. Get one.")

    monkeypatch.setattr(factory, "open_tensorrt", open_tensorrt)
    chosen = RunOptions(lanes=1, graphs=False)
    with Separator.open(parity="off", gpu=chosen):
        pass
    assert asked == [("tensorrt", chosen), ("tensorrt-rtx", chosen)]


@pytest.mark.parametrize("sample_format", ["int24", None, 16, ["float32"]])
def test_a_sample_format_that_there_is_not(sample_format, fails):
    with fails(ConfigError, "sample format", "expected float32, float16, int16, dithered-int16"):
        Separator.open(sample_format=sample_format)
