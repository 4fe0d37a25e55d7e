"""An upload on its way to the disk: bounded while it comes, and never under a client's name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sgn_rt.audio.source import printable
from sgn_rt.errors import AudioError
from sgn_rt.serving.server.problems import HttpError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks
    from starlette.requests import Request

STALL_S: Final = 30.0
"""Longest silence of a client that is to send or to take something."""

_FIELD: Final = "file"
_FORM_BYTES: Final = 1 << 16
"""What a form may have around the file."""
_HEADER_BYTES: Final = 1 << 12
_WRITE_BYTES: Final = 1 << 20
"""Collected before they are written, by a thread."""


def expect_upload(request: Request, most: int) -> None:
    """Look at what an upload claims to be.

    Raises
    ------
    HttpError
        If it is none (411), too large (413), or of no type that is taken (415).
    """
    headers = request.headers
    length = headers.get("content-length")
    if length is None and "transfer-encoding" not in headers:
        raise HttpError(411, "LengthRequired", "upload: got no Content-Length and no chunks, "
                      "expected a file. Send it as the body, or as a form.")  # fmt: skip
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpError(415, "UnsupportedMediaType", "upload: got a Content-Encoding, expected "
                        "none. Send the file as it is.")  # fmt: skip
    media = _media_type(request)
    if media.startswith("multipart/") and media != "multipart/form-data":
        raise HttpError(415, "UnsupportedMediaType", f"upload: got {media:.60}, expected a file or "
                      "multipart/form-data. Send it so.")  # fmt: skip
    room = _FORM_BYTES if media == "multipart/form-data" else 0
    if length is not None and int(length) > most + room:
        raise _too_large(most)


async def spooled(request: Request, path: Path, most: int) -> str:
    """Write an upload to a file.

    Parameters
    ----------
    request
        The upload: the file itself, or a form with it as ``file``.
    path
        Where to.
    most
        Bytes of the file.

    Returns
    -------
    str
        What the client calls it, for people; nothing is ever named by it.

    Raises
    ------
    AudioError
        If it is empty.
    HttpError
        If it is too large, is no form, does not come any more, or its client is gone.
    """
    name = "recording"
    form = None
    if _media_type(request) == "multipart/form-data":
        form = _Form(request.headers["content-type"])
    size = 0
    with path.open("xb", buffering=0) as file:
        pending = bytearray()

        async def write() -> None:
            left = memoryview(bytes(pending))
            pending.clear()
            while left:
                left = left[await asyncio.to_thread(file.write, left) :]

        async for chunk in _chunks(request, most + _FORM_BYTES if form else most):
            part = chunk if form is None else form.fed(chunk)
            size += len(part)
            if size > most:
                raise _too_large(most)
            pending += part
            if len(pending) >= _WRITE_BYTES:
                await write()
        await write()
    if form is not None:
        name = form.finished() or name
    if not size:
        raise AudioError("upload: got an empty file, expected audio. Send its bytes as the body.")
    return name


async def _chunks(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body as it comes, no more of it than a number of bytes."""
    size, more = 0, True
    while more:
        try:
            async with asyncio.timeout(STALL_S):
                message = await request.receive()
        except TimeoutError as error:
            raise HttpError(408, "TimeLimit", f"upload: got nothing for {STALL_S:g} s, expected "
                            "the rest of the file. Send it again.") from error  # fmt: skip
        if message["type"] == "http.disconnect":
            raise HttpError(400, "Disconnected", "upload: got half of it, expected all. "
                          "Send it again.")  # fmt: skip
        more = message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        if chunk:
            yield chunk


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(most: int) -> HttpError:
    return HttpError(413, "TooLarge", f"upload: got more than {most} bytes, expected no more. "
                   "Send FLAC, or a part of it.")  # fmt: skip


class _Form:
    """A form that comes in pieces, of which one field is a file; python-multipart parses it."""

    def __init__(self, content_type: str) -> None:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser, parse_options_header

        self._errors, self._options = FormParserError, parse_options_header
        _, options = parse_options_header(content_type)
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_part_data": self._on_part_data,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(options.get(b"boundary", b""), callbacks)
        except FormParserError as error:
            raise _no_form(str(error)) from error
        if not options.get(b"boundary"):
            raise _no_form("no boundary")
        self._content, self._field, self._value = bytearray(), b"", b""
        self._disposition = b""
        self._name: str | None = None
        self._ended = False

    def fed(self, chunk: bytes) -> bytes:
        """What of the file is in a piece of the form."""
        self._content.clear()
        try:
            self._parser.write(chunk)
        except self._errors as error:
            raise _no_form(str(error)) from error
        return bytes(self._content)

    def finished(self) -> str | None:
        """The client's name of the file."""
        if not self._ended or self._name is None:
            raise _no_form("one that ends early" if not self._ended else "no field file")
        return self._name

    def _on_part_begin(self) -> None:
        self._field = self._value = self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field = _longer(self._field, data[start:end])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value = _longer(self._value, data[start:end])

    def _on_header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = self._options(self._disposition)
        field = options.get(b"name", b"").decode(errors="replace")
        if field != _FIELD or self._name is not None:
            raise _no_form(f"a field {field!r:.40}" if field != _FIELD else "several files")
        self._name = printable(options.get(b"filename", b"").decode(errors="replace"))[:255]

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _on_end(self) -> None:
        self._ended = True


def _longer(header: bytes, part: bytes) -> bytes:
    """A header of a form's part, which has a length that one has."""
    if len(header) + len(part) > _HEADER_BYTES:
        raise _no_form("a header that is too long")
    return header + part


def _no_form(what: str) -> HttpError:
    return HttpError(400, "AudioError", f"form: got {what}, expected multipart/form-data with one "
                   f"field, {_FIELD}. Check how it is sent.")  # fmt: skip
