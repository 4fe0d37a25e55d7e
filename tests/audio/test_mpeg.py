"""MP3: how long it really is, whatever its header says."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from sgn_rt.audio import mpeg
from sgn_rt.audio.media import MediaReader
from sgn_rt.audio.reader import open_audio
from sgn_rt.audio.sndfile import SndfileReader
from sgn_rt.audio.source import Source
from sgn_rt.errors import AudioError


def walk(path):
    with Source.of(path).open() as content:
        return mpeg.walk(content)


def read(path, **options):
    return np.concatenate(list(open_audio(path, **options).blocks(4096)), axis=1)


@pytest.fixture
def quiet_then_loud(tones):
    """Of which the bit rate of the first frame tells nothing."""
    rng = np.random.default_rng(0)
    noise = (0.2 * rng.standard_normal((2, 200_000))).astype(np.float32)
    noise[:, :100_000] *= 1e-4
    return noise


def test_frames_are_counted_and_the_header_read(encode):
    told, untold = walk(encode("lame.mp3")), walk(encode("untold.mp3"))
    assert (told.frames, told.samples, told.promised, told.whole) == (
        untold.frames, 1152, told.frames, True,
    )  # fmt: skip
    assert untold.promised is None
    assert untold.whole
    assert 0 <= untold.frames * 1152 - 60_000 < 3 * 1152


@pytest.mark.parametrize("rate", [44100, 22050, 11025])
@pytest.mark.parametrize("channels", [1, 2])
def test_walk_agrees_with_the_decoder_in_every_version(tmp_path, noise, rate, channels):
    path = tmp_path / "sound.mp3"
    soundfile.write(path, noise(channels, 30_000).T, rate, format="MP3")
    found = walk(path)
    assert found.samples == (1152 if rate > 24000 else 576)
    assert found.frames == found.promised
    assert found.whole
    assert open_audio(path).frames == 30_000


def test_padding_of_the_codec_is_no_truncation(encode):
    """Without a header libsndfile guesses a length that is off by a part of a frame."""
    path = encode("untold.mp3")
    assert soundfile.info(path).frames != walk(path).frames * 1152, "or there is nothing to show"
    reader = open_audio(path)
    assert isinstance(reader, SndfileReader)
    assert reader.frames == walk(path).frames * 1152
    assert read(path).shape == (2, reader.frames)


@pytest.mark.parametrize("loud_first", [False, True])
def test_a_variable_bit_rate_without_a_header_is_read_to_its_end(
    encode, quiet_then_loud, loud_first
):
    sound = quiet_then_loud[:, ::-1].copy() if loud_first else quiet_then_loud
    path = encode("untold.mp3", sound=sound, variable=True)
    guess, frames = soundfile.info(path).frames, walk(path).frames * 1152
    assert guess < 0.5 * frames if loud_first else guess > 1.2 * frames
    reader = open_audio(path)
    assert isinstance(reader, MediaReader if loud_first else SndfileReader)
    assert abs(reader.frames - frames) <= 1152
    assert read(path).shape == (2, reader.frames)


def test_of_a_file_that_libsndfile_would_cut_the_error_says_what_to_do(
    encode, quiet_then_loud, without_av, fails
):
    path = encode("untold.mp3", sound=quiet_then_loud[:, ::-1].copy(), variable=True)
    without_av()
    with fails(AudioError, "too short a length", 'pip install "av'):
        open_audio(path)


def test_two_files_in_one_are_read_both(encode):
    pytest.importorskip("av")
    path = encode("lame.mp3")
    content = path.read_bytes()
    title = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
    path.write_bytes(content + title + content)
    assert walk(path).frames == 2 * walk_of(content, path).frames + 1  # with the second's header
    assert open_audio(path).frames > 1.9 * 60_000


def walk_of(content, path):
    (path.parent / "one.mp3").write_bytes(content)
    return walk(path.parent / "one.mp3")


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (b"ID3\x04\0\0\0\0\x01\x00" + bytes(128), b""),
        (b"", b"TAG" + bytes(125)),
        (b"", b"APETAGEX" + bytes(200)),
        (b"", bytes(300)),
    ],
    ids=["ID3v2", "ID3v1", "APE", "zeros"],
)
@pytest.mark.parametrize("kind", ["lame.mp3", "untold.mp3"])
def test_titles_and_padding_are_no_damage(encode, kind, before, behind):
    path = encode(kind)
    frames, whole = open_audio(path).frames, walk(path)
    path.write_bytes(before + path.read_bytes() + behind)
    assert walk(path) == whole
    assert open_audio(path).frames == frames


def test_rubbish_before_the_first_frame_is_passed_over(encode):
    path = encode("lame.mp3")
    whole = walk(path)
    path.write_bytes(bytes(700) + path.read_bytes())
    assert walk(path) == whole
    assert 60_000 <= open_audio(path).frames <= (whole.frames + 1) * 1152


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97, 0.995])
@pytest.mark.parametrize("kind", ["lame.mp3", "untold.mp3"])
def test_a_truncated_file_is_told_and_salvaged(encode, cut, fails, kind, share):
    path = encode(kind)
    whole = read(path)
    cut(path, share)
    with fails(AudioError, str(path), "opy it again"):
        open_audio(path)
    reader = open_audio(path, salvage=True)
    assert reader.salvaged
    out = read(path, salvage=True)
    assert (share - 0.1) * whole.shape[1] < reader.frames == out.shape[1] < whole.shape[1]
    np.testing.assert_allclose(out[:, :-2304], whole[:, : out.shape[1] - 2304], atol=1e-6)


def test_rubbish_between_frames_is_damage(encode, fails):
    path = encode("untold.mp3")
    content = path.read_bytes()
    frame = content.index(b"\xff\xfb", len(content) // 2)
    path.write_bytes(content[:frame] + b"rubbish" * 100 + content[frame:])
    assert not walk(path).whole
    with fails(AudioError, "broken frame"):
        open_audio(path)


def test_no_frame(tmp_path):
    for content in (b"", b"\xff" * 5000, b"ID3", bytes(100), b"\xff\xfb\x90\x00"):
        (tmp_path / "none.mp3").write_bytes(content)
        found = walk(tmp_path / "none.mp3")
        assert found is None or found.frames == 0
