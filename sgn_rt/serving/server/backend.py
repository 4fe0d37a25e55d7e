"""What is behind the server: the separator and its hub, opened beside it, drained and closed."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from sgn_rt.separator import Separator
from sgn_rt.serving.server.options import ServerOptions
from sgn_rt.serving.server.problems import HttpError
from sgn_rt.streaming.hub.hub import Hub
from sgn_rt.streaming.hub.stats import BatchDone

log = logging.getLogger(__name__)


class Backend:
    """The separator and the hub of a server, and whether they take work.

    Parameters
    ----------
    opener
        Opens the separator; takes its time.
    options
        The server's.
    on_batch
        Told of every call of the engine by the hub.

    Attributes
    ----------
    ending
        Set in the loop when the time to drain is over: what still runs is to end at once.
    failure
        Why the separator did not open, if so.
    draining
        Whether no more work is taken.
    """

    def __init__(
        self,
        opener: Callable[[], Separator],
        options: ServerOptions,
        on_batch: Callable[[BatchDone], object] | None = None,
    ) -> None:
        self._opener, self._options, self._on_batch = opener, options, on_batch
        self._held = ExitStack()
        self._separator: Separator | None = None
        self._hub: Hub | None = None
        self._opened = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: Exception | None = None
        self.draining = False
        self._busy = 0
        self._lock = threading.Lock()

    def start(self, on_failure: Callable[[], object] = lambda: None) -> None:
        """Begin to open the separator, in a thread; to be called in the loop."""
        self._loop = asyncio.get_running_loop()
        self.ending, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._thread = threading.Thread(
            target=self._open, args=(on_failure,), name="sgn-rt opening", daemon=True
        )
        self._thread.start()

    def _open(self, on_failure: Callable[[], object]) -> None:
        try:
            separator = self._held.enter_context(self._opener())
            self._hub = self._held.enter_context(
                separator.hub(
                    deadline_s=self._options.deadline_s,
                    overload=self._options.overload,
                    on_batch=self._on_batch,
                )
            )
            self._separator = separator
            log.info("ready: %s", separator)
        except Exception as error:
            self.failure = error
            log.exception("the engine did not open")
            self._loop.call_soon_threadsafe(on_failure)
        finally:
            self._opened.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the separator is open, or has failed to; whether it is so."""
        return self._opened.wait(timeout)

    def unready(self) -> HttpError | None:
        """Why no work is taken; None where it is."""
        if self.draining:
            return HttpError(503, "Draining", "server: got a request while it ends, expected none. "
                           "Ask another one.", close_code=1012)  # fmt: skip
        if self.failure is not None:
            return HttpError(503, type(self.failure).__name__, str(self.failure))
        if self._separator is None:
            return HttpError(503, "NotReady", "server: got a request while its engine opens, "
                             "expected one after that. Ask /readyz, and try again.")  # fmt: skip
        return None

    @property
    def opened(self) -> tuple[Separator, Hub] | None:
        """The separator and its hub, if they are open."""
        if self._separator is None or self._hub is None:
            return None
        return self._separator, self._hub

    @contextmanager
    def working(self) -> Iterator[tuple[Separator, Hub]]:
        """The separator and its hub, for work that a drain waits for; in the loop.

        Raises
        ------
        HttpError
            If no work is taken.
        """
        problem = self.unready()
        if problem is not None or self.opened is None:
            raise problem or AssertionError
        self._busy += 1
        self._idle.clear()
        try:
            yield self.opened
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def drain(self, seconds: float) -> bool:
        """Take no more work, and wait for what runs; whether it ended by itself."""
        self.draining = True
        return await self._ends(seconds)

    async def end(self, seconds: float) -> None:
        """End what still runs, and wait for so long at most until it has."""
        self.draining = True
        self.ending.set()
        if not await self._ends(seconds):
            log.warning("work goes on after it was told to end")

    async def _ends(self, seconds: float) -> bool:
        """Wait for what runs; whether it ended by itself."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def close(self, seconds: float) -> bool:
        """Close the hub and the separator, and wait for so long at most; whether they are closed.

        An engine that hangs, or still opens, is left to the end of the process.
        """
        closing = threading.Thread(target=self._close, name="sgn-rt closing", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, seconds)
        return not closing.is_alive()

    def _close(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._held.close()
