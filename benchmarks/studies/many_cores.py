"""What many processors and several memory nodes give: measured on those here, beyond by a model.

``python -P -m sgn_rt.benchmarks.studies.many_cores [BUNDLE] --write docs/cpu.md`` computes windows
side by side, each on one thread, in as many processes or threads as there are processors, pinned to
them or left to the system. Windows share nothing but memory's rate and, within a process, the
weights. So the model is: every processor does what one does alone, until the windows of a node ask
for more bytes than its memory gives; and where one process spans nodes, until all of them ask the
node on which its weights lie for them. It takes it that no cache holds anything, which is the worst
case: a layer's bytes are counted as often as it is computed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import click
import numpy as np

from sgn_rt._atomic import write_named
from sgn_rt.benchmarks.harness import orders, summarize
from sgn_rt.benchmarks.machine import peaks
from sgn_rt.benchmarks.machine.work import work_of
from sgn_rt.benchmarks.studies.page import written
from sgn_rt.engines.factory import open_engine
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT
from sgn_rt.model.sgn_config import SgnConfig

PLACE: Final = "many cores"
SOURCES: Final = 3
"""That a window is asked for."""
MACHINES: Final = ((8, 1), (16, 1), (32, 1), (64, 2), (128, 2), (256, 4))
"""Processors and memory nodes that the model is asked about."""
NODE_RATES: Final = (50e9, 200e9, 400e9)
"""Of a node's memory, bytes/s: two channels of DDR4; eight; twelve of DDR5."""

Processors = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How windows are shared out.

    Attributes
    ----------
    name
        For people.
    processes
        Of each its threads, and of each of those the processors that it may use.
    """

    name: str
    processes: tuple[tuple[Processors, ...], ...]


def ways(processors: Processors) -> list[Way]:
    """One processor alone, then all of them in every way."""
    count, pinned = len(processors), tuple((processor,) for processor in processors)
    found = [Way(name="one process, one thread", processes=(pinned[:1],))]
    if count > 1:
        found += [
            Way(name=f"{count} processes, pinned", processes=tuple((own,) for own in pinned)),
            Way(name=f"{count} processes", processes=((processors,),) * count),
            Way(name=f"one process, {count} threads, pinned", processes=(pinned,)),
            Way(name=f"one process, {count} threads", processes=((processors,) * count,)),
        ]
    return found


def windows_of(threads: Sequence[Processors], engine: str, bundle: Path, seconds: float) -> int:
    """Windows that this process has computed in a time, by some threads."""
    separate = _ready(engine, bundle)

    def one(processors: Processors) -> int:
        os.sched_setaffinity(0, processors)  # of this thread alone
        done, end = 0, time.perf_counter() + seconds
        while True:  # one at least, however long the system lets it wait
            separate()
            done += 1
            if time.perf_counter() >= end:
                return done

    with ThreadPoolExecutor(len(threads)) as pool:
        return sum(pool.map(one, threads))


@cache
def _ready(engine: str, root: Path) -> Callable[[], object]:
    """Separates a window by an engine of this process, which is warm."""
    bundle = Bundle.open(root)
    categories = np.arange(min(SOURCES, len(bundle.config.categories)))
    separate = partial(
        open_engine(engine, bundle, 1).separate, bundle.probe.mixture[:1], categories
    )
    separate()
    return separate


def measure(
    bundle: Path, engine: str, processors: Processors, seconds: float, rounds: int
) -> dict[str, list[float]]:
    """Windows per second of every way, of each round.

    Raises
    ------
    SgnError
        If the engine cannot be opened.
    """
    every = {way.name: way for way in ways(processors)}
    found: dict[str, list[float]] = {name: [] for name in every}
    run = partial(windows_of, engine=engine, bundle=bundle, seconds=seconds)
    with ProcessPoolExecutor(len(processors), get_context("spawn")) as pool:
        # A first time each, so that every process has its engine.
        for order in (list(every), *orders(list(every), rounds, seed=0)):
            for name in order:
                found[name].append(sum(pool.map(run, every[name].processes)) / seconds)
    return {name: rates[1:] for name, rates in found.items()}


def modelled(
    processors: int, nodes: int, *, alone: float, window: float, weights: float, node: float,
    spanning: bool = False,
) -> float:  # fmt: skip
    """Windows per second.

    Parameters
    ----------
    processors, nodes
        Of the machine; every node has as many processors.
    alone
        Windows per second of one processor.
    window, weights
        Bytes that a window moves, and those of them that are weights.
    node
        Bytes per second of one node's memory.
    spanning
        Whether one process spans all nodes, with its weights on one of them.
    """
    rate = min(processors * alone, nodes * node / window)
    return min(rate, node / weights) if spanning else rate


def table(measured: dict[str, list[float]], *, window: float, weights: float) -> str:
    """What the page says, as Markdown."""
    alone = float(np.median(next(iter(measured.values()))))
    lines = [
        "| here | windows/s | least to most | one alone is of it |",
        "| --- | --- | --- | --- |",
    ]
    for name, rates in measured.items():
        of = summarize(rates)
        span = f"{of.least:.1f} to {of.most:.1f}"
        lines.append(f"| {name} | {of.median:.1f} | {span} | {of.median / alone:.2f} x |")
    heads = [f"{rate / 1e9:.0f} GB/s a node" for rate in NODE_RATES]
    lines += [
        "",
        f"By the model, with {window / 1e6:.0f} MB a window, {weights / 1e6:.0f} of them weights, "
        "windows/s with a process for each node (with one over all nodes, where that is less):",
        "",
        f"| processors, nodes | {' | '.join(heads)} |",
        f"| --- |{' --- |' * len(heads)}",
    ]
    for processors, nodes in MACHINES:
        cells = []
        for node in NODE_RATES:
            apart, over = (
                modelled(processors, nodes, alone=alone, window=window, weights=weights, node=node,
                         spanning=spanning)
                for spanning in (False, nodes > 1)
            )  # fmt: skip
            cells.append(f"{apart:.0f}" + (f" ({over:.0f})" if over < apart else ""))
        lines.append(f"| {processors}, {nodes} | {' | '.join(cells)} |")
    limit = (f"{node / window / alone:.0f}" for node in NODE_RATES)
    lines += ["", f"Processors of a node beyond which its memory is the limit: {', '.join(limit)}."]
    return "\n".join(lines)


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--engine", default="onnxruntime", show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0.01), default=5.0, show_default=True,
              help="Of each way, in each round.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--write", "page", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Page to print the tables into.")  # fmt: skip
def main(bundle: Path | None, engine: str, seconds: float, rounds: int, page: Path | None) -> None:
    """Measure windows side by side on all processors, and tell what more of them would give."""
    if page is not None:
        written(page.read_text(encoding="utf-8"), "", PLACE)  # told before the work
    opened = Bundle.open(bundle)
    config = opened.config
    if not isinstance(config, SgnConfig):
        raise click.UsageError(f"{opened.name}: got a network that is not ours, expected an SGN.")
    processors = tuple(sorted(os.sched_getaffinity(0)))
    found = measure(opened.root, engine, processors, seconds, rounds)
    weights = (opened.root / BUNDLE_CHECKPOINT).stat().st_size
    text = table(found, window=work_of(config).bytes, weights=weights)
    click.echo(f"{peaks.copy_rate(len(processors), peaks.copy_size()) / 1e9:.0f} GB/s copied here")
    click.echo(text)
    if page is not None:
        write_named(page, written(page.read_text(encoding="utf-8"), text, PLACE).encode())


if __name__ == "__main__":
    main()
