"""``sgn-rt separate`` of folders and manifests: who works, how far it is, what is told."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeAlias

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sgn_rt._processors import available_cpus
from sgn_rt.cli.batch import JsonLines
from sgn_rt.cli.common import console
from sgn_rt.cli.process import printable, say
from sgn_rt.cli.verbosity import is_quiet
from sgn_rt.engines.factory import runs_on_gpu
from sgn_rt.separator import Separator
from sgn_rt.serving.cluster.run import Cluster, separate_on_ray
from sgn_rt.serving.folders.crew import Crew, Here, Lost, Worker
from sgn_rt.serving.folders.desk import Done, Part, Warned, Work
from sgn_rt.serving.folders.entry import Entry, Row
from sgn_rt.serving.folders.inputs import Listing
from sgn_rt.serving.folders.run import Earlier, Event, Run

GPU_JOBS: Final = 4
"""Recordings at a time on a GPU unless somebody says otherwise; not measured."""
LINE_EVERY_S: Final = 30.0
"""From one line of progress to the next where stderr is no terminal."""
_AHEAD: Final = 2
"""Entries of a worker at a time: while one is computed, the next is read."""
_MOST_FAULTS: Final = 10


Source: TypeAlias = Callable[[Iterable[Entry]], AbstractContextManager[Iterator[Event]]]
"""Has recordings separated, and tells what happens."""


def crew_for(
    separator: Separator, opening: Mapping[str, Any], work: Work, jobs: int | None
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
    """
    if runs_on_gpu(separator.engine.name):
        separator.join_windows()
        return Crew(lambda: Here(separator, work, jobs or GPU_JOBS), 1, work.state())
    separator.close()
    threads = opening["threads"] or available_cpus()
    count = jobs or threads
    opener = partial(Separator.open, **{**opening, "threads": max(1, threads // count)})
    return Crew(lambda: Worker(opener, work, _AHEAD), count, work.state())


class _Tally:
    """What has become of recordings so far, and how far the whole is."""

    def __init__(self, listing: Listing) -> None:
        self.files, self.left_bytes, self.done_bytes = len(listing), listing.total_bytes, 0
        self.sizes: dict[str, int] = {}
        self.parts: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self._began = self._told = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(),
            TextColumn("{task.percentage:3.0f} %"), TimeRemainingColumn(),
            console=console(err=True), transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=max(1, self.left_bytes))
        self._shows = sys.stderr.isatty() and not is_quiet()
        if self._shows:
            self._bar.start()

    def stop(self) -> None:
        """Take the bar away."""
        if self._shows:
            with suppress(OSError):  # a terminal that was hung up
                self._bar.stop()

    def end(self, key: str, row: Row, *, earlier: bool) -> str:
        """Count an outcome; its status in this run."""
        size = self.sizes.pop(key, 0)
        self.parts.pop(key, None)
        if earlier:
            self.left_bytes -= size  # no work, and no measure of how fast work goes
        else:
            self.done_bytes += size
        failed = row["status"] == "failed"
        status = "skipped" if earlier and not failed else str(row["status"])
        self.counts[status] += 1
        if failed:
            fault = str(row["error"]).replace(str(row["input"]), "").lstrip(": ")
            fault = fault.partition(", expected")[0]
            self.faults[fault] += 1
            self.examples.setdefault(fault, key)
        return status

    def show(self) -> None:
        """Show how far the whole is."""
        done = self.done_bytes + sum(
            part * self.sizes.get(key, 0) for key, part in self.parts.items()
        )
        over = self.counts.total()
        title = f"{over} of {self.files}, {self.counts['failed']} failed"
        self._bar.update(
            self._task, description=title, completed=done, total=max(1, self.left_bytes)
        )
        now = time.monotonic()
        if self._shows or is_quiet() or now - self._told < LINE_EVERY_S:
            return
        self._told = now
        if done > 0:
            left_s = (now - self._began) * max(0.0, self.left_bytes - done) / done
            share = done / max(1, self.left_bytes)
            say("progress", f"{title}, {share:.0%} of the bytes, about {left_s / 60:.0f} min left")

    def summary(self) -> None:
        """Tell what failures there were, by message."""
        for fault, count in self.faults.most_common(_MOST_FAULTS):
            say("error", f"{count} x {fault}, such as {self.examples[fault]}")
        if len(self.faults) > _MOST_FAULTS:
            say("error", f"and failures of {len(self.faults) - _MOST_FAULTS} other kinds")


def by_crew(crew: Crew, work: Work) -> Source:
    """A source of events by who works here."""

    @contextmanager
    def run(entries: Iterable[Entry]) -> Iterator[Iterator[Event]]:
        with crew, closing(Run(crew, entries, work).events()) as events:
            yield events

    return run


def by_cluster(opening: Mapping[str, Any], work: Work, cluster: Cluster) -> Source:
    """A source of events by a cluster."""
    return lambda entries: closing(separate_on_ray(entries, opening, work, cluster))


def separate_listing(
    source: Source, listing: Listing, work: Work, lines: JsonLines | None, *, tables: bool,
    keep: Callable[[Row], object],
) -> bool:  # fmt: skip
    """Separate all that is listed; whether none failed.

    Parameters
    ----------
    source
        Of events, by who separates.
    listing
        What.
    work
        What is wanted of each.
    lines
        Gets a line for each when it is done.
    tables
        Whether stdout is for people.
    keep
        Gets what is told of each.
    """
    tally = _Tally(listing)

    def entries() -> Any:
        for entry, size in listing.sized():
            tally.sizes[entry.key] = size
            yield entry

    try:
        with source(entries()) as events:
            for event in events:
                if isinstance(event, Part):
                    tally.parts[event.key] = event.done
                elif isinstance(event, Warned):
                    say("warning", event.text)
                elif isinstance(event, Lost):
                    say("warning", f"a worker ended by {event.how}: another takes its place")
                elif isinstance(event, Done | Earlier):
                    status = tally.end(event.key, event.row, earlier=isinstance(event, Earlier))
                    told = _told(event.row, status, work)
                    keep(told)
                    if lines is not None:
                        lines.write(told)
                    _tell(f"[{tally.counts.total()}/{tally.files}] ", told, tables=tables)
                tally.show()
    finally:
        tally.stop()
    if tables:
        counts = (f"{count} {status}" for status, count in sorted(tally.counts.items()))
        console().print(f"{tally.files} recordings: {', '.join(counts)}")
    tally.summary()
    return not tally.faults


def _told(row: Row, status: str, work: Work) -> dict[str, Any]:
    """What is told of an outcome: stems by their whole path."""
    stems = {name: str(work.output / stem) for name, stem in row["stems"].items()}
    return {**row, "status": status, "stems": stems}


def _tell(counter: str, told: Row, *, tables: bool) -> None:
    if told["status"] == "failed":
        say("error", f"{counter}{told['error']} (try {told['tries']})")
    elif tables:
        what = ", ".join(told["stems"]) or "no stems"
        console().print(f"{counter}{printable(told['input'])}  {told['status']}: {what}")
