"""Where recordings come from: files of any name, bytes, file objects."""

from __future__ import annotations

import io
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.reader import open_audio
from sgn_rt.audio.source import Source, is_encoded, printable
from sgn_rt.errors import AudioError


@pytest.fixture
def sound(noise) -> np.ndarray:
    return noise(2, 20_000)


@pytest.fixture(params=["WAV", "FLAC"])
def content(request, sound) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound.T, 8000, format=request.param, subtype="PCM_16")
    return file.getvalue()


def read(encoded, frames=999):
    return np.concatenate(list(open_audio(encoded).blocks(frames)), axis=1)


def spooled(data):
    file = tempfile.SpooledTemporaryFile(max_size=10)  # noqa: SIM115 - lives as long as the test
    file.write(data)
    return file


class Meagre:
    """A file object that can do what is needed, and gives a few bytes at a time."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def read(self, size=-1):
        return self._file.read(min(size, 100) if size >= 0 else 100)

    def seek(self, offset, whence=0):
        return self._file.seek(offset, whence)


WAYS = {
    "bytes": bytes, "bytearray": bytearray, "memoryview": memoryview, "BytesIO": io.BytesIO,
    "buffered": lambda data: io.BufferedReader(io.BytesIO(data)), "spooled": spooled,
    "meagre": Meagre, "slice": lambda data: memoryview(b"x" + data)[1:],
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_content_reads_as_the_file(content, tmp_path, way):
    path = tmp_path / "a"
    path.write_bytes(content)
    expected = read(path)
    given = WAYS[way](content)
    assert is_encoded(given)
    reader = open_audio(given)
    for _ in range(2):  # as often as is wanted
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks(999)), axis=1), expected)
    if hasattr(given, "close"):
        assert not given.closed
        given.close()


@pytest.mark.parametrize("kind", ["m4a", "webm"])
def test_media_from_bytes_and_file_objects(encode, kind):
    path = encode(kind)
    expected = read(path)
    np.testing.assert_array_equal(read(path.read_bytes()), expected)
    np.testing.assert_array_equal(read(Meagre(path.read_bytes())), expected)
    with path.open("rb") as file:
        np.testing.assert_array_equal(read(file), expected)


def test_a_file_object_is_read_from_its_start_wherever_it_stands(content):
    file = io.BytesIO(content)
    expected = read(content)
    file.seek(17)
    blocks = open_audio(file).blocks(1000)
    parts = [next(blocks)]
    file.seek(3)  # its owner goes on using it
    np.testing.assert_array_equal(np.concatenate([*parts, *blocks], axis=1), expected)


def test_a_file_object_serves_several_readings_at_once(content):
    reader = open_audio(io.BytesIO(content))
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(
            lambda n: np.concatenate(list(reader.blocks(n)), axis=1), [7, 100, 999, 10**5]
        )
        for out in done:
            np.testing.assert_array_equal(out, read(content))


def test_bytes_that_change_afterwards_are_not_read(content):
    given = bytearray(content)
    reader = open_audio(given)
    given[:] = bytes(len(given))
    np.testing.assert_array_equal(np.concatenate(list(reader.blocks(999)), axis=1), read(content))


@pytest.mark.parametrize("as_path", [str, Path])
def test_any_name(content, tmp_path, as_path):
    for name in (
        "a b.wav",
        "ö.wav",
        "日本.wav",
        "-.wav",
        "new\nline",
        "http:x",
        os.fsdecode(b"\xff\xfe"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        np.testing.assert_array_equal(read(as_path(path)), read(content))


def test_names_are_printable(tmp_path, fails):
    path = tmp_path / os.fsdecode(b"\xff\x1b[31m")
    path.write_bytes(b"no sound")
    with fails(AudioError, "\\udcff\\x1b[31m: got") as told:
        open_audio(path)
    assert told.message.isprintable()
    told.message.encode()
    assert printable(b"a\xffb") == "a\\udcffb"


class Failing(io.BytesIO):
    """A file object whose disk goes away."""

    left = 10**9

    def read(self, size=-1):
        if self.left < 0:
            raise RuntimeError("disk gone")
        self.left -= size
        return super().read(size)


def test_what_reading_raises_is_told(content, fails):
    broken = Failing(content)
    broken.left = 0
    with fails(AudioError, "disk gone"):
        open_audio(broken)
    broken.left = 10**9
    reader = open_audio(broken)
    broken.left = 8000
    with fails(AudioError, "disk gone"):
        list(reader.blocks(500))


def test_media_whose_reading_raises_is_told(encode, fails):
    broken = Failing(encode("webm").read_bytes())
    broken.left = 20_000
    with fails(AudioError, "disk gone"):
        read(broken)


class TooMuch(io.BytesIO):
    """Gives more than it was asked for: C libraries would write it beyond their buffers."""

    def read(self, size=-1):
        return super().read(size + 5000 if size > 0 else size)


def test_a_file_object_that_gives_too_much(content, encode, fails):
    for data in (content, encode("webm").read_bytes()):
        with fails(AudioError, "bytes where"):
            read(TooMuch(data))


class Lists:
    def read(self, size=-1):
        return [0.0]

    def seek(self, offset, whence=0):
        return 0


def test_what_is_no_file_object(tmp_path, fails):
    with fails(AudioError, "file object: got a file object that reads str"):
        open_audio(io.StringIO("text"))
    with fails(AudioError, "reads list"):
        open_audio(Lists())
    (tmp_path / "a").write_bytes(b"")
    with (tmp_path / "a").open("rb") as file:
        pass
    with fails(AudioError, "a: got a file object that cannot seek (seek of closed file)"):
        open_audio(file)
    end, start = os.pipe()
    os.close(start)
    with os.fdopen(end, "rb") as pipe, fails(AudioError, "cannot seek", "give the bytes"):
        open_audio(pipe)


def test_a_file_that_may_not_be_read(tmp_path, content, monkeypatch, fails):
    (tmp_path / "a.wav").write_bytes(content)

    def refuse(self, *args):
        raise PermissionError(13, "Permission denied")

    source = Source.of(tmp_path / "a.wav")
    monkeypatch.setattr(Path, "open", refuse)
    with fails(AudioError, "a.wav: got Permission denied"):
        source.open()


def test_samples_are_no_encoded_recording():
    for samples in (np.zeros(3), [0.0], memoryview(np.zeros(3)), memoryview(np.zeros(3, "i2"))):
        assert not is_encoded(samples)
