"""Threads that separate uploads, with a bounded queue before them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

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

    Attributes
    ----------
    taken
        Places that are taken.
    """

    def __init__(self, jobs: int, queue: int) -> None:
        self.jobs, self._most = jobs, jobs + queue
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="sgn-rt separating")
        self._lock = threading.Lock()
        self._left: dict[Future[Any], ExitStack] = {}
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

    def leave(self, work: Future[Any], held: ExitStack) -> None:
        """Close what is held when work that nobody wants any more has ended."""
        with self._lock:
            self._left[work] = held.pop_all()
        work.add_done_callback(self._forget)

    def _forget(self, work: Future[Any]) -> None:
        with self._lock:
            held = self._left.pop(work, None)
        if held is not None:
            held.close()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have work done as soon as a thread is free."""
        return self._pool.submit(work)

    def close(self) -> bool:
        """Let go of the threads, and of the folders of those that do not end; whether all have."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        hanging = list(self._left)
        for work in hanging:
            self._forget(work)
        return not hanging
