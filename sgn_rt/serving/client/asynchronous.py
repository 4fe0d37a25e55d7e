"""The client for asyncio; `sgn_rt.serving.client.blocking` is the same for everybody else."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self, Unpack

from sgn_rt._optional import require
from sgn_rt.audio.run_folder import RunFolder
from sgn_rt.audio.writer import Format
from sgn_rt.errors import OverloadError, ServerError
from sgn_rt.serving.client.answer import Answer, RemoteFiles, RemoteSeparation
from sgn_rt.serving.client.failures import gone, parsed, refusal
from sgn_rt.serving.client.handshake import connected
from sgn_rt.serving.client.live import AsyncClientStream
from sgn_rt.serving.client.options import (
    SeparateOptions,
    StreamOptions,
    checked_url,
    query_of,
)
from sgn_rt.serving.client.upload import Upload, expect_taken, opened, pieces

if TYPE_CHECKING:
    import httpx

CONNECT_S: Final = 10.0
"""What a server has to take a connection."""

_IN_MEMORY: Final = 32 << 20
"""Bytes of an answer up to which no temporary file is needed."""

_WORTH_ASKING: Final = 4 << 20
"""Bytes of a recording from which the server is asked how much it takes."""

_LARGEST_WORD: Final = 1 << 16
"""Bytes read of an answer that is no success."""


class AsyncClient:
    """A server of sgn-rt, for asyncio. Use it as an asynchronous context manager.

    Parameters
    ----------
    url
        Of the server, e.g. ``http://127.0.0.1:8000``.
    token
        What the server was given as ``--token``.
    timeout_s
        How long a server may be silent, which is how long a separation may take, seconds.

    Raises
    ------
    ConfigError
        For what is no address of a server.
    DependencyError
        If httpx is not installed.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 900.0) -> None:
        self._httpx = require("httpx", extra="client", purpose="the client of sgn-rt serve")
        self.url = checked_url(url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http: httpx.AsyncClient = self._httpx.AsyncClient(
            base_url=self.url,
            headers=self._headers,
            timeout=self._httpx.Timeout(timeout_s, connect=CONNECT_S),
        )

    async def aclose(self) -> None:
        """Let go of all connections; also done by leaving an ``async with`` block."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def model(self) -> dict[str, Any]:
        """What the server says of its model: name, categories, sample rate, engine, limits."""
        async with self._answer("GET", "/model") as response:
            return parsed(await response.aread())

    async def ready(self) -> bool:
        """Whether the server takes work; it does once its engine has proved itself."""
        try:
            async with self._answer("GET", "/readyz"):
                return True
        except (ServerError, OverloadError) as error:
            if isinstance(error, ServerError) and error.__cause__ is not None:
                raise  # it is not there at all
            return False

    async def separate(
        self,
        recording: Upload,
        categories: Sequence[str] | None = None,
        **options: Unpack[SeparateOptions],
    ) -> RemoteSeparation:
        """Have a recording separated: sources of its very length, rate and channels.

        Parameters
        ----------
        recording
            A file's name, its content as bytes, or a binary file object.
        categories
            Names; None for all that are present.
        options
            See `SeparateOptions`.

        Raises
        ------
        AudioError, CategoryError, ConfigError, EngineError, OverloadError
            As the server says.
        ServerError
            If it is not there, refuses, or goes away meanwhile.
        """
        query = query_of(categories, "wav", options)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            await self._separate(recording, query, file)
            return Answer(file).in_memory()

    async def separate_to(
        self,
        path: str | Path,
        folder: str | Path,
        categories: Sequence[str] | None = None,
        *,
        format: Format = "wav",  # noqa: A002 - the option's name
        **options: Unpack[SeparateOptions],
    ) -> RemoteFiles:
        """Have a file separated to ``folder/<file's name>/<category>.<format>``.

        The folder is what `Separator.separate_to` makes: stems appear whole, all at the end, or not
        at all, and replace what an earlier run wrote there.

        Raises
        ------
        AudioError, CategoryError, ConfigError, EngineError, OverloadError, ServerError
            As `separate`, and for what cannot be written.
        """
        query = query_of(categories, format, options)
        owned = RunFolder.claim(Path(folder), Path(path))
        with owned, tempfile.TemporaryFile(dir=owned.work) as file:
            await self._separate(path, query, file)
            return Answer(file).to_folder(owned, {"server": self.url, **query})

    @asynccontextmanager
    async def stream(self, **options: Unpack[StreamOptions]) -> AsyncIterator[AsyncClientStream]:
        """Begin to separate a live signal; an asynchronous context manager.

        Leaving it without `AsyncClientStream.aclose` drops what is still to come.

        Parameters
        ----------
        options
            See `StreamOptions`: ``sample_rate``, and what `Separator.stream` may be told.

        Raises
        ------
        AudioError, CategoryError, ConfigError, OverloadError, ServerError
            As the server says.
        """
        stream = await connected(self.url, self._headers, options, open_s=CONNECT_S)
        try:
            yield stream
        finally:
            await stream.abort()

    async def _separate(self, recording: Upload, query: dict[str, str], file: IO[bytes]) -> None:
        """Send a recording, and write the answer to a file."""
        with ExitStack() as held:
            source, size = opened(recording, held)
            most = await self._most_bytes(size)
            expect_taken(size or 0, most)
            headers = {"Accept": "application/zip"}
            if size is not None:
                headers["Content-Length"] = str(size)
            async with self._answer(
                "POST", "/separate", params=query, headers=headers, content=pieces(source, most)
            ) as response:
                async for piece in response.aiter_raw():
                    file.write(piece)

    async def _most_bytes(self, size: int | None) -> int | None:
        """What the server takes, where a recording may be more than that.

        It is asked before, as it ends the connection of who sends too much, and whoever sends does
        not read why.
        """
        if size is not None and size <= _WORTH_ASKING:
            return None
        most = (await self.model()).get("limits", {}).get("max_bytes")
        return most if isinstance(most, int) else None

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, **request: Any
    ) -> AsyncIterator[httpx.Response]:
        """An answer that is a success, as it comes."""
        try:
            async with self._http.stream(method, path, **request) as response:
                if response.status_code != 200:
                    body = b""
                    async for piece in response.aiter_bytes():
                        body += piece
                        if len(body) > _LARGEST_WORD:
                            break
                    wait = response.headers.get("retry-after")
                    raise refusal(response.status_code, body, wait)
                yield response
        except self._httpx.TransportError as error:
            raise gone(self.url, error) from error
