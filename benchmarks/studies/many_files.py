"""Processes or threads: how many files go through the processors of this machine in a time.

``python -P -m sgn_rt.benchmarks.studies.many_files --json many.json`` separates the same files by
one process that has all processors, by as many processes as there are processors, and by one
process with several files at a time, in turn, in an order that changes. What wins is what
``sgn-rt separate FOLDER`` should do on the CPU where --jobs is left out.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import soundfile

from sgn_rt._processors import available_cpus
from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.benchmarks.harness import orders, ratios
from sgn_rt.benchmarks.machine.environment import describe
from sgn_rt.benchmarks.result import median_interval
from sgn_rt.errors import ParityError
from sgn_rt.model.bundle import Bundle
from sgn_rt.separator import Separator
from sgn_rt.serving.folders.crew import Crew, Worker
from sgn_rt.serving.folders.desk import Done, Work
from sgn_rt.serving.folders.entry import Entry, Status
from sgn_rt.serving.folders.run import Run
from sgn_rt.serving.folders.state import fingerprint_of

REFERENCE: Final = "one process"
_CATEGORIES: Final = 2
"""That are separated: what music has at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Who separates.

    Attributes
    ----------
    processes
        How many.
    threads
        Of each one's engine.
    at_a_time
        Files of each: 2 are one that is computed, and the next, which is read meanwhile.
    """

    processes: int
    threads: int
    at_a_time: int = 2


@dataclass(frozen=True, slots=True)
class Took:
    """What a run took, seconds: all of it, with its start, and from its first file to its last."""

    whole_s: float
    after_first_s: float


def ways(processors: int) -> dict[str, Way]:
    """What is compared, by its name."""
    found = {
        REFERENCE: Way(processes=1, threads=processors),
        "one process, several files": Way(
            processes=1, threads=processors, at_a_time=processors + 1
        ),
    }
    if processors > 1:
        found[f"{processors} processes"] = Way(processes=processors, threads=1)
    return found


def once(way: Way, bundle: Path | None, entries: Sequence[Entry], output: Path) -> Took:
    """Separate files to a new folder.

    Raises
    ------
    ParityError
        If one of them fails.
    """
    model = Bundle.open(bundle)
    options = {"categories": list(model.config.categories[:_CATEGORIES])}
    work = Work(output=output, options=options, fingerprint=fingerprint_of(model, options))
    opener = partial(Separator.open, bundle, "onnxruntime", threads=way.threads)
    done: list[float] = []
    begin = time.perf_counter()
    with (
        Crew(lambda: Worker(opener, work, way.at_a_time), way.processes, work.state()) as crew,
        closing(Run(crew, entries, work).events()) as events,
    ):
        for event in events:
            if isinstance(event, Done):
                done.append(time.perf_counter())
                if event.row["status"] != Status.SEPARATED:
                    raise ParityError(
                        f"{event.key}: got {event.row}, expected stems. See what a run of sgn-rt "
                        "separate says."
                    )
    return Took(time.perf_counter() - begin, done[-1] - done[0])


def expect_same(outputs: Sequence[Path]) -> None:
    """Look at what all ways made, before any is believed.

    Raises
    ------
    ParityError
        If they made other stems.
    """
    first, *others = outputs
    stems = {path.relative_to(first) for path in first.rglob("*.wav")}
    for other in others:
        same = stems == {path.relative_to(other) for path in other.rglob("*.wav")}
        if not stems or not same or not all(_close(first / stem, other / stem) for stem in stems):
            raise ParityError(
                f"{other.name}: got other stems than {first.name}, expected the same. Find out why "
                "before their times are compared."
            )


def _close(one: Path, other: Path) -> bool:
    """Whether two files hold the same sound; threads add up in another order."""
    a, b = soundfile.read(one)[0], soundfile.read(other)[0]
    return a.shape == b.shape and bool(np.abs(a - b).max() < 1e-5)


def concluded(times: Mapping[str, Sequence[Took]], files: int) -> dict[str, Any]:
    """Figures of each way, and how much faster it is than one process, by round."""
    steady = {name: [took.after_first_s for took in took_s] for name, took_s in times.items()}
    told: dict[str, Any] = {}
    for name, took_s in times.items():
        faster = ratios(steady[name], steady[REFERENCE])
        told[name] = {
            "runs": [asdict(took) for took in took_s],
            "seconds": float(np.median([took.whole_s for took in took_s])),
            "files_per_second": (files - 1) / float(np.median(steady[name])),
            "times_as_fast": float(np.median(faster)),
            "interval": median_interval(faster),
        }
    return told


def _material(folder: Path, files: int, seconds: float) -> list[Entry]:
    """Excerpts of the music that ships, each another."""
    path = shipped_music() / "003.mix.flac"
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    length = round(seconds * rate)
    entries = []
    for number in range(files):
        at = number * 997 % max(1, len(sound) - length)
        name = f"{number:04}"
        soundfile.write(folder / f"{name}.flac", sound[at : at + length], rate)
        entries.append(Entry(path=folder / f"{name}.flac", key=name, folder=name, options={}))
    return entries


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="The one that ships if left out.")
@click.option("--files", type=click.IntRange(min=2), default=48, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0.1, max=30), default=12.0, show_default=True,
              help="Of each file.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Processors; all if left out.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write it there.")
def main(
    bundle: Path | None,
    files: int,
    seconds: float,
    rounds: int,
    threads: int | None,
    seed: int,
    json_path: Path | None,
) -> None:
    """Separate the same files by processes and by threads, in turn."""
    processors = threads or available_cpus()
    compared = ways(processors)
    times: dict[str, list[Took]] = {name: [] for name in compared}
    with tempfile.TemporaryDirectory(prefix="sgn-rt-many-files-") as place:
        top = Path(place)
        entries = _material(top, files, seconds)
        for number, order in enumerate(orders(list(compared), rounds, seed)):
            made = {name: top / f"{number}" / name for name in order}
            for name in order:
                times[name].append(once(compared[name], bundle, entries, made[name]))
            expect_same(list(made.values()))
    told = concluded(times, files)
    for name, figures in told.items():
        between = figures["interval"]
        interval = "" if between is None else f" ({between[0]:.2f} to {between[1]:.2f})"
        click.echo(
            f"{name}: {figures['seconds']:.1f} s for {files} files with its start; then "
            f"{figures['files_per_second']:.2f} files/s, {figures['times_as_fast']:.2f} times "
            f"as fast as {REFERENCE}{interval}"
        )
    if json_path is not None:
        report = {
            "machine": describe(processors), "files": files, "seconds": seconds,
            "ways": {name: asdict(way) for name, way in compared.items()}, "measured": told,
        }  # fmt: skip
        json_path.write_text(json.dumps(report, indent=2, allow_nan=False), encoding="utf-8")


if __name__ == "__main__":
    main()
