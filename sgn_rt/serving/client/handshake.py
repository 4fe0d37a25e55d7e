"""How a live stream begins: a connection, a start message, and what the server says to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from sgn_rt._optional import require
from sgn_rt.serving.client.failures import failure, gone, not_ours, parsed, refusal
from sgn_rt.serving.client.live import AsyncClientStream
from sgn_rt.serving.client.options import StreamOptions, expect_known

CLOSE_S: Final = 2.0
"""What a server has to take leave."""

LARGEST_MESSAGE: Final = 64 << 20
"""Bytes that a server may send at once."""


async def connected(
    url: str, headers: Mapping[str, str], options: StreamOptions, *, open_s: float
) -> AsyncClientStream:
    """Connect, and begin a stream.

    Parameters
    ----------
    url
        Of the server.
    headers
        Sent with the handshake.
    options
        The stream's.
    open_s
        What the server has to take the connection.

    Raises
    ------
    SgnError
        What the server says, or that it is not there.
    """
    client = require("websockets.asyncio.client", extra="client", purpose="a live stream")
    exceptions = require("websockets.exceptions", extra="client", purpose="a live stream")
    try:
        socket = await client.connect(
            f"ws{url.removeprefix('http')}/stream",
            additional_headers=dict(headers),
            max_size=LARGEST_MESSAGE,
            open_timeout=open_s,
            close_timeout=CLOSE_S,
            compression=None,  # sound does not shrink, and it takes time
        )
    except exceptions.InvalidStatus as error:
        answer = error.response
        wait = answer.headers.get("Retry-After")
        raise refusal(answer.status_code, answer.body or b"", wait) from error
    except (OSError, TimeoutError, exceptions.WebSocketException) as error:
        raise gone(url, error) from error
    try:
        started = await _started(socket, options, exceptions.ConnectionClosed)
        return AsyncClientStream(socket, url, started)
    except exceptions.ConnectionClosed as error:
        raise gone(url, error) from error
    except BaseException:
        await socket.close()
        raise


async def _started(socket: Any, options: StreamOptions, closed: type[Exception]) -> dict[str, Any]:
    """The server's word to a start message."""
    expect_known(options, StreamOptions)
    said = {"type": "start", **options}
    if not isinstance(said.get("categories"), str | None):
        said["categories"] = list(options["categories"] or ())
    with suppress(closed):  # a server that refuses has said why before it closed
        await socket.send(json.dumps(said))
    told = parsed(await socket.recv())
    if told.get("type") == "error":
        raise failure(told.get("error"))
    if told.get("type") != "started":
        raise not_ours(f"{told!r:.80} for a stream")
    return told
