"""What goes wrong, in HTTP's words: a status, and JSON with the error's kind and message."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sgn_rt.errors import (
    AudioError,
    CategoryError,
    ConfigError,
    DependencyError,
    OverloadError,
    SgnError,
    StorageError,
)

_OF_THE_SYSTEM: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE}
)
"""Errors for which no client is to blame."""

RETRY_S: Final = 5
"""What a client that comes at a bad moment is told to wait."""

_CLOSE_CODES: Final = {
    400: 1008, 401: 1008, 403: 1008, 413: 1009, 415: 1003, 429: 1013, 500: 1011, 503: 1013,
    504: 1008,
}  # fmt: skip


class HttpError(Exception):
    """An answer other than the one that was wanted.

    Attributes
    ----------
    status
        HTTP's.
    kind
        The error's class, or a word like one.
    close_code
        A WebSocket's, in the place of the status.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, close_code: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind
        self.close_code = close_code or _CLOSE_CODES.get(status, 1008)

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the answer."""
        if self.status == 401:
            return {"WWW-Authenticate": 'Bearer realm="sgn-rt"'}
        return {"Retry-After": str(RETRY_S)} if self.status in (429, 503) else {}

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {"error": {"type": self.kind, "message": str(self)}}


def problem_of(error: BaseException, names: Mapping[str, str] | None = None) -> HttpError:
    """What a client is told of an error.

    Parameters
    ----------
    error
        Of this package, of the system, or one that nobody foresaw, of which only the kind is told.
    names
        Paths of this machine -> what a client knows them as.
    """
    if isinstance(error, HttpError):
        return error
    message = str(error)
    for path, name in (names or {}).items():
        message = message.replace(path, name)
    kind = type(error).__name__
    full = any(each.errno in _OF_THE_SYSTEM for each in _system_errors(error))
    if full or isinstance(error, StorageError):
        return HttpError(503, "StorageError", "spool: got no room, or no access, on the "
                         "server's disk, expected some. Try later, or tell its owner.")  # fmt: skip
    if isinstance(error, DependencyError):
        return HttpError(415, kind, message)
    if isinstance(error, AudioError | CategoryError | ConfigError):
        return HttpError(400, kind, message)
    if isinstance(error, OverloadError):
        return HttpError(429, kind, message)
    if isinstance(error, SgnError):
        return HttpError(500, kind, message)
    return HttpError(500, "ServerError", f"server: got an unexpected {kind}, expected none. "
                   "The server's log has more; please report it.")  # fmt: skip


def _system_errors(error: BaseException | None) -> Iterator[OSError]:
    while error is not None:
        if isinstance(error, OSError):
            yield error
        error = error.__cause__
