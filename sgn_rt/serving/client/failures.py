"""What a server says is wrong, as this package's own exceptions."""

from __future__ import annotations

import json
from typing import Any, Final

from sgn_rt import errors
from sgn_rt.errors import AudioError, OverloadError, ServerError, SgnError

_BY_STATUS: Final[dict[int, type[SgnError]]] = {
    411: AudioError, 413: AudioError, 415: AudioError, 429: OverloadError, 503: OverloadError,
}  # fmt: skip
"""For an error that is of no class of this package, and for a proxy's."""

_SHOWN: Final = 200
"""Letters of a foreign answer that a message quotes."""


def failure(told: Any, status: int = 0) -> SgnError:
    """The exception of a server's ``error`` object: of its class, where this package has it.

    Parameters
    ----------
    told
        ``type`` and ``message``.
    status
        HTTP's, which decides where the type is no class.
    """
    if not isinstance(told, dict) or not isinstance(told.get("message"), str):
        return not_ours(f"the error {told!r:.{_SHOWN}}")
    kind = getattr(errors, str(told.get("type")), None)
    if isinstance(kind, type) and issubclass(kind, SgnError):
        return kind(told["message"])
    return _BY_STATUS.get(status, ServerError)(told["message"])


def refusal(status: int, body: bytes, retry_after: str | None = None) -> SgnError:
    """The exception of an HTTP answer that is no success.

    Parameters
    ----------
    status
        Its code.
    body
        JSON of the server's own, or whatever a proxy in front of it says.
    retry_after
        Its header of that name; a note of the exception.
    """
    try:
        error = failure(json.loads(body)["error"], status)
    except (ValueError, KeyError, TypeError):
        said = body[:_SHOWN].decode(errors="replace").strip() or "nothing"
        error = _BY_STATUS.get(status, ServerError)(
            f"server: got HTTP {status} ({said}), expected an answer of sgn-rt. Check the address, "
            "and what stands in front of the server."
        )
    if retry_after is not None:
        error.add_note(f"The server asks to wait before the next try (Retry-After: {retry_after}).")
    return error


def gone(url: str, error: BaseException) -> ServerError:
    """The exception for a server that cannot be reached, or went away."""
    said = str(error).strip().rstrip(".") or type(error).__name__
    return ServerError(
        f"server: got no answer of {url} ({said}), expected one. Start `sgn-rt serve` there, or "
        "check the address and the network."
    )


def not_ours(what: str) -> ServerError:
    """The exception for an answer that no server of this package gives."""
    return ServerError(
        f"server: got {what}, expected an answer of sgn-rt. Check the address, and that both "
        "versions fit."
    )


def parsed(message: str | bytes) -> dict[str, Any]:
    """A message of a server that is JSON.

    Raises
    ------
    ServerError
        If it is none.
    """
    try:
        told = json.loads(message)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise not_ours(f"{message!r:.80} for JSON")
    return told
