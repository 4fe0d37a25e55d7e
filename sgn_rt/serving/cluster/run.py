"""Recordings separated on the machines of a cluster, by Ray Data: the scheduling is all its own."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from sgn_rt._temporary import remove_leftovers, temporary_file
from sgn_rt.audio.writer import writing
from sgn_rt.engines.base import first_line
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.cluster.actor import ENTRY, ROW, UNFIT, SeparatingActor, conditions, told_of
from sgn_rt.serving.cluster.plan import Pool, Share
from sgn_rt.serving.cluster.session import LOCAL, connected
from sgn_rt.serving.folders.desk import Done, Work
from sgn_rt.serving.folders.entry import Entry, Row
from sgn_rt.serving.folders.one import is_settled
from sgn_rt.serving.folders.run import Earlier

log = logging.getLogger(__name__)

_MOST_BLOCKS: Final = 10_000
"""Of entries: one each where there are fewer. What is lost with a process is begun again, and a
block of several goes on where it was, by the state."""

_INIT_DEATHS: Final = 3
"""Processes that may end while they start, one after another, as those of a node that is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where a run is to be, and how much of it.

    Attributes
    ----------
    address
        See `sgn_rt.serving.cluster.session.connected`.
    pool
        How many actors.
    cpus
        Processors of each; None for what its engine is well off with.
    """

    address: str = LOCAL
    pool: Pool = field(default_factory=Pool)
    cpus: int | None = None


def separate_on_ray(
    entries: Iterable[Entry], opening: Mapping[str, Any], work: Work, cluster: Cluster
) -> Generator[Done | Earlier, None, None]:
    """Separate recordings, and tell of each when it is done.

    It may be interrupted, by whatever, and called again: what is done is not done again, on this
    cluster or on another or on none. Paths have to be the same on all nodes.

    Parameters
    ----------
    entries
        The recordings; those whose outcome of an earlier run still holds come first.
    opening
        Of `Separator.open`; a device is Ray's to choose.
    work
        What is wanted of each, with a fingerprint.
    cluster
        Where.

    Yields
    ------
    Done or Earlier
        One for each entry, in no order.

    Raises
    ------
    SgnError
        If nothing can be separated: by Ray, or for want of a model or an engine. One recording
        that fails is a row.
    """
    work = replace(work, output=Path(os.path.abspath(work.output)))
    state = work.state()
    assert state is not None, "a cluster's run keeps state"
    left = {}
    for entry in entries:
        row = state.done(entry)
        if row is not None and is_settled(row, work.tries):
            yield Earlier(entry.key, row)
        else:
            left[entry.key] = replace(entry, path=Path(os.path.abspath(entry.path)))
    if not left:
        return
    bundle = Bundle.open(opening["bundle"])
    with writing(work.output):
        work.output.mkdir(parents=True, exist_ok=True)
        remove_leftovers(work.output)
    try:
        with connected(cluster.address) as ray, temporary_file(work.output) as (marker, _):
            waiting = list(left.values())
            share = Share.of(opening["engine"], cluster.cpus, ray.cluster_resources().get("GPU", 0))
            pool = _fitting(ray, cluster, share).at_most(len(waiting))
            there = None if opening["bundle"] is None else str(bundle.root.absolute())
            told = {**opening, "bundle": there, "threads": share.cpus}
            expected = conditions(waiting, work.output, marker, bundle.identity)
            with closing(_answers(ray, waiting, pool, share, (told, work, expected))) as answers:
                for row in answers:
                    if row["status"] == UNFIT:
                        raise EngineError(row["error"])
                    del left[row["key"]]
                    yield Done(row["key"], row)
    finally:
        if left:  # every process of ours has ended, in the middle of whatever it did
            state.interrupted(left.values())


def _fitting(ray: ModuleType, cluster: Cluster, share: Share) -> Pool:
    """A pool that this machine has room for; a cluster may grow."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(map(share.fits, nodes))
    local = cluster.address == LOCAL
    if local and room:
        return cluster.pool.at_most(room)
    if not room:
        largest = max((node.get("CPU", 0) for node in nodes), default=0)
        message = (
            f"Ray: got no node with {'a GPU' if share.gpus else f'{share.cpus} processors'} (the "
            f"most is {largest:.0f} processors), expected one. Name fewer --cpus-per-actor, or "
            "another engine."
        )
        if local:
            raise EngineError(message)
        log.warning("%s Waiting for one.", message)
    return cluster.pool


def _answers(
    ray: ModuleType, entries: Sequence[Entry], pool: Pool, share: Share, told: tuple[Any, ...]
) -> Generator[Row, None, None]:
    """What actors answer, as it comes."""
    data = ray.data
    _be_quiet(data)
    items = [{ENTRY: json.dumps(told_of(entry))} for entry in entries]
    answered = data.from_items(
        items, override_num_blocks=min(len(items), _MOST_BLOCKS)
    ).map_batches(
        SeparatingActor,
        fn_constructor_args=told,
        batch_size=1,
        compute=data.ActorPoolStrategy(min_size=pool.least, max_size=pool.most),
        **share.resources,
    )
    try:
        for batch in answered.iter_batches(batch_size=None, prefetch_batches=0):
            for text in batch[ROW]:
                yield json.loads(text)
    except ray.exceptions.RayError as error:
        raise EngineError(
            f"Ray: got {type(error).__name__}: {first_line(error)}, expected the run to go on. "
            "What is done is kept: start it again; -v tells more."
        ) from error


def _be_quiet(data: ModuleType) -> None:
    """Ray Data's settings for this run, where this version has them."""
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    for name, value in {
        "print_on_execution_start": False,
        "max_consecutive_actor_init_deaths": 3,
    }.items():
        if hasattr(context, name):
            setattr(context, name, value)
