"""What belongs to one process: threads and sessions stay behind at a fork or a pickle."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, NoReturn, ParamSpec, Self, TypeVar

from sgn_rt.errors import SgnError

P = ParamSpec("P")
T = TypeVar("T")

_forks = 0
"""Forks between the first process and this one."""


def _forked() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def forks() -> int:
    """How many there have been on the way to this process: what has seen fewer is a parent's."""
    return _forks


class OneProcess:
    """Base of what cannot be used in a forked child, nor be pickled or copied.

    A fork takes along memory, but no threads: who waits for one of the parent's waits for ever.
    """

    _born: int

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        del arguments, options  # __init__'s
        made = super().__new__(cls)
        made._born = _forks
        return made

    def _expect_own_process(self) -> None:
        """To be called before anything is waited for.

        Raises
        ------
        SgnError
            In a process forked from the one that made it.
        """
        if self._born != _forks:
            raise SgnError(
                f"{type(self).__name__}: got a call in a process forked from the one that opened "
                "it, expected one in that process: threads and sessions do not come along. Open "
                "it in each process after the fork, or start processes by 'spawn'."
            )

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise SgnError(
            f"{type(self).__name__}: got a request to pickle or copy it, expected none: it holds "
            "threads and sessions of this process. Send what it was opened with, such as the "
            "bundle's path, and open it there."
        )


class Closes(ABC):
    """What is closed once it is no longer wanted, also by leaving a ``with`` block."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Workers(OneProcess, ThreadPoolExecutor):
    """Threads of an object that is closed once, by any thread.

    Parameters
    ----------
    count
        Threads at most.
    owner
        What they belong to, for messages.
    """

    def __init__(self, count: int, owner: str) -> None:
        super().__init__(count, thread_name_prefix="sgn-rt")
        self._owner, self._over = owner, False

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As ThreadPoolExecutor's."""
        self._over = True
        super().shutdown(wait, cancel_futures=cancel_futures)

    def submit(self, fn: Callable[P, T], /, *arguments: P.args, **options: P.kwargs) -> Future[T]:
        """As ThreadPoolExecutor's.

        Raises
        ------
        SgnError
            After it was closed, by whichever thread, and in a forked process.
        """
        self._expect_own_process()
        try:
            return super().submit(fn, *arguments, **options)
        except RuntimeError as error:
            if self._over:  # it may also be that the system gives no more threads
                raise closed(self._owner) from error
            raise


def closed(owner: str) -> SgnError:
    """The error of a call that comes after close(), or that close() has overtaken."""
    return SgnError(f"{owner}: got a call after close(), expected none. Open another one.")
