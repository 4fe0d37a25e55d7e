"""Audio files: what reads, and how what does not read is told."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.reader import open_audio
from sgn_rt.errors import AudioError

WHOLE = {
    "wav": ("WAV", "PCM_16"), "wav24": ("WAV", "PCM_24"), "wavf": ("WAV", "FLOAT"),
    "wavu8": ("WAV", "PCM_U8"), "rf64": ("RF64", "PCM_16"), "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"), "au": ("AU", "PCM_16"), "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"), "caf": ("CAF", "PCM_16"),
}  # fmt: skip


@pytest.fixture
def written(tmp_path, noise):
    def write(kind: str, channels: int = 2, rate: int = 48000, samples: int = 30000):
        path = tmp_path / f"sound.{kind}"
        form, subtype = WHOLE[kind]
        soundfile.write(path, noise(channels, samples).T, rate, format=form, subtype=subtype)
        return path

    return write


def read(path, frames):
    return np.concatenate(list(open_audio(path).blocks(frames)), axis=1)


@pytest.mark.parametrize("kind", WHOLE)
def test_blocks_are_the_file(written, kind):
    path = written(kind)
    reader = open_audio(path)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    assert (reader.sample_rate, reader.channels, reader.frames) == (48000, *expected.shape)
    for frames in (777, 30000, 10**6):
        np.testing.assert_array_equal(read(path, frames), expected)
    first = next(iter(reader.blocks(500)))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, expected[:, :500])
    np.testing.assert_array_equal(next(iter(reader.blocks(500))), first)  # from its start again


@pytest.mark.parametrize(
    "kind", ["wav", "wav24", "wavf", "rf64", "w64", "aiff", "au", "flac", "mp3"]
)
@pytest.mark.parametrize("share", [0.6, 0.99])
def test_a_truncated_file_is_never_a_shorter_one(written, fails, kind, share):
    path = written(kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with fails(AudioError, str(path), "opy it again"):
        read(path, 4096)


def test_damage_within_is_told(written, fails):
    path = written("flac")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    path.write_bytes(content)
    with fails(AudioError, str(path), "damaged"):
        read(path, 4096)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_was_written_to_a_pipe_goes_to_its_end(written, size):
    path = written("wav")
    expected = read(path, 4096)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = size.to_bytes(4, "little")
    content[4:8] = size.to_bytes(4, "little")
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path, 4096), expected)


def test_a_flac_without_its_length_goes_to_its_end(written, cut, fails):
    path = written("flac")
    expected = read(path, 4096)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO's 36 bits of total samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path, 4096), expected)
    with fails(AudioError, "damaged"):
        open_audio(cut(path, 0.7))


@pytest.mark.parametrize("kind", ["mp3", "opus", "ogg", "flac"])
def test_blocks_of_any_size_give_the_same_samples(written, kind):
    """To the bit: decoders are not sent back to where they are."""
    path = written(kind)
    whole = read(path, 10**6)
    for frames in (1, 100, 999, 1024, 29_999):
        np.testing.assert_array_equal(read(path, frames), whole)
    for start in (1, 700, 29_990):
        part = np.concatenate(list(open_audio(path).blocks(500, start)), axis=1)
        np.testing.assert_array_equal(part, whole[:, start:])


def test_an_empty_recording(tmp_path, fails):
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), 8000)
    with fails(AudioError, "none.wav: got no samples"):
        open_audio(tmp_path / "none.wav")


NOT_AUDIO = {
    "empty.wav": b"",
    "text.wav": b"this is no sound at all\n" * 100,
    "bytes.flac": bytes(range(256)) * 20,
    "samples.raw": bytes(8000),
    "header.wav": b"RIFF\x24\x00\x00\x00WAVE",
}


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_what_is_no_audio(tmp_path, fails, name):
    (tmp_path / name).write_bytes(NOT_AUDIO[name])
    with fails(AudioError, name, "Convert it"):
        open_audio(tmp_path / name)


def test_what_is_no_file(tmp_path, fails):
    with fails(AudioError, "none.wav: got no such file"):
        open_audio(tmp_path / "none.wav")
    with fails(AudioError, f"{tmp_path}: got a folder"):
        open_audio(tmp_path)
    (tmp_path / "file").touch()
    with fails(AudioError, "got Not a directory"):
        open_audio(tmp_path / "file" / "sound.wav")
    with fails(AudioError, "got"):
        open_audio(f"{tmp_path}/{'x' * 5000}.wav")
    with fails(AudioError, "null"):
        open_audio("a\0b.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    with fails(AudioError, "got a pipe or device"):
        open_audio(tmp_path / "pipe.wav")
