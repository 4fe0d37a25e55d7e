"""What streams do to one engine: all kinds at once, too many, floods, and an engine in trouble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from sgn_rt.benchmarks.studies.simulation.arrivals import windows_of
from sgn_rt.benchmarks.studies.simulation.capacity import Held, Trial, most_streams
from sgn_rt.benchmarks.studies.simulation.one_gpu import OneGpu, Policy
from sgn_rt.benchmarks.studies.simulation.service import Gpu, GpuModel, Kind
from sgn_rt.model.config import ModelConfig

MIXTURE: Final = {0.25: 0.05, 0.5: 0.15, 1.0: 0.5, 2.0: 0.2, None: 0.1}
"""Shares of streams by their latency, seconds."""

POLICIES: Final[tuple[Policy, ...]] = ("none", "raise", "longer-step", "pass-through")


def mixed(
    model: GpuModel, kinds: Sequence[Kind], streams: int, trial: Trial, *, stay_s: float = 60.0
) -> dict[str, Any]:
    """Streams of mixed latencies that come and go, so many at a time in the mean."""
    rng = np.random.default_rng(trial.seed)
    seconds = max(trial.seconds, 2.0 * max(kind.step_s for kind in kinds))
    coming = int(rng.poisson(streams / stay_s * seconds))
    begin = np.concatenate((np.zeros(streams), np.sort(rng.random(coming)) * seconds))
    end = begin + rng.exponential(stay_s, len(begin))
    shares = [MIXTURE[kind.latency_s] for kind in kinds]
    kind_of = rng.choice(len(kinds), len(begin), p=np.array(shares) / sum(shares))
    steps = np.array([kind.step_s for kind in kinds])[kind_of]
    events = windows_of(
        steps, seconds, rng, jitter_s=trial.jitter_s, begin_s=begin, end_s=end
    )  # fmt: skip
    gpu = OneGpu(Gpu(model), kinds, kind_of.tolist())
    gpu.advance(events)
    busy = gpu.service.busy_s / seconds
    gpu.drain()
    held = Held.of(streams, gpu.figures, busy, seconds / 2, seconds)
    calls = sum(gpu.figures.batches.values())
    return {
        **figures(held),
        "seconds": seconds,
        "came": coming,
        "went": int(np.count_nonzero(end < seconds)),
        "batches": {str(n): gpu.figures.batches[n] / calls for n in sorted(gpu.figures.batches)},
    }


def sensitivity(
    config: ModelConfig, model: GpuModel, latency_s: float | None, trial: Trial
) -> list[dict[str, Any]]:
    """How many streams a GPU holds where one assumption is another."""
    changed: Mapping[str, GpuModel] = {
        "half of the network's speed": replace(model, efficiency=model.efficiency / 2),
        "half of the memory's speed": replace(model, memory=model.memory / 2),
        "half of the bus's speed": replace(model, link=model.link / 2),
        "twice the time from kernel to kernel": replace(model, launch_s=2 * model.launch_s),
        "calls of one window": replace(model, batch=1),
        "calls of four times as many": replace(model, batch=4 * model.batch),
        "one call at a time": replace(model, lanes=1),
        f"all {len(config.categories)} categories of each stream": replace(
            model, sources=len(config.categories)
        ),
    }
    return [
        {"what": what, **figures(most_streams(other, Kind.of(config, other, latency_s), trial))}
        for what, other in changed.items()
    ]


def figures(held: Held) -> dict[str, Any]:
    """As JSON types, times in ms."""
    return {
        "streams": held.streams,
        "p50_ms": 1e3 * held.p50_s,
        "p99_ms": 1e3 * held.p99_s,
        "mean_batch": held.mean_batch,
        "busy": held.busy,
    }


def overload(
    model: GpuModel, kind: Kind, most: int, trial: Trial, *, times: float = 1.3
) -> list[dict[str, Any]]:
    """So many times what the engine holds, under every policy; the first refuses beyond it."""
    rows = [_overloaded(model, kind, most, trial, "none", "refuse", round(times * most))]
    for policy in POLICIES:
        streams = round(times * most)
        rows.append(_overloaded(model, kind, streams, trial, policy, policy, streams))
    return rows


def _overloaded(
    model: GpuModel, kind: Kind, streams: int, trial: Trial, policy: Policy, name: str, asked: int
) -> dict[str, Any]:
    # Long enough for streams to go back to their own step, and to be late again.
    seconds = 4 * max(trial.seconds, 2 * kind.step_s)
    rng = np.random.default_rng(trial.seed)
    events = windows_of(np.full(streams, kind.step_s), seconds, rng, jitter_s=trial.jitter_s)
    gpu = OneGpu(
        Gpu(model), [kind], [0] * streams, policy=policy, deadline_s=trial.deadline_s
    )  # fmt: skip
    gpu.advance(events)
    gpu.drain()
    found = gpu.figures
    late = found.late(seconds / 2, seconds)
    return {
        "policy": name,
        "asked": asked,
        "seconds": seconds,
        # None where all streams were ended.
        "p50_ms": 1e3 * float(np.percentile(late, 50)) if len(late) else None,
        "p99_ms": 1e3 * float(np.percentile(late, 99)) if len(late) else None,
        "refused": 1 - streams / asked,
        "raised": len(found.raised) / asked,
        "longer": len(found.longer) / asked,
        "passed": found.passed / max(1, found.passed + len(found.done_s)),
    }


def flood(
    model: GpuModel,
    kind: Kind,
    most: int,
    trial: Trial,
    *,
    load: float = 0.8,
    share: float = 0.01,
    times: Sequence[int] = (1, 10, 100),
) -> list[dict[str, Any]]:
    """Some streams bring many windows where others bring one: what these others wait."""
    seconds, streams = max(trial.seconds, 2 * kind.step_s), round(load * most)
    flooding = max(1, round(share * streams))
    rows = []
    for many in times:
        at_once = np.ones(streams, np.int64)
        at_once[:flooding] = many
        rng = np.random.default_rng(trial.seed)
        events = windows_of(
            np.full(streams, kind.step_s), seconds, rng, jitter_s=trial.jitter_s, at_once=at_once
        )
        gpu = OneGpu(Gpu(model), [kind], [0] * streams)
        gpu.advance(events)
        lateness = np.asarray(gpu.figures.lateness_s)
        honest = lateness[np.asarray(gpu.figures.streams) >= flooding]
        rows.append(
            {
                "streams": streams,
                "flooding": flooding,
                "times": many,
                "offered": float(len(events.times) / seconds / model.most_windows(kind.cost)),
                "p50_ms": 1e3 * float(np.percentile(honest, 50)),
                "p99_ms": 1e3 * float(np.percentile(honest, 99)),
            }
        )
    return rows


def slow(
    model: GpuModel,
    kind: Kind,
    most: int,
    trial: Trial,
    *,
    load: float = 0.6,
    factor: float = 3.0,
    trouble_s: float = 2.0,
) -> list[dict[str, Any]]:
    """An engine whose kernels take several times as long for a while, and how that ends."""
    streams, begin = round(load * most), 1.0
    seconds = begin + trouble_s + max(trial.seconds, 2 * kind.step_s)
    rows = []
    for policy in ("none", "longer-step", "pass-through"):
        rng = np.random.default_rng(trial.seed)
        events = windows_of(np.full(streams, kind.step_s), seconds, rng, jitter_s=trial.jitter_s)
        service = Gpu(model, slow=(begin, begin + trouble_s, factor))
        gpu = OneGpu(
            service, [kind], [0] * streams, policy=policy, deadline_s=trial.deadline_s
        )  # fmt: skip
        gpu.advance(events)
        gpu.drain()
        late = np.asarray(gpu.figures.lateness_s)
        last = np.asarray(gpu.figures.done_s)[late > trial.deadline_s]
        rows.append(
            {
                "policy": policy,
                "streams": streams,
                "max_ms": 1e3 * float(late.max()),
                "recovered_s": max(0.0, float(last.max(initial=0.0)) - begin - trouble_s),
                "passed": gpu.figures.passed / max(1, gpu.figures.passed + len(late)),
                "longer": len(gpu.figures.longer) / streams,
            }
        )
    return rows
