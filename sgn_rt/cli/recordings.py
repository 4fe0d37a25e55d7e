"""Who separates the recordings that a command was given, and what happens meanwhile."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Final, TypeAlias

from sgn_rt._processors import available_cpus
from sgn_rt.cli.process import say
from sgn_rt.cli.tally import Tally
from sgn_rt.engines.factory import runs_on_gpu
from sgn_rt.separator import Separator
from sgn_rt.serving.cluster.run import Cluster, separate_on_ray
from sgn_rt.serving.folders.crew import Crew, Here, Lost, Worker
from sgn_rt.serving.folders.desk import Done, Part, Warned, Work
from sgn_rt.serving.folders.one import separate_one
from sgn_rt.serving.folders.run import Earlier, Event, Run

GPU_JOBS: Final = 4
"""Recordings at a time on a GPU unless somebody says otherwise; not measured."""
_AHEAD: Final = 2
"""Entries of a worker at a time: while one is computed, the next is read."""

Told: TypeAlias = dict[str, Any]
"""What is told of a recording: its `Row`, with the status in this run, and whole paths of stems."""


@contextmanager
def separating(
    tally: Tally, opening: Mapping[str, Any], work: Work, *, cluster: Cluster | None,
    jobs: int | None, one_by_one: bool,
) -> Iterator[Iterator[Event]]:  # fmt: skip
    """Have recordings separated; gives what happens, as it does.

    Parameters
    ----------
    tally
        Of the recordings.
    opening
        Of `Separator.open`.
    work
        What is wanted of each.
    cluster
        That separates; None for this machine.
    jobs
        As `crew_for`.
    one_by_one
        Whether this thread separates them here, one after another, with all processors.
    """
    if cluster is not None:
        with closing(separate_on_ray(tally.entries(), opening, work, cluster)) as events:
            yield events
        return
    with Separator.open(**opening) as separator:
        if one_by_one:
            with closing(in_turn(separator, tally, work)) as events:
                yield events
            return
        crew = crew_for(separator, opening, work, jobs, tally.files)
        with crew, closing(Run(crew, tally.entries(), work).events()) as events:
            yield events


def crew_for(
    separator: Separator, opening: Mapping[str, Any], work: Work, jobs: int | None, files: int
) -> Crew:
    """Who separates: threads here where the engine is a GPU's; else worker processes.

    Parameters
    ----------
    separator
        Open; closed where workers open their own.
    opening
        Of `Separator.open`.
    work
        What is wanted.
    jobs
        Recordings at a time on a GPU, else processes; None for what is well chosen.
    files
        How many recordings there are.
    """
    if runs_on_gpu(separator.engine.name):
        separator.join_windows()
        return Crew(lambda: Here(separator, work, jobs or GPU_JOBS), 1, work.state())
    separator.close()
    threads = opening["threads"] or available_cpus()
    count = min(jobs or threads, files)
    opener = partial(Separator.open, **{**opening, "threads": max(1, threads // count)})
    return Crew(lambda: Worker(opener, work, _AHEAD), count, work.state())


def in_turn(separator: Separator, tally: Tally, work: Work) -> Generator[Event, None, None]:
    """Separate recordings one after another, in this thread."""
    for entry in tally.entries():
        row = separate_one(
            separator, entry, work.output, work.options,
            skip_existing=work.skip_existing, addition=work.addition,
            progress=partial(tally.part, entry.key),
        )  # fmt: skip
        yield Done(entry.key, row)


def outcomes(events: Iterable[Event], tally: Tally, work: Work) -> Iterator[Told]:
    """What becomes of each recording; of what else happens, people are told."""
    for event in events:
        match event:
            case Part():
                tally.part(event.key, event.done)
            case Warned():
                say("warning", event.text)
            case Lost():
                say("warning", f"a worker ended by {event.how}: another takes its place")
            case Done() | Earlier():
                status = tally.end(event.key, event.row, earlier=isinstance(event, Earlier))
                stems = {name: str(work.output / at) for name, at in event.row["stems"].items()}
                yield {**event.row, "status": str(status), "stems": stems}
