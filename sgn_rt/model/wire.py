"""Protobuf's wire format: a message is fields, each a number, a kind, and content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT: Final = 10


def lengths(view: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Fields of a message that have a length: number, and where the content begins and ends."""
    for number, value, start in fields(view, at, end):
        if start is not None:
            yield number, start, value


def fields(view: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """Fields of a message: number, and the value of a whole number, with None.

    Of a field that has a length, in their place where its content ends and where it begins.
    """
    while at < end:
        key, at = _varint(view, at, end)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(view, at, end)
            yield key >> 3, value, None
            continue
        if kind == _BYTES:
            size, at = _varint(view, at, end)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if size > end - at:
            raise ValueError("a field beyond the end")
        if kind == _BYTES:
            yield key >> 3, at + size, at
        at += size


def varints(view: memoryview, at: int, end: int) -> Iterator[int]:
    """Whole numbers that follow each other, as a packed field holds them."""
    while at < end:
        value, at = _varint(view, at, end)
        yield value


def _varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
        if at >= end:
            break
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without an end")
