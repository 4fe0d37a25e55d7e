"""The frames of an MP3: how many there are, and how many its header promises.

libsndfile reads an MP3 as far as its header says, or, where it says nothing, as far as a guess from
the first frame's bit rate: the rest would be lost in silence. Both are told apart by walking from
frame to frame, which takes 0.2 s for an hour.

Source: ISO/IEC 11172-3 and 13818-3 for frame headers; Xing's and Fraunhofer's headers as LAME and
mpg123 write and read them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

from sgn_rt.audio.source import Content

_BIT_RATES = {  # kbit/s by (MPEG-1, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44100, 48000, 32000)
_FIXED = 0xFFFE0C00
"""Bits of a frame's header that all frames of a file share: sync, version, layer, sample rate."""

_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3")
"""What may follow the last frame."""

_WINDOW = 1 << 16
"""Bytes read at once."""


@dataclass(frozen=True, slots=True)
class MpegFrames:
    """What a walk through an MP3 has found.

    Attributes
    ----------
    frames
        Whole frames of sound.
    samples
        Of a frame.
    promised
        Frames by the file's own header; None where it has none.
    whole
        Whether the file ends behind a frame, and nothing but frames lies between the first and the
        last.
    """

    frames: int
    samples: int
    promised: int | None
    whole: bool


@dataclass(frozen=True, slots=True)
class _Header:
    bits: int
    size: int
    samples: int


class _Window:
    """Bytes of a file by their position, read many at a time."""

    def __init__(self, content: Content) -> None:
        self._content, self._start, self._data = content, 0, b""
        self.end = content.seek(0, os.SEEK_END)

    def __call__(self, position: int, size: int) -> bytes:
        at = position - self._start
        if at < 0 or at + size > len(self._data):
            self._content.seek(position)
            self._start, self._data, at = position, self._content.read(max(size, _WINDOW)), 0
        return self._data[at : at + size]


def walk(content: Content) -> MpegFrames | None:
    """Walk through an MP3 from its start; None where no frame is found."""
    window = _Window(content)
    found = _search(window, _behind_id3(window, 0), None)
    if found is None:
        return None
    position, first = found
    promised = _promised(window(position, first.size))
    frames, whole, end = 0, True, window.end
    while position < end:
        header = _header(window(position, 4), first)
        if header is not None:
            whole = whole and position + header.size <= end
            frames += position + header.size <= end
            position += header.size
            continue
        if window(position, 16).startswith(_TAGS):
            # A title at the end, or the beginning of the next of several files in one.
            found = _search(window, max(position + 1, _behind_id3(window, position)), first)
            if found is None:
                break
        else:
            found = _search(window, position, first)
            whole = whole and found is None and not any(window(position, _WINDOW))
            if found is None:
                break
        position, _ = found
    return MpegFrames(frames - (promised is not None), first.samples, promised or None, whole)


def _behind_id3(window: _Window, position: int) -> int:
    """The position behind an ID3v2 tag, if there is one at a position."""
    tag = window(position, 10)
    if len(tag) < 10 or not tag.startswith(b"ID3"):
        return position
    size = sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
    return position + 10 + size + (10 if tag[5] & 0x10 else 0)


@lru_cache(maxsize=1024)  # a file has a handful of different ones
def _header(data: bytes, like: _Header | None = None) -> _Header | None:
    """The header of a frame, if it is one, and of the same kind as ``like``."""
    if len(data) < 4:
        return None
    bits = int.from_bytes(data[:4], "big")
    version, layer = bits >> 19 & 3, 4 - (bits >> 17 & 3)
    rate, speed, padding = bits >> 12 & 15, bits >> 10 & 3, bits >> 9 & 1
    wrong = bits >> 21 != 0x7FF or version == 1 or layer == 4 or rate in (0, 15) or speed == 3
    if wrong or (like is not None and (bits ^ like.bits) & _FIXED):
        return None
    first = version == 3
    frequency = _RATES[speed] >> (3 - version if version else 2)
    samples = 384 if layer == 1 else 1152 if first or layer == 2 else 576
    kilobits = _BIT_RATES[first, layer][rate]
    if layer == 1:
        size = (12_000 * kilobits // frequency + padding) * 4
    else:
        size = samples // 8 * 1000 * kilobits // frequency + padding
    return _Header(bits, size, samples)


def _search(window: _Window, position: int, like: _Header | None) -> tuple[int, _Header] | None:
    """The next frame that another frame, or the end, follows."""
    while position < window.end:
        data = window(position, _WINDOW)
        at = data.find(b"\xff")
        while at >= 0:
            header = _header(data[at : at + 4], like)
            if header is not None:
                behind = position + at + header.size
                if behind == window.end or _header(window(behind, 4), header) is not None:
                    return position + at, header
            at = data.find(b"\xff", at + 1)
        position += max(1, len(data) - 3)
    return None


def _promised(frame: bytes) -> int | None:
    """Frames that a Xing, Info or VBRI header promises, 0 if it does not say; None for sound."""
    frame = frame.ljust(128, b"\0")
    for tag, offset in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        at = frame.find(tag, 0, 64)
        if at >= 0:
            told = tag == b"VBRI" or frame[at + 7] & 1
            return int.from_bytes(frame[at + offset : at + offset + 4], "big") if told else 0
    return None
