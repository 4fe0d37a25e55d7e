"""Windows of one channel as an engine is asked for them, and what is heard of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from sgn_rt._types import Float, Part, Positions
from sgn_rt.streaming.answers import Answer, Separates


class Job(NamedTuple):
    """A window of one channel [N], and what is heard of its sources."""

    mixture: Float
    part: Part


@dataclass(slots=True)
class Heard:
    """What is heard of a window of one channel.

    Attributes
    ----------
    sources
        Category's position -> shape = (stop - start,), float32, or of the part's format.
    presence
        shape = (C,); None where no network has heard the window.
    engine
        Name of the engine.
    job, answer
        The window, and what it takes to ask for more sources of it; None where nobody will.
    """

    sources: dict[int, NDArray[Any]]
    presence: Float | None
    engine: str
    job: Job
    answer: Answer | None


def ask(
    engine: Separates, jobs: Sequence[Job], chosen: Positions, *, finds: bool = False
) -> list[Heard]:
    """What an engine makes of jobs, in one call.

    Parameters
    ----------
    engine
        In service.
    jobs
        At most as many as it takes in one call.
    chosen
        Categories to make sources of now, shape = (S,), int64.
    finds
        Whether it may be asked for others later.
    """
    answers = engine.answer(
        [job.mixture for job in jobs],
        None if finds else chosen,
        chosen,
        [job.part for job in jobs],
    )
    heard = []
    for job, answer in zip(jobs, answers, strict=True):
        sources = dict(zip(chosen.tolist(), answer.sources, strict=True))
        answer.sources = answer.sources[:0].copy()  # a source lives until it is taken, no longer
        kept = answer if finds else None
        heard.append(Heard(sources, answer.analysis.presence, answer.engine.name, job, kept))
    return heard
