"""An evaluation: every item separated and scored, beside its bounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.errors import AudioError, ConfigError
from sgn_rt.evaluation.bounds import IDEAL, MIXTURE, ideal_ratio_mask, mixture_as_estimates
from sgn_rt.evaluation.journal import Journal
from sgn_rt.evaluation.protocols.base import Dropped, Item, Labels, Protocol
from sgn_rt.evaluation.scoring import Separated, Told, score
from sgn_rt.evaluation.sound import SILENT
from sgn_rt.separator import Separator

Keep = Callable[[Separated, Told], object]
"""Told each item when it is done, with its sounds, before the journal knows of it."""
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def evaluate(
    separators: Mapping[str, Separator],
    protocol: Protocol,
    root: Path,
    labels: Labels,
    journal: Journal,
    *,
    limit: int | None = None,
    jobs: int = 1,
    keep: Keep | None = None,
) -> list[Told]:
    """Separate and score all items that the journal does not have yet.

    Parameters
    ----------
    separators
        Name of a system -> what separates; all of one model.
    protocol
        How.
    root
        The data.
    labels
        Of the data, as categories of the model.
    journal
        Gets each item when it is done.
    limit
        Items at most, the first ones; None for all.
    jobs
        Processes that score; 1 for this one.
    keep
        Told each new item.

    Returns
    -------
    list
        What is known of each item, in the data's order.

    Raises
    ------
    SgnError
        For data that is not laid out as the protocol says, or an engine that fails.
    """
    config = next(iter(separators.values())).config
    if protocol.needs_presence and not config.has_presence:
        raise ConfigError(
            f"{protocol.name}: got a model that does not say what is present, expected one that "
            "does, as it chooses the estimates. Take another protocol."
        )
    names: list[str] = []
    items = _new(islice(protocol.items(root, labels), limit), journal, names)
    for separated, told in _scored(_separated(items, separators, protocol), protocol, jobs):
        if keep is not None:
            keep(separated, told)
        journal.add(told)
    return [journal.items[name] for name in names]


def _new(
    items: Iterable[Item | Dropped], journal: Journal, names: list[str]
) -> Iterator[Item | Dropped]:
    known = set(names)
    for item in items:
        if item.name in known:
            raise AudioError(
                f"{item.name}: got two items of that name, expected each to have its own. Rename "
                "one of them."
            )
        known.add(item.name)
        names.append(item.name)
        if item.name not in journal.items:
            yield item


def _separated(
    items: Iterable[Item | Dropped], separators: Mapping[str, Separator], protocol: Protocol
) -> Iterator[Separated]:
    """Items with the estimates of each system, and what is told of presence."""
    config = next(iter(separators.values())).config
    for item in items:
        if isinstance(item, Dropped):
            yield Separated(item, {}, {})
            continue
        estimates: dict[str, dict[str, Float]] = {}
        probabilities = {}
        for name, separator in separators.items():
            names = protocol.wanted(item, separator.categories)
            result = separator.separate(item.mixture, names, sample_rate=item.sample_rate)
            estimates[name] = protocol.estimates(item, result.sources, result.presence)
            probabilities[name] = {key: float(value) for key, value in result.presence.items()}
        estimates[MIXTURE] = mixture_as_estimates(item)
        estimates[IDEAL] = ideal_ratio_mask(item, config)
        told: Told = {"presence": probabilities}
        if item.categories:
            told["truth"] = _sounding(item)
        yield Separated(item, estimates, told)


def _sounding(item: Item) -> list[str]:
    """Categories that are in the item, but for those whose source is silent."""
    silent = {label for label, s in item.sources.items() if np.abs(s).sum() <= SILENT}
    return sorted({c for label, c in item.categories.items() if label not in silent})


def _scored(
    separated: Iterable[Separated], protocol: Protocol, jobs: int
) -> Iterator[tuple[Separated, Told]]:
    if jobs == 1:
        for each in separated:
            yield each, score(protocol.name, each)
        return
    waiting: list[tuple[Separated, Future[Told]]] = []
    with _one_thread_each(), ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            for each in separated:
                waiting.append((each, pool.submit(score, protocol.name, each)))
                while len(waiting) > 2 * jobs or (waiting and waiting[0][1].done()):
                    first, done = waiting.pop(0)
                    yield first, done.result()
            for each, done in waiting:
                yield each, done.result()
        except BrokenProcessPool as error:
            raise ConfigError(
                f"--jobs: got {jobs}, one of which was killed, expected them to go on; perhaps "
                "memory was short. Take fewer, and run the same command again: it goes on."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes begun herein compute on one thread, unless the user has said otherwise."""
    new = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(new, "1"))
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
