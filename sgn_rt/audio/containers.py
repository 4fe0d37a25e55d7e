"""How long a file should be by its outermost structure: what is truncated shows before decoding.

Source: ISO/IEC 14496-12 (boxes), RFC 8794 and 9559 (EBML, Matroska), Microsoft's ASF specification,
RFC 3533 (Ogg).
"""

from __future__ import annotations

import os

from sgn_rt.audio.source import Content

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MOST_BOXES = 1 << 16
"""Of a file that is looked at: a hostile one is nothing but empty boxes."""
_PAGE = b"OggS"
_PAGE_HEADER = 27
"""Bytes of an Ogg page's header before its table of segments."""
_LONGEST_PAGE = _PAGE_HEADER + 255 + 255 * 255
_LAST_PAGE = 4
"""Flag of a stream's last page."""


def truncated(content: Content) -> str | None:
    """What a file holds of what it promises, e.g. ``"10 of 12 bytes"``; None where it is whole.

    Of formats that are not known here, None as well.
    """
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    start = content.read(16)
    if start.startswith(_PAGE):
        return None if _ogg_ends(content, size) else "an Ogg file without its last page"
    promised = 0
    if start[4:8] == b"ftyp":
        promised = _boxes(content, size)
    elif start.startswith(_EBML):
        promised = _ebml(content)
    elif start == _ASF_HEADER:
        promised = _asf(content)
    return f"{size} of {promised} bytes" if promised > size else None


def _boxes(content: Content, size: int) -> int:
    """Where the last of an MP4's boxes ends; a file may close with bytes that are none."""
    position = 0
    for _ in range(_MOST_BOXES):
        if position >= size:
            break
        content.seek(position)
        head = content.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length < 8 or not head[4:8].isalnum():
            break  # 0 is for a box that goes to the file's end
        position += length
    return position


def _ebml(content: Content) -> int:
    """Where Matroska's segment ends; 0 where it was written live, and does not tell."""
    content.seek(4)
    position = 4 + sum(_vint(content.read(8)))
    content.seek(position)
    head = content.read(12)
    width, length = _vint(head[4:])
    untold = length == (1 << 7 * width) - 1
    return 0 if head[:4] != _SEGMENT or untold else position + 4 + width + length


def _vint(data: bytes) -> tuple[int, int]:
    """An EBML number: its width in bytes, and its value."""
    if not data or not data[0]:
        return 0, 0
    width = 9 - data[0].bit_length()
    return width, int.from_bytes(data[:width], "big") & (1 << 7 * width) - 1


def _asf(content: Content) -> int:
    """The size in ASF's file properties; 0 where they are not found, or of a live broadcast."""
    content.seek(0)
    header = content.read(1 << 16)
    at = header.find(_ASF_FILE)
    if at < 0 or len(header) < at + 92:
        return 0
    broadcast = header[at + 88] & 1
    return 0 if broadcast else int.from_bytes(header[at + 40 : at + 48], "little")


def _ogg_ends(content: Content, size: int) -> bool:
    """Whether an Ogg file's last page is there to its end, and the last of its stream.

    Libraries read a file without it as a shorter one, and say nothing.
    """
    content.seek(max(0, size - 2 * _LONGEST_PAGE))  # it begins there, whatever follows it
    tail = content.read(2 * _LONGEST_PAGE)
    at = tail.rfind(_PAGE)
    while at >= 0:
        header = tail[at : at + _PAGE_HEADER]
        if len(header) == _PAGE_HEADER and header[4] == 0:
            table = tail[at + _PAGE_HEADER : at + _PAGE_HEADER + header[26]]
            stop = at + _PAGE_HEADER + len(table) + sum(table)
            last = bool(header[5] & _LAST_PAGE)
            return last and len(table) == header[26] and stop <= len(tail)
        at = tail.rfind(_PAGE, 0, at)
    return False
