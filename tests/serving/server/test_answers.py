"""Answers that are sent while they are made."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import pytest

from sgn_rt.serving.server import answers


@pytest.fixture
def large(tmp_path):
    """A stem of 64 MiB, which takes no room."""
    path = tmp_path / "bell.wav"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    return path


@pytest.mark.parametrize("form", ["zip", "multipart", "alone"])
def test_no_stem_is_in_memory_as_a_whole(large, form):
    made = {
        "zip": lambda: answers.as_zip({}, {"bell": large}),
        "multipart": lambda: answers.as_multipart("x", "audio/wav", {}, {"bell": large}),
        "alone": lambda: answers.blocks(large),
    }[form]()
    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in made)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size >= 64 << 20
    assert most < 4 << 20


def test_stems_beyond_four_gibibytes_fit(tmp_path, monkeypatch):
    """Where the limit is a thousand bytes, those of two thousand are as large."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    path = tmp_path / "bell.wav"
    path.write_bytes(bytes(range(256)) * 8)
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answers.as_zip({"a": 1}, {"bell": path}))))
    assert archive.read("bell.wav") == path.read_bytes()
    assert archive.read("report.json") == b'{\n  "a": 1\n}'


def test_equal_stems_make_equal_zips(tmp_path):
    path = tmp_path / "bell.wav"
    path.write_bytes(b"sound")
    first, second = (b"".join(answers.as_zip({}, {"bell": path})) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("bell.wav", 'attachment; filename="bell.wav"'),
        ('a"b\r\nX: y', "attachment; filename=\"a_b__X: y\"; filename*=UTF-8''a%22b%0D%0AX%3A%20y"),
        ("b\u00e4.wav", "attachment; filename=\"b_.wav\"; filename*=UTF-8''b%C3%A4.wav"),
    ],
)
def test_names_stay_in_their_header(name, header):
    assert answers.attachment(name) == header
