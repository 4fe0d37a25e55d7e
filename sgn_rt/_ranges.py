"""Ranges with names, for NVIDIA's profilers (Nsight Systems): where a window's time goes.

They cost nothing where the package ``nvtx`` is not installed (extra ``profile``).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import Any, Final

DOMAIN: Final = "sgn-rt"


class Range(StrEnum):
    """What takes time."""

    WINDOW = "window"
    NETWORK = "network"
    SYNTHESIS = "synthesis"
    COPIES = "copies"


class _Marked:
    """Pushes a range of its name and pops it; may be entered again and again, by any thread."""

    def __init__(self, domain: Any, name: str) -> None:
        self._domain, self._attributes = domain, domain.get_event_attributes(message=name)

    def __enter__(self) -> None:
        self._domain.push_range(self._attributes)

    def __exit__(self, *raised: object) -> None:
        self._domain.pop_range()


@cache
def ranged(name: Range) -> AbstractContextManager[None]:
    """A range for a ``with`` block; always the same one for a name."""
    try:
        nvtx = import_module("nvtx")
    except (ImportError, OSError):
        return nullcontext()
    return _Marked(nvtx.get_domain(DOMAIN), str(name))
