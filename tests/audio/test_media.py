"""What libsndfile does not read: encoded by FFmpeg, read by PyAV."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from sgn_rt.audio.media import MediaReader
from sgn_rt.audio.reader import open_audio
from sgn_rt.audio.sndfile import SndfileReader
from sgn_rt.errors import AudioError, DependencyError

pytest.importorskip("av")

MEDIA = [
    "m4a",
    "mp4",
    "alac.m4a",
    "webm",
    "vorbis.webm",
    "mka",
    "wma",
    "aac",
    "ac3",
    "ts",
    "flac.ogg",
]
LOSSLESS = ["alac.m4a", "mka", "flac.ogg"]


def read(path, frames, **options):
    return np.concatenate(list(open_audio(path, **options).blocks(frames)), axis=1)


DELAY = {"aac": 1024, "ts": 1024, "ac3": 256, "wma": -2048}
"""Samples by which what is read comes late: of codecs whose files do not tell it."""

FIDELITY_DB = dict.fromkeys(LOSSLESS, 80.0)
"""SI-SDR of what is read; 20 for the others."""


@pytest.mark.parametrize("kind", MEDIA)
def test_sound_comes_out_in_its_place(encode, tones, si_sdr, kind):
    path = encode(kind)
    reader = open_audio(path)
    assert isinstance(reader, MediaReader)
    assert (reader.sample_rate, reader.channels, reader.salvaged) == (48000, 2, None)
    late = DELAY.get(kind, 0)
    assert abs(reader.frames - 60_000 - late) < 2 * 2048  # of padding
    if kind in LOSSLESS:
        assert reader.frames == 60_000
    out = read(path, 7001)[:, max(0, late) :][:, :57_000]
    assert out.dtype == np.float32
    expected = tones(2, 60_000, 48000)[:, max(0, -late) :][:, : out.shape[1]]
    fidelity = si_sdr(expected, out)
    if kind == "vorbis.webm":  # FFmpeg's own encoder of Vorbis spoils the second channel
        fidelity = fidelity[:1]
    assert fidelity.min() > FIDELITY_DB.get(kind, 20.0)


@pytest.mark.parametrize("kind", MEDIA)
def test_every_reading_gives_the_same_frames_in_any_blocks(encode, kind):
    path = encode(kind)
    reader = open_audio(path)
    whole = read(path, 10**6)
    assert whole.shape == (2, reader.frames)
    blocks = list(reader.blocks(777))
    assert {block.shape[1] for block in blocks[:-1]} == {777}
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)
    for start in (1, 5000, reader.frames - 1):
        part = np.concatenate(list(reader.blocks(4096, start)), axis=1)
        np.testing.assert_array_equal(part, whole[:, start:])


@pytest.mark.parametrize(("channels", "rate"), [(1, 44100), (6, 48000)])
def test_rates_and_channels_are_the_files_own(encode, channels, rate):
    reader = open_audio(encode("m4a", channels, rate))
    assert (reader.sample_rate, reader.channels) == (rate, channels)


def test_of_a_film_the_sound_is_read_though_pictures_go_on(encode, tones, si_sdr):
    for kind in ("mp4", "mkv"):
        path = encode(kind, film=True)
        assert abs(open_audio(path).frames - 60_000) < 2048
        out = read(path, 4096)[:, :57_000]
        assert si_sdr(tones(2, 57_000, 48000), out).min() > 20.0


@pytest.mark.parametrize("kind", ["m4a", "webm"])
def test_memory_is_constant_in_the_length(encode, kind):
    path = encode(kind, samples=60 * 48000)  # 23 MB of samples
    tracemalloc.start()
    try:
        reader = open_audio(path)
        frames = sum(block.shape[1] for block in reader.blocks(48000))
        assert frames == reader.frames
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_a_film_without_sound(tmp_path, fails):
    import av

    with av.open(str(tmp_path / "silent.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        frame = av.VideoFrame(32, 32, "yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with fails(AudioError, "silent.mp4: got", "no sound track"):
        open_audio(tmp_path / "silent.mp4")


TRUNCATED = [
    "m4a",
    "mp4",
    "alac.m4a",
    "webm",
    "vorbis.webm",
    "mka",
    "wma",
    "aac",
    "flac.ogg",
    "opus.ogg",
]


@pytest.mark.parametrize("share", [0.4, 0.8, 0.99])
@pytest.mark.parametrize("kind", TRUNCATED)
def test_a_truncated_file_is_never_a_shorter_one(encode, cut, fails, kind, share):
    path = cut(encode(kind), share)
    with fails(AudioError, str(path), "opy it again"):
        read(path, 4096)


@pytest.mark.parametrize(
    "kind", [kind for kind in TRUNCATED if kind not in ("m4a", "flac.ogg", "opus.ogg")]
)
def test_what_is_left_of_it_is_salvaged(encode, cut, kind):
    path = encode(kind)
    whole = read(path, 4096)
    reader = open_audio(cut(path, 0.7), salvage=True)
    assert reader.salvaged
    out = read(path, 4096, salvage=True)
    assert 0.3 * whole.shape[1] < out.shape[1] == reader.frames < 0.85 * whole.shape[1]
    # The last frame that decodes lacks the next one, with which it would overlap.
    safe = out.shape[1] - 4096
    np.testing.assert_allclose(out[:, :safe], whole[:, :safe], atol=1e-6)


def test_nothing_can_be_salvaged_where_the_index_was_at_the_end(encode, cut, fails):
    with fails(AudioError, "does not read as audio"):
        open_audio(cut(encode("m4a"), 0.9), salvage=True)


@pytest.mark.parametrize("kind", ["mp4", "webm", "mka", "wma", "aac", "flac.ogg"])
def test_damage_within_is_told_and_what_is_before_it_salvaged(encode, fails, kind):
    path = encode(kind)
    whole = read(path, 4096)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2500] = bytes(2500)
    path.write_bytes(content)
    with fails(AudioError, str(path), "opy it again"):
        read(path, 4096)
    reader = open_audio(path, salvage=True)
    assert reader.salvaged
    assert 0.1 * whole.shape[1] < reader.frames < whole.shape[1]
    assert read(path, 5000, salvage=True).shape == (2, reader.frames)


def test_a_whole_file_is_not_salvaged(encode):
    for kind in ("mp4", "webm", "wma", "untold.mp3", "lame.mp3", "opus.ogg"):
        path = encode(kind)
        assert open_audio(path, salvage=True).salvaged is None
        np.testing.assert_array_equal(read(path, 999, salvage=True), read(path, 4096))


@pytest.mark.parametrize("kind", ["m4a", "mp4", "webm", "wma", "mka"])
def test_without_pyav_the_error_names_it(encode, without_av, fails, kind):
    path = encode(kind)
    without_av()
    with pytest.raises(DependencyError, match=r"pip install .*\bav\b") as caught:
        open_audio(path)
    assert str(path) in str(caught.value)


def test_without_pyav_what_needs_none_is_read(encode, without_av):
    path = encode("lame.mp3")
    without_av()
    assert isinstance(open_audio(path), SndfileReader)
    assert read(path, 4096).shape == (2, 60_000)


def test_without_pyav_what_is_no_audio_is_told_so(tmp_path, without_av, fails):
    (tmp_path / "text.m4a").write_bytes(b"this is no sound at all\n" * 100)
    without_av()
    with fails(AudioError, "text.m4a: got a file that libsndfile does not read", 'pip install "av'):
        open_audio(tmp_path / "text.m4a")


def test_a_change_of_rate_or_channels_within_is_told(encode, fails):
    first, second = encode("aac", 1, 44100).read_bytes(), encode("aac", 2, 48000).read_bytes()
    with fails(AudioError, "a change from 44100 Hz, 1 channels", "48000 Hz, 2 channels"):
        open_audio(first + second)
    reader = open_audio(first + second, salvage=True)
    assert (reader.sample_rate, reader.channels) == (44100, 1)
    assert "a change" in reader.salvaged
