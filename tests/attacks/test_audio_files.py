"""Hostile audio files: refused before they cost anything, or read for what they are."""

from __future__ import annotations

import io
import random
import struct

import numpy as np
import pytest
import soundfile

from sgn_rt.audio import limits, mpeg
from sgn_rt.audio.reader import open_audio
from sgn_rt.audio.recording import open_recording
from sgn_rt.audio.source import Source
from sgn_rt.errors import AudioError, SgnError


def encoded(
    kind: str, subtype: str | None = None, *, channels: int = 1, samples: int = 4000
) -> bytes:
    """Noise in a format of libsndfile, 8 kHz."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((samples, channels))
    file = io.BytesIO()
    soundfile.write(file, noise, 8000, format=kind, subtype=subtype)
    return file.getvalue()


def wav(
    *, channels: int = 1, rate: int = 8000, claimed: int | None = None, size: int = 64
) -> bytes:
    """A WAV file of 16 bits with any header."""
    claimed = size if claimed is None else claimed
    form = struct.pack("<HHIIHH", 1, channels, rate & 0xFFFFFFFF, 0, (2 * channels) & 0xFFFF, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", claimed)
    return b"RIFF" + struct.pack("<I", len(body) + claimed) + body + bytes(size)


class Counted(io.BytesIO):
    """Counts what is read of it."""

    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data


HEADERS = {
    "65535 channels": wav(channels=65535, size=4 * 65535),
    "1025 channels": wav(channels=1025, size=4 * 1025),
    "no channel": wav(channels=0),
    "no rate": wav(rate=0),
    "4 GHz": wav(rate=0xFFFFFFF0),
    "2 GB in 100 bytes": wav(claimed=0x7FFFFFF0),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_what_no_recording_is(name):
    with pytest.raises(AudioError):
        open_audio(HEADERS[name])


def test_a_flac_that_claims_a_hundred_days(fake_separator, fails):
    content = bytearray(encoded("FLAC"))
    content[21] |= 0x0F  # STREAMINFO's 36 bits of total samples
    content[22:26] = b"\xff" * 4
    assert soundfile.info(io.BytesIO(content)).frames > 6.8e10
    with fails(AudioError, "less than the 68719476735 frames of its header"):
        open_audio(content)
    separator = fake_separator().separator
    with fails(AudioError, "less than the 68719476735 frames of its header"):
        separator.separate(bytes(content), ["bell"])


def test_blocks_of_many_channels_stay_small(monkeypatch):
    """20 kB of Vorbis may be 255 channels: a block of all of them is 255 times as large."""
    monkeypatch.setattr(limits, "BLOCK_BYTES", 1 << 20)
    content = encoded("OGG", "VORBIS", channels=255, samples=20_000)
    reader = open_audio(content)
    blocks = list(reader.blocks(10**9))
    assert max(block.nbytes for block in blocks) <= 1 << 20
    assert sum(block.shape[1] for block in blocks) == 20_000
    recording = open_recording(np.zeros((1024, 5000), np.int16), 8000)
    assert max(block.nbytes for block in recording.blocks(10**9)) <= 1 << 20


@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", "PCM_16"), ("FLAC", None), ("OGG", "VORBIS")]
)
def test_a_service_refuses_what_is_too_much_by_the_header(fails, kind, subtype):
    content = encoded(kind, subtype, channels=8, samples=400_000)
    for options, part in (
        ({"most_channels": 2}, "got 8 channels, expected 1 to 2"),
        ({"most_seconds": 30}, "expected at most 30 s"),
    ):
        file = Counted(content)
        with fails(AudioError, part):
            open_recording(file, **options)
        assert file.taken < 400_000 < len(content)


def test_a_service_stops_counting_at_its_limit(fails):
    """An MP3 without a header tells no length before it is decoded; its frames do."""
    pytest.importorskip("av")
    frame = bytes.fromhex("fffb9064") + bytes(413)  # 128 kbit/s, 44.1 kHz, silence
    content = frame * 20_000  # 9 minutes
    with fails(AudioError, "s or more, expected at most 60 s"):
        open_recording(content, most_seconds=60)


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "list.m4a": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "list.mp4": "ffconcat version 1.0\nfile '{}'\n",
    "list.sdp": "v=0\nm=audio 9 RTP/AVP 0\nc=IN IP4 127.0.0.1\n",
    "list.mpd": '<?xml version="1.0"?><MPD type="static"><BaseURL>{}</BaseURL></MPD>',
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_opens_no_other_file(tmp_path, fails, name):
    """FFmpeg would follow it, to files and addresses that a stranger has chosen."""
    av = pytest.importorskip("av")
    (tmp_path / "secret.wav").write_bytes(encoded("WAV"))
    path = tmp_path / name
    path.write_text(PLAYLISTS[name].format("secret.wav"))
    if "ffconcat" in PLAYLISTS[name]:
        with av.open(str(path)) as opened:  # the danger is there
            assert next(opened.decode(audio=0)).samples
    with fails(AudioError, "does not read as audio"):
        open_audio(path)


def test_names_that_ffmpeg_takes_for_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").write_bytes(encoded("WAV"))
    for name in (
        "concat:a.wav",
        "file:a.wav",
        "http://localhost/a.wav",
        "pipe:0",
        "data:audio/wav;,",
    ):
        with pytest.raises(AudioError, match="got no such file"):
            open_audio(name)


def test_devices_as_file_objects(fails):
    for name in ("/dev/zero", "/dev/null"):
        with open(name, "rb") as device, fails(AudioError, "does not read as audio"):
            open_audio(device)


LARGE = {
    "boxes": b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08free" * 200_000,
    "a box beyond all": b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x01mdat" + b"\x7f" + b"\xff" * 7,
    "sync": b"\xff" * 1_000_000,
    "titles": b"ID3\x04\0\0\0\0\0\0" * 100_000,
    "a huge title": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100),
    "pages": b"OggS" * 100_000,
    "vints": b"\x1aE\xdf\xa3" + b"\0" * 100,
    "a huge segment": b"\x1aE\xdf\xa3\x80\x18S\x80g\x01" + b"\xff" * 6 + b"\xfe",
}


@pytest.mark.parametrize("name", LARGE)
def test_files_of_nothing_but_structure(name):
    with pytest.raises(AudioError):
        open_audio(LARGE[name])
    with Source.of(LARGE[name]).open() as content:
        found = mpeg.walk(content)
    assert found is None or found.frames == 0


SNDFILE = [
    ("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ("MP3", None), ("CAF", "PCM_16"), ("W64", "PCM_16"), ("AU", "PCM_16"), ("RF64", "PCM_16"),
    ("WAV", "IMA_ADPCM"), ("NIST", "PCM_16"), ("VOC", "PCM_16"), ("SVX", "PCM_16"),
]  # fmt: skip
FFMPEG = [
    ("mp4", "aac"), ("matroska", "libopus"), ("asf", "wmav2"), ("adts", "aac"), ("mpegts", "aac"),
    ("ogg", "flac"),
]  # fmt: skip


def mutants(content: bytes, number: int):
    """Damaged copies of a file, most of them in its header."""
    rng = random.Random(len(content))
    for _ in range(number):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = int(len(damaged) * rng.random() ** 3)
            way = rng.randrange(4)
            if way == 0:
                damaged[at : at + 1] = bytes([rng.randrange(256)])
            elif way == 1:
                damaged[at : at + 4] = rng.choice(
                    (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4))
                )
            elif way == 2:
                del damaged[at : at + rng.randrange(1, 40)]
            else:
                damaged[at:at] = rng.randbytes(rng.randrange(1, 40))
        yield bytes(damaged)


def survive(content: bytes) -> int:
    """Read damaged copies; how many of them are refused. Anything but a clear error is a bug."""
    refused = 0
    for damaged in mutants(content, 40):
        for salvage in (False, True):
            try:
                recording = open_recording(damaged, salvage=salvage, most_seconds=60)
                read = sum(block.shape[1] for block in recording.blocks(1000))
            except SgnError:
                refused += 1
            else:
                assert read == recording.samples
    return refused


@pytest.mark.parametrize(("kind", "subtype"), SNDFILE)
def test_damaged_files_of_libsndfile(kind, subtype):
    assert survive(encoded(kind, subtype)) > 0


@pytest.mark.parametrize(("form", "codec"), FFMPEG)
def test_damaged_files_of_ffmpeg(form, codec):
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=48000, layout="mono")
        stream.bit_rate = 64_000
        noise = 0.1 * np.random.default_rng(0).standard_normal((1, 9000)).astype("f4")
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        sample_format = stream.codec_context.codec.audio_formats[0]
        convert = av.AudioResampler(format=sample_format, layout="mono", rate=48000)
        for part in convert.resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    assert survive(file.getvalue()) > 0
