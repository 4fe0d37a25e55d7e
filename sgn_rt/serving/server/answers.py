"""Stems on their way to a client, piece by piece: a zip, a multipart, or one file."""

from __future__ import annotations

import io
import json
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

REPORT: Final = "report.json"

_BLOCK: Final = 1 << 18
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The same for all: equal stems make equal zips."""

MEDIA_TYPES: Final = {"wav": "audio/wav", "flac": "audio/flac"}


def blocks(path: Path) -> Iterator[bytes]:
    """A file's content."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def as_zip(report: Mapping[str, Any], stems: Mapping[str, Path]) -> Iterator[bytes]:
    """A zip of a report and of stems, stored, as its pieces come to be."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(REPORT, _ZIP_TIME), _text(report))
        for path in stems.values():
            entry = zipfile.ZipInfo(path.name, _ZIP_TIME)
            entry.file_size = path.stat().st_size
            with archive.open(entry, "w") as member:
                for block in blocks(path):
                    member.write(block)
                    yield sink.taken()
    yield sink.taken()


def as_multipart(
    boundary: str, media_type: str, report: Mapping[str, Any], stems: Mapping[str, Path]
) -> Iterator[bytes]:
    """A multipart/mixed of a report and of stems."""
    yield _part(boundary, "application/json", REPORT) + _text(report)
    for path in stems.values():
        yield b"\r\n" + _part(boundary, media_type, path.name, path.stat().st_size)
        yield from blocks(path)
    yield f"\r\n--{boundary}--\r\n".encode()


def boundary() -> str:
    """What no file has in it."""
    return f"sgn-rt-{secrets.token_hex(16)}"


def attachment(name: str) -> str:
    """A Content-Disposition."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    if plain == name:
        return f'attachment; filename="{name}"'
    from urllib.parse import quote

    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _part(boundary: str, media_type: str, name: str, size: int | None = None) -> bytes:
    length = "" if size is None else f"Content-Length: {size}\r\n"
    return (
        f"--{boundary}\r\nContent-Type: {media_type}\r\n{length}"
        f"Content-Disposition: {attachment(name)}\r\n\r\n"
    ).encode()


def _text(report: Mapping[str, Any]) -> bytes:
    return json.dumps(report, indent=2, allow_nan=False).encode()


class _Sink(io.RawIOBase):
    """A file that only grows, and lets go of what was taken."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        """All that has come since the last time."""
        taken = bytes(self._held)
        self._held.clear()
        return taken
