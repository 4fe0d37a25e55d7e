"""Recordings of files and arrays: the same sound, whole or an excerpt of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.recording import open_recording
from sgn_rt.audio.samples import SMALLEST
from sgn_rt.errors import AudioError, ConfigError

RATE = 8000


@pytest.fixture
def sound(noise) -> np.ndarray:
    """Two channels of 3 s."""
    return noise(2, 3 * RATE)


@pytest.fixture(params=["array", "int16", "list", "wav", "flac", "ogg", "mp3", "bytes", "file"])
def given(request, sound, tmp_path):
    """The sound in one of its forms: what to give, the rate, and the samples that it holds."""
    kind = request.param
    if kind == "array":
        return sound, RATE, sound
    if kind == "int16":
        pcm = np.round(sound * 2**15).astype(np.int16)
        return pcm, RATE, pcm / np.float32(2**15)
    if kind == "list":
        return sound.tolist(), RATE, sound
    path = tmp_path / f"a.{kind if len(kind) == 3 or kind == 'flac' else 'wav'}"
    soundfile.write(path, sound.T, RATE)
    held = read(open_recording(path), 10**6)
    # An MP3 differs by a rounding: soundfile seeks, and its decoder begins anew there.
    np.testing.assert_allclose(held, soundfile.read(path, dtype="float32")[0].T, atol=2e-7)
    if kind == "bytes":
        return path.read_bytes(), None, held
    if kind == "file":
        return io.BytesIO(path.read_bytes()), None, held
    return path, None, held


def read(recording, size=777):
    return np.concatenate(list(recording.blocks(size)), axis=1)


def test_a_recording_is_the_sound_as_often_as_is_wanted(given):
    mixture, rate, held = given
    recording = open_recording(mixture, rate)
    assert (recording.sample_rate, recording.channels) == (RATE, 2)
    assert (recording.samples, recording.start, recording.salvaged) == (held.shape[1], 0, None)
    for size in (777, 10**6):
        out = read(recording, size)
        assert out.dtype == np.float32
        np.testing.assert_array_equal(out, held)


@pytest.mark.parametrize(
    ("start_s", "duration_s", "start", "stop"),
    [(0, None, 0, None), (0, 1, 0, 8000), (1.5, None, 12000, None), (0.5, 0.25, 4000, 6000),
     (1 / 3, 1 / 3, 2667, 5334), (2.0, 0.000125, 16000, 16001), (np.float32(0.5), 1, 4000, 12000)],
)  # fmt: skip
def test_an_excerpt_is_exactly_that_part(given, start_s, duration_s, start, stop):
    mixture, rate, held = given
    recording = open_recording(mixture, rate, start_s=start_s, duration_s=duration_s)
    assert recording.start == start
    expected = held[:, start:stop]
    assert recording.samples == expected.shape[1]
    for size in (777, 10**6):
        np.testing.assert_array_equal(read(recording, size), expected)


def test_an_excerpt_may_go_to_the_very_end(given):
    mixture, rate, held = given
    seconds = held.shape[1] / RATE
    recording = open_recording(mixture, rate, start_s=1.0, duration_s=seconds - 1.0)
    np.testing.assert_array_equal(read(recording), held[:, RATE:])


@pytest.mark.parametrize(
    ("start_s", "duration_s", "part"),
    [(-0.1, None, "start: got -0.1 s"), (3.0, None, "start: got 3 s"), (1e308, None, "start: got"),
     (0, 0, "duration: got 0 s"), (0, -1, "duration: got -1 s"), (1, 2.1, "duration: got 2.1 s"),
     (0, 1e308, "duration: got"), (0, 1e-9, "duration: got"), ("1", None, "start: got '1'"),
     (float("nan"), None, "start: got nan"), (0, float("inf"), "duration: got inf"),
     (None, None, "start: got None"), (0, True, "duration: got True"), (10**400, None, "start")],
)  # fmt: skip
def test_an_excerpt_that_it_does_not_have(sound, fails, start_s, duration_s, part):
    with fails(AudioError, f"mixture: {part}"):
        open_recording(sound, RATE, start_s=start_s, duration_s=duration_s)


def test_an_excerpt_of_a_damaged_file_may_lie_before_the_damage(tmp_path, sound, fails):
    path = tmp_path / "a.flac"
    soundfile.write(path, sound.T, RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 900] = bytes(900)
    path.write_bytes(content)
    early = open_recording(path, start_s=0.2, duration_s=0.5)
    assert read(early).shape == (2, 4000)
    with fails(AudioError, "damaged"):
        read(open_recording(path, start_s=0.2))


def test_what_was_salvaged_is_told(tmp_path, sound, fails):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound.T, RATE)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-32_000])
    with fails(AudioError, "opy it again"):
        open_recording(path)
    recording = open_recording(path, salvage=True)
    assert recording.samples == 2 * RATE
    assert recording.salvaged == (
        f"got {size - 32_000 - 44} of {size - 44} bytes or frames; 16000 samples (2.00 s) were read"
    )
    np.testing.assert_allclose(read(recording), sound[:, : 2 * RATE], atol=3.1e-5)


def test_limits_refuse_what_is_longer_or_has_more_channels(given, fails):
    mixture, rate, held = given
    seconds = held.shape[1] / RATE
    assert open_recording(mixture, rate, most_seconds=seconds, most_channels=2).channels == 2
    with fails(AudioError, "s or more, expected at most 2.9 s"):
        open_recording(mixture, rate, most_seconds=2.9, duration_s=1.0)
    with fails(AudioError, "got 2 channels, expected 1 to 1"):
        open_recording(mixture, rate, most_channels=1)
    with fails(ConfigError, "most seconds"):
        open_recording(mixture, rate, most_seconds=0)


def test_rates_of_arrays_and_files(sound, tmp_path, fails):
    soundfile.write(tmp_path / "a.wav", sound.T, RATE)
    assert open_recording(tmp_path / "a.wav", RATE).sample_rate == RATE
    with fails(AudioError, "expected the file's own 8000 Hz"):
        open_recording(tmp_path / "a.wav", 44100)
    with fails(AudioError, "sample_rate: got none"):
        open_recording(sound)
    for wrong in ("8000", [8000], True, 8000.5, object()):
        with fails(AudioError, "sample rate: got"):
            open_recording(sound, wrong)


def test_an_array_is_not_copied_before_it_is_read(sound):
    recording = open_recording(sound, RATE)
    sound[:] = 0.25
    out = read(recording)
    assert (out == 0.25).all()
    assert not np.shares_memory(next(iter(recording.blocks(10))), sound)


def test_samples_that_are_no_numbers_are_told_with_their_place(tmp_path, sound, fails):
    sound[1, 5000] = np.nan
    soundfile.write(tmp_path / "a.wav", sound.T, RATE, subtype="FLOAT")
    for mixture, rate in ((sound, RATE), (tmp_path / "a.wav", None)):
        with fails(AudioError, "got nan in channel 1 at sample 5000"):
            read(open_recording(mixture, rate, start_s=0.5))


def test_what_is_too_small_to_hear_is_zero(tmp_path, sound):
    tiny = sound * np.float32(1e-37)
    soundfile.write(tmp_path / "a.wav", tiny.T, RATE, subtype="FLOAT")
    for mixture, rate in ((tiny, RATE), (tmp_path / "a.wav", None)):
        assert not read(open_recording(mixture, rate)).any()
    assert np.finfo(np.float32).smallest_normal < SMALLEST
