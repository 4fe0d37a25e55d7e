"""Work that is given to a stream again and again: captured into a CUDA graph, where that is had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Final

from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.device.protocol import Device, Graph, Stream

RETRY: Final = 64
"""Runs after which a capture that failed is tried again: what broke it has passed, or will not."""


class Repeated:
    """Runs the same work plainly the first time, as a graph from the second on.

    Parameters
    ----------
    device
        Has to be current for everything here.
    lock
        Held while the work runs for the first time, as it then allocates, and while it is captured.
    captures
        Whether graphs are wanted.

    Attributes
    ----------
    failure
        Why the last capture failed; None where none has.
    """

    def __init__(self, device: Device, lock: threading.Lock, *, captures: bool) -> None:
        self._device, self._lock = device, lock
        self._captures = captures and device.can_capture
        self._graph: Graph | None = None
        self._ran, self._pause = False, 0
        self.failure: str | None = None

    @property
    def has_graph(self) -> bool:
        """Whether the work is a graph."""
        return self._graph is not None

    def run(self, stream: Stream, work: Callable[[], None]) -> None:
        """Give the work to a stream; the same as the last time, unless `forget` came between."""
        graph = self._captured(stream, work)
        if graph is not None:
            graph.launch(stream)
            return
        with nullcontext() if self._ran else self._lock:
            work()
        self._ran = True

    def forget(self) -> None:
        """What comes next is other work, or on other addresses."""
        graph, self._graph, self._ran = self._graph, None, False
        if graph is not None:
            with suppress(EngineError):
                graph.close()

    def _captured(self, stream: Stream, work: Callable[[], None]) -> Graph | None:
        if self._graph is not None or not (self._captures and self._ran):
            return self._graph
        if self._pause:
            self._pause -= 1
            return None
        try:
            with self._lock:
                self._graph = self._device.capture(stream, work)
        except EngineError as error:
            # Without graphs it is slower and as right; the reason is kept for the report.
            self._pause, self.failure = RETRY, str(error)
        return self._graph
