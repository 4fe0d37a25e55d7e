"""One audio file, written in blocks."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from sgn_rt.audio import writer
from sgn_rt.audio.writer import AudioWriter
from sgn_rt.errors import AudioError, StorageError


def write(path, signal, blocks=4, **options):
    with AudioWriter(path, 8000, *signal.shape, **options) as file:
        for part in np.array_split(signal, blocks, axis=1):
            file.write(part)
    return file


@pytest.mark.parametrize(
    ("kind", "subtype", "limit"), [("wav", "FLOAT", 0.0), ("flac", "PCM_24", 1.2e-7)]
)
def test_what_is_written_is_what_was_given(tmp_path, noise, kind, subtype, limit):
    signal = noise(2, 1000)
    path = tmp_path / f"bell.{kind}"
    file = write(path, signal)
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.frames) == (8000, 2, 1000)
    assert (info.subtype, info.format) == (subtype, kind.upper())
    assert np.abs(soundfile.read(path, dtype="float32")[0].T - signal).max() <= limit
    assert (file.frames, file.peak) == (1000, float(np.abs(signal).max()))
    assert not file.clipped


def test_clipping_is_told_where_the_format_clips(tmp_path):
    loud = np.array([[0.5, 1.5, -1.5, 0.0]], np.float32)
    assert write(tmp_path / "bell.flac", loud).clipped
    got = soundfile.read(tmp_path / "bell.flac", dtype="float32")[0]
    np.testing.assert_allclose(got, [0.5, 1.0, -1.0, 0.0], atol=2.5e-7)
    assert not write(tmp_path / "full.flac", loud.clip(-1, 1)).clipped
    assert not write(tmp_path / "bell.wav", loud).clipped
    np.testing.assert_array_equal(soundfile.read(tmp_path / "bell.wav")[0], loud[0])


def test_beyond_32_bit_sizes_it_is_rf64(tmp_path, monkeypatch, noise):
    monkeypatch.setattr(writer, "WAV_LIMIT", 2 * 1000 * 4 - 1)
    signal = noise(2, 1000)
    write(tmp_path / "bell.wav", signal)
    assert soundfile.info(tmp_path / "bell.wav").format == "RF64"
    np.testing.assert_array_equal(
        soundfile.read(tmp_path / "bell.wav", dtype="float32")[0].T, signal
    )


def test_too_few_samples_are_an_error(tmp_path, noise, fails):
    with fails(AudioError, "990 of 1000 frames in bell.wav"):  # noqa: SIM117 - the order counts
        with AudioWriter(tmp_path / "bell.wav", 8000, 1, 1000) as file:
            file.write(noise(1, 990))


def test_an_error_of_the_callers_own_passes_unchanged(tmp_path, noise):
    def fail():
        with AudioWriter(tmp_path / "bell.wav", 8000, 1, 1000) as file:
            file.write(noise(1, 990))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_a_short_write_is_told(tmp_path, monkeypatch, noise, fails):
    def write_less(self, data):
        raise AssertionError  # what soundfile does where fewer frames were written

    monkeypatch.setattr(soundfile.SoundFile, "write", write_less)
    with fails(StorageError, f"{tmp_path}: got a short write"):
        write(tmp_path / "bell.wav", noise(1, 1000), place=tmp_path)


def test_a_place_that_is_no_utf_8(tmp_path, noise):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    assert write(folder / "bell.wav", noise(1, 1000)).frames == 1000
    assert os.listdir(os.fsencode(folder)) == [b"bell.wav"]


def test_formats_limits_are_told(tmp_path, noise, fails):
    with fails(AudioError, "format's limits"):
        write(tmp_path / "bell.flac", noise(9, 1000))


def test_permissions_are_those_of_the_users_umask(tmp_path, noise):
    before = os.umask(0o002)
    try:
        write(tmp_path / "bell.wav", noise(1, 1000))
    finally:
        os.umask(before)
    assert (tmp_path / "bell.wav").stat().st_mode & 0o777 == 0o664


def test_two_files_of_the_same_sound_are_the_same(tmp_path, noise):
    """No peak, which takes longer to find than to write the file, and no time of day beside it."""
    first, again = tmp_path / "first.wav", tmp_path / "again.wav"
    for path in (first, again):
        write(path, noise(2, 1000))
    assert b"PEAK" not in first.read_bytes()[:200]
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_peak_is_of_either_sign(tmp_path, sign):
    assert write(tmp_path / "bell.wav", np.float32([[0.1, sign * 0.75, -0.2, 0.3]])).peak == 0.75


FULL = """
import sys
from pathlib import Path
import numpy as np
from sgn_rt.audio.writer import AudioWriter
from sgn_rt.errors import AudioError
path = Path(sys.argv[1])
noise = 0.5 * np.random.default_rng(0).standard_normal((2, 9999)).astype(np.float32)
try:
    with AudioWriter(path, 8000, 2, 9999) as file:
        for at in range(0, 9999, 1111):
            file.write(noise[:, at:at + 1111])
except AudioError as error:
    print(error)
"""


@pytest.mark.parametrize("optimised", [[], ["-O"]])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_full_disk_is_one_clear_error(tmp_path, kind, optimised):
    """A real limit on the size of files; also where soundfile's assertions are compiled away."""
    done = subprocess.run(
        [sys.executable, *optimised, "-c", FULL, tmp_path / f"bell.{kind}"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert f"bell.{kind}: got " in done.stdout
    assert "free space" in done.stdout
