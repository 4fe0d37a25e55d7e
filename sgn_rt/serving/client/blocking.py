"""The client for everybody without asyncio: the one for asyncio, in a loop of its own thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from sgn_rt._optional import require
from sgn_rt._process import Closes
from sgn_rt._types import Float
from sgn_rt.audio.writer import Format
from sgn_rt.serving.client.answer import RemoteFiles, RemoteSeparation
from sgn_rt.serving.client.asynchronous import AsyncClient
from sgn_rt.serving.client.live import AsyncClientStream
from sgn_rt.serving.client.options import SeparateOptions, StreamOptions
from sgn_rt.serving.client.upload import Upload
from sgn_rt.streaming.presence_events import PresenceEvent

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

T = TypeVar("T")


class Client(Closes):
    """A server of sgn-rt. Use it as a context manager; threads may share it.

    Parameters and what is raised are those of `AsyncClient`, as is what each method does.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 900.0) -> None:
        threads = require("anyio.from_thread", extra="client", purpose="the client of sgn-rt serve")
        self._client = AsyncClient(url, token=token, timeout_s=timeout_s)
        self.url = self._client.url
        with ExitStack() as held:
            self._portal: BlockingPortal = held.enter_context(threads.start_blocking_portal())
            held.callback(self._portal.call, self._client.aclose)
            self._held = held.pop_all()

    def close(self) -> None:
        """Let go of all connections and of the thread; also done by leaving a ``with`` block."""
        self._held.close()

    def model(self) -> dict[str, Any]:
        """What the server says of its model: name, categories, sample rate, engine, limits."""
        return _called(self._portal, self._client.model)

    def ready(self) -> bool:
        """Whether the server takes work; it does once its engine has proved itself."""
        return _called(self._portal, self._client.ready)

    def separate(
        self,
        recording: Upload,
        categories: Sequence[str] | None = None,
        **options: Unpack[SeparateOptions],
    ) -> RemoteSeparation:
        """Have a recording separated, see `AsyncClient.separate`."""
        work = partial(self._client.separate, recording, categories, **options)
        return _called(self._portal, work)

    def separate_to(
        self,
        path: str | Path,
        folder: str | Path,
        categories: Sequence[str] | None = None,
        *,
        format: Format = "wav",  # noqa: A002 - the option's name
        **options: Unpack[SeparateOptions],
    ) -> RemoteFiles:
        """Have a file separated to files, see `AsyncClient.separate_to`."""
        work = partial(self._client.separate_to, path, folder, categories, format=format, **options)
        return _called(self._portal, work)

    @contextmanager
    def stream(self, **options: Unpack[StreamOptions]) -> Iterator[ClientStream]:
        """Begin to separate a live signal, see `AsyncClient.stream`; a context manager."""
        opened = self._portal.wrap_async_context_manager(self._client.stream(**options))
        with opened as stream:
            yield ClientStream(stream, self._portal)


class ClientStream:
    """A live stream. Made by `Client.stream`; belongs to one thread at a time.

    What it is and does is as `AsyncClientStream` has it.
    """

    def __init__(self, stream: AsyncClientStream, portal: BlockingPortal) -> None:
        self._stream, self._portal = stream, portal
        self.sample_rate, self.channels = stream.sample_rate, stream.channels
        self.categories, self.latency_samples = stream.categories, stream.latency_samples

    @property
    def overload(self) -> Counter[str]:
        """What the server's overload has done to this stream, by kind."""
        return self._stream.overload

    def feed(self, block: Any) -> None:
        """Send a block; waits while the connection is full."""
        _called(self._portal, partial(self._stream.afeed, block))

    def read(self) -> dict[str, Float]:
        """What has come, shape = (channels, samples), also none; does not wait for more."""
        return self._portal.call(self._stream.read)

    def wait(self) -> dict[str, Float]:
        """Wait until there is at least one sample, or the end; then as `read`."""
        return _called(self._portal, self._stream.aread)

    def events(self) -> list[PresenceEvent]:
        """What has appeared and disappeared since the last call."""
        return self._portal.call(self._stream.events)

    def close(self) -> dict[str, Float]:
        """End the signal, wait for the rest and give it, shape = (channels, samples)."""
        return _called(self._portal, self._stream.aclose)

    def reset(self) -> None:
        """Forget everything, and begin a new signal."""
        _called(self._portal, self._stream.areset)

    def abort(self) -> None:
        """Drop everything, and the connection."""
        _called(self._portal, self._stream.abort)


def _called(portal: BlockingPortal, work: Callable[[], Awaitable[T]]) -> T:
    """Have the loop do it; what ends the wait, such as Ctrl-C, ends the work."""
    future = portal.start_task_soon(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
