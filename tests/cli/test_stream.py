"""``sgn-rt stream``, on the model and the music that ship with the package."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import soundfile

import sgn_rt


class _Pipe:
    def __init__(self, data: bytes = b"") -> None:
        self.buffer = io.BytesIO(data)

    def isatty(self) -> bool:
        return False

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(("sample_format", "dtype"), [("s16le", "<i2"), ("f32le", "<f4")])
def test_stream_is_separate(run, clip, tmp_path, monkeypatch, sample_format, dtype):
    mono, _ = soundfile.read(clip, dtype="float32")
    stereo = np.stack((mono, 0.5 * mono), axis=1)
    if dtype == "<i2":
        sent = np.rint(stereo * 32767).astype(dtype)
        expected_input = sent.astype(np.float32) / 32768
    else:
        sent = expected_input = stereo.astype(dtype)
    stdin, stdout = _Pipe(sent.tobytes()), _Pipe()
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stdout", stdout)
    result = run("stream", "--rate", 44100, "--channels", 2, "--categories", "tuba,piano",
                 "--sample-format", sample_format)  # fmt: skip
    assert result.code == 0
    assert "latency" in result.err
    received = np.frombuffer(stdout.buffer.getvalue(), dtype).reshape(-1, 4).astype(np.float32)
    with sgn_rt.Separator.open() as separator:
        whole = separator.separate(expected_input.T, ["tuba", "piano"], sample_rate=44100)
    expected = np.concatenate((whole.sources["tuba"], whole.sources["piano"])).T
    scale = 32768.0 if dtype == "<i2" else 1.0
    assert np.abs(received / scale - expected).max() <= (0.5 / 32768 if dtype == "<i2" else 0.0)


def test_stream_of_broken_frames_separates_the_whole_ones_and_says_so(run, monkeypatch):
    stdin, stdout = _Pipe(b"\0" * (4 * 100 + 3)), _Pipe()
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stdout", stdout)
    result = run("stream", "--rate", 44100, "--channels", 2, "--categories", "tuba")
    assert result.code == 2
    assert "3 bytes" in result.err
    assert len(stdout.buffer.getvalue()) == 4 * 100


def test_stream_without_categories_is_refused(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", _Pipe())
    result = run("stream", "--rate", 44100, "--categories", ",")
    assert result.code == 2
    assert "--categories: got ',', expected at least one" in result.err


def test_stream_latency_that_cannot_be_had(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", _Pipe())
    result = run("stream", "--rate", 44100, "--categories", "tuba", "--latency", "0.01")
    assert result.code == 2
    assert "latency" in result.err
