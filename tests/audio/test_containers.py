"""What files promise by their outermost structure."""

from __future__ import annotations

import pytest

from sgn_rt.audio.containers import truncated
from sgn_rt.audio.source import Source


def look(content):
    with Source.of(content).open() as opened:
        return truncated(opened)


@pytest.mark.parametrize(
    "kind", ["m4a", "mp4", "webm", "mka", "mkv", "wma", "flac.ogg", "opus.ogg"]
)
def test_a_whole_file_is_whole_and_one_byte_less_is_not(encode, kind):
    content = encode(kind).read_bytes()
    assert look(content) is None
    found = look(content[:-1])
    if kind.endswith("ogg"):
        assert found == "an Ogg file without its last page"
    else:
        assert found == f"{len(content) - 1} of {len(content)} bytes"


@pytest.mark.parametrize("kind", ["m4a", "opus.ogg", "webm", "wma"])
def test_what_follows_a_whole_file_is_nothing(encode, kind):
    content = encode(kind).read_bytes()
    assert look(content + bytes(1000)) is None
    assert look(content + b"TAG" + bytes(125)) is None


def test_a_live_webm_tells_no_length(encode):
    content = bytearray(encode("webm").read_bytes())
    at = content.index(b"\x18S\x80g") + 4
    assert content[at] == 0x01
    content[at + 1 : at + 8] = b"\xff" * 7
    assert look(content[:-500]) is None


def test_other_formats_are_left_to_their_readers():
    for content in (b"", b"R", b"RIFF" + bytes(100), bytes(3), b"\0\0\0\0ftyp", b"OggS"):
        assert look(content) is None or content == b"OggS"
