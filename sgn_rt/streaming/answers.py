"""What a stream needs of an engine: answers for windows, and more of them later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sgn_rt._types import Analysis, Float, Positions


class InService(Protocol):
    """What a stream wants to know of the engine that takes the next window."""

    name: str
    concurrency: int
    batch: int


@dataclass(slots=True)
class Answer:
    """What an engine said of one window, and what it takes to ask for more.

    Attributes
    ----------
    mixture
        The window, shape = (N,), float32.
    analysis
        The network's part of the answer, presence [C] in it.
    sources
        Of the categories chosen, shape = (S, N), float32.
    engine
        The engine that gave it.
    """

    mixture: Float
    analysis: Analysis
    sources: Float
    engine: InService


class Separates(Protocol):
    """Windows in, answers out, whichever engine is in service."""

    @property
    def active(self) -> InService:
        """The engine that takes the next window."""
        ...

    def answer(self, mixture: Float, wanted: Positions | None, chosen: Positions) -> list[Answer]:
        """The network and the sources ``chosen`` for windows [B, N].

        ``wanted`` are those that `more` may be asked for; None for any.
        """
        ...

    def more(self, answer: Answer, categories: Positions) -> Float:
        """Further sources of a window, shape = (S, N); the network has run already."""
        ...
