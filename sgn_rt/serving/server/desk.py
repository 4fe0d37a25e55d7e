"""Threads that separate uploads, with a bounded queue before them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from sgn_rt.serving.server.problems import HttpError

T = TypeVar("T")


class Desk:
    """Takes in so many recordings, and works on some of them at a time.

    Parameters
    ----------
    jobs
        Worked on side by side.
    queue
        Those that may wait, or are still coming.
    """

    def __init__(self, jobs: int, queue: int) -> None:
        self.jobs, self._most = jobs, jobs + queue
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="sgn-rt separating")
        self._lock = threading.Lock()
        self.taken = 0

    def take(self, held: ExitStack) -> None:
        """Take a place, until what is held is closed, by whichever thread.

        Raises
        ------
        HttpError
            If there is none.
        """
        with self._lock:
            if self.taken >= self._most:
                raise HttpError(429, "OverloadError", f"server: got more than {self._most} "
                                "recordings at a time, expected no more. Try later.")  # fmt: skip
            self.taken += 1
        held.callback(self._give_back)

    def _give_back(self) -> None:
        with self._lock:
            self.taken -= 1

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have work done as soon as a thread is free."""
        return self._pool.submit(work)

    def close(self) -> None:
        """Let go of the threads, without waiting for what has not ended."""
        self._pool.shutdown(wait=False, cancel_futures=True)
