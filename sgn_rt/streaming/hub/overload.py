"""Where windows were late, and what was done about it, as a stream tells its caller."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sgn_rt.audio.limits import is_real
from sgn_rt.errors import ConfigError
from sgn_rt.streaming.choices import one_of

Overload = Literal["refuse", "raise", "longer-step", "pass-through"]
"""What a hub does about more than it can hold: `sgn_rt.separator.Separator.hub`."""

MOST_SPANS: Final = 1000
"""Spans that are kept; the oldest go first."""


@dataclass(frozen=True, slots=True)
class OverloadSpan:
    """A part of a stream in which an overload was heard.

    Attributes
    ----------
    kind
        ``longer-step`` or ``pass-through``.
    start_s, stop_s
        Of the signal, seconds; its borders are cross-faded.
    """

    kind: Literal["longer-step", "pass-through"]
    start_s: float
    stop_s: float


class OverloadSpans:
    """Spans of one signal, in order; those that touch are one."""

    def __init__(self) -> None:
        self._spans: deque[OverloadSpan] = deque(maxlen=MOST_SPANS)

    def add(self, span: OverloadSpan) -> None:
        """Note a span that begins where the last one ended, or later."""
        last = self._spans[-1] if self._spans else None
        if last is not None and last.kind == span.kind and span.start_s <= last.stop_s + 1e-9:
            self._spans[-1] = OverloadSpan(last.kind, last.start_s, span.stop_s)
        else:
            self._spans.append(span)

    def __call__(self) -> tuple[OverloadSpan, ...]:
        """Those so far."""
        while True:
            try:
                return tuple(self._spans)
            except RuntimeError:  # another thread has added one meanwhile
                continue


def checked_overload(name: object) -> Overload:
    """The policy.

    Raises
    ------
    ConfigError
        If it is none of those that there are.
    """
    policy: Overload = one_of("overload", name, get_args(Overload))
    return policy


def checked_positive(value: object, what: str) -> float:
    """A positive number of seconds.

    Raises
    ------
    ConfigError
        For anything else.
    """
    if not is_real(value) or not 0.0 < value < float("inf"):
        raise ConfigError(
            f"{what}: got {value!r:.40}, expected a positive number of seconds. Give one."
        )
    return float(value)
