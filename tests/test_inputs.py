"""Whatever holds a recording, the separator makes the same of it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile


def tensor(array):
    return pytest.importorskip("torch").from_numpy(array)


WAYS = {
    "str": lambda path, pcm: (str(path), None),
    "path": lambda path, pcm: (Path(path), None),
    "bytes": lambda path, pcm: (path.read_bytes(), None),
    "bytearray": lambda path, pcm: (bytearray(path.read_bytes()), None),
    "memoryview": lambda path, pcm: (memoryview(path.read_bytes()), None),
    "file object": lambda path, pcm: (io.BytesIO(path.read_bytes()), None),
    "int16": lambda path, pcm: (pcm, 8000),
    "int32": lambda path, pcm: (pcm.astype(np.int32) << 16, 8000),
    "float64": lambda path, pcm: (pcm / 2.0**15, 8000),
    "list": lambda path, pcm: ((pcm / 2.0**15).tolist(), 8000.0),
    "tensor": lambda path, pcm: (tensor(pcm / np.float32(2**15)), np.int64(8000)),
    "int16 tensor": lambda path, pcm: (tensor(pcm), 8000),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same_sources(fake_separator, noise, tmp_path, way):
    pcm = np.round(noise(2, 5000) * 2**15).astype(np.int16)
    soundfile.write(tmp_path / "mix.wav", pcm.T, 8000, subtype="PCM_16")
    separator = fake_separator().separator
    expected = separator.separate(pcm / np.float32(2**15), ["bell", "horn"], sample_rate=8000)
    mixture, rate = WAYS[way](tmp_path / "mix.wav", pcm)
    found = separator.separate(mixture, ["bell", "horn"], sample_rate=rate)
    assert (found.sample_rate, found.samples, found.peak) == (8000, 5000, expected.peak)
    for name, source in expected.sources.items():
        np.testing.assert_array_equal(found.sources[name], source)


@pytest.mark.parametrize("kind", ["bytes", "file"])
def test_media_comes_in_as_well(fake_separator, noise, kind):
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="ipod") as container:  # m4a
        stream = container.add_stream("aac", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(noise(2, 22_050), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 44100, 0
        for part in av.AudioResampler("fltp", "stereo", 44100, 1024).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    mixture = file.getvalue() if kind == "bytes" else file
    found = fake_separator().separator.separate(mixture, ["bell"])
    assert (found.sample_rate, found.channels) == (44100, 2)
    assert abs(found.samples - 22_050) < 3 * 1024
