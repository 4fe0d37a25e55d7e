"""What a stream needs of an engine: answers for windows, and more of them later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from sgn_rt._types import Analysis, Float, Part, Positions, Windows
from sgn_rt.audio.resample import Resampler


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
        What is heard of the categories chosen, shape = (S, samples), float32, or of the format
        that was asked for.
    engine
        The engine that gave it.
    """

    mixture: Float
    analysis: Analysis
    sources: NDArray[Any]
    engine: InService


class Separates(Protocol):
    """Windows in, answers out, whichever engine is in service."""

    def resampler(self, source_rate: int, target_rate: int) -> Resampler:
        """What converts sample rates where the engine in service works."""
        ...

    @property
    def active(self) -> InService:
        """The engine that takes the next window."""
        ...

    def answer(
        self,
        windows: Windows,
        wanted: Positions | None,
        chosen: Positions,
        parts: Sequence[Part],
    ) -> list[Answer]:
        """The network and the sources ``chosen`` for windows, as far as they are heard.

        ``wanted`` are those that `more` may be asked for; None for any.
        """
        ...

    def more(
        self, answers: Sequence[Answer], categories: Positions, parts: Sequence[Part]
    ) -> list[NDArray[Any]]:
        """What is heard of further sources of windows; the network has run already."""
        ...
