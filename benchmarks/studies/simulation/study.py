"""All of the simulation: one run, one result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np

from sgn_rt.benchmarks.studies.simulation import scenarios
from sgn_rt.benchmarks.studies.simulation.capacity import LatenessCurve, Trial, most_streams
from sgn_rt.benchmarks.studies.simulation.fleet import Counted, Day, Fleet, Plan
from sgn_rt.benchmarks.studies.simulation.scenarios import figures
from sgn_rt.benchmarks.studies.simulation.service import GpuModel, Kind
from sgn_rt.model.config import ModelConfig

SCHEMA: Final = 1
LATENCIES: Final = (0.25, 0.5, 1.0, 2.0, None)
LOADS: Final = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
HOST_S: Final = 1e-4
"""Of a window: measured on a GPU that answers at once (docs/tensorrt.md), one thread."""
SHOWN: Final = 96
"""Moments of the day that are kept, for the picture."""

Tell = Callable[[str, float], object]
"""Told what comes next, and what share of all is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Choices of a run.

    Attributes
    ----------
    model
        The GPU.
    trial
        How long each run of one GPU is, deadline and seed.
    latencies
        Seconds; None for that of least cost.
    mixed_streams, peak_streams
        On one GPU, and on a fleet.
    day_s
        Length of a fleet's day.
    room_share
        Of what a GPU holds, what a fleet gives it at most.
    """

    model: GpuModel = field(default_factory=GpuModel)
    trial: Trial = field(default_factory=Trial)
    latencies: tuple[float | None, ...] = LATENCIES
    mixed_streams: int = 10_000
    peak_streams: float = 1e6
    day_s: float = 86_400.0
    room_share: float = 0.95


def quick(study: Study) -> Study:
    """A study that shows that everything runs; its figures say little."""
    return replace(
        study,
        # A card of a hundredth: so many streams the fewer.
        model=replace(study.model, network_windows=2870.0, memory=3e10, launch_s=3e-4, link=5e8),
        trial=replace(study.trial, seconds=2.0),
        latencies=(1.0, None),
        mixed_streams=100,
        peak_streams=1e4,
        day_s=3600.0,
    )


def run(config: ModelConfig, study: Study, tell: Tell) -> dict[str, Any]:
    """Simulate everything; the result as JSON types."""
    model, trial = study.model, study.trial
    total, done = 2 * len(study.latencies) + 6, 0

    def step(what: str) -> None:
        nonlocal done
        tell(what, done / total)
        done += 1

    rows, curves = [], {}
    for latency in study.latencies:
        name = "least cost" if latency is None else f"{latency:g} s"
        step(f"one GPU, {name}")
        curves[latency] = curve = _curve(config, study, model, latency)
        step(f"a fleet, {name}")
        rows.append(_row(config, study, latency, curve))
    latency = 1.0 if 1.0 in curves else study.latencies[0]
    kind, most = Kind.of(config, model, latency), curves[latency].most
    step("one GPU, all latencies")
    kinds = [Kind.of(config, model, each) for each in study.latencies]
    mixture = scenarios.mixed(model, kinds, study.mixed_streams, trial)
    step("other assumptions")
    sensitivity = scenarios.sensitivity(config, model, latency, trial)
    step("too many streams")
    overload = scenarios.overload(model, kind, most, trial)
    step("floods")
    flood = scenarios.flood(model, kind, most, trial)
    step("a slow engine")
    slow = scenarios.slow(model, kind, most, trial)
    step("fleets in trouble")
    hosted = _curve(config, study, replace(model, host_s=HOST_S), latency)
    what_if, day = _what_if(study, curves[latency], hosted)
    tell("done", 1.0)
    return {
        "schema": SCHEMA,
        "model": {**asdict(model), "hosted_s": HOST_S, "call_s": model.call_s},
        "trial": asdict(trial),
        "fleet": asdict(_plan(study, curves[latency])) | {"room_share": study.room_share},
        "scenario_latency_s": latency,
        "latencies": rows,
        "mixed": mixture,
        "sensitivity": sensitivity,
        "overload": overload,
        "flood": flood,
        "slow": slow,
        "what_if": what_if,
        "day": day,
    }


def _curve(
    config: ModelConfig, study: Study, model: GpuModel, latency: float | None
) -> LatenessCurve:
    """How late streams of a latency are, up to as many as a GPU holds."""
    kind = Kind.of(config, model, latency)
    most = most_streams(model, kind, study.trial).streams
    return LatenessCurve.measure(model, kind, most, study.trial, LOADS)


def _row(
    config: ModelConfig, study: Study, latency: float | None, curve: LatenessCurve
) -> dict[str, Any]:
    """Everything of one latency."""
    kind = Kind.of(config, study.model, latency)
    hosted = replace(study.model, host_s=HOST_S)
    held = most_streams(hosted, Kind.of(config, hosted, latency), study.trial)
    return {
        "latency_s": latency,
        "real_latency_s": kind.real_latency_s,
        "step_s": kind.step_s,
        "cost_us": {part: 1e6 * cost for part, cost in kind.cost._asdict().items()},
        "gpu": figures(curve.held[-1]),
        "with_host": figures(held),
        "loads": [
            {"load": load, **figures(each)}
            for load, each in zip(curve.loads.tolist(), curve.held, strict=True)
        ],
        "fleet": _fleet(study, curve)[0],
    }


def _plan(study: Study, curve: LatenessCurve) -> Plan:
    return Plan(
        room=max(1, int(study.room_share * curve.most)),
        peak_streams=study.peak_streams,
        seconds=study.day_s,
    )


def _fleet(study: Study, curve: LatenessCurve, **changes: Any) -> tuple[dict[str, Any], Day]:
    """A day of a fleet, and its figures."""
    plan = replace(_plan(study, curve), **changes)
    population = Counted(curve, plan.stay_s, np.random.default_rng(study.trial.seed))
    day = Fleet(plan, population, np.random.default_rng(study.trial.seed + 1)).run()
    return {
        "most_gpus": max(day.gpus),
        "mean_gpus": float(np.mean(day.gpus)),
        "most_streams": max(day.streams),
        "gpu_hours_per_1000": 1e3 * day.gpu_per_stream,
        "p50_ms": 1e3 * curve.percentile(population.weights, 50),
        "p99_ms": 1e3 * curve.percentile(population.weights, 99),
        "arrived": day.arrived,
        "refused": day.refused_streams,
        "moved": day.moved,
        "lost": day.lost,
        "failed": day.failed,
    }, day


def _what_if(
    study: Study, curve: LatenessCurve, hosted: LatenessCurve
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The day again, with one thing changed; and the day as it is, for the picture."""
    plain, day = _fleet(study, curve)
    changes: Sequence[tuple[str, dict[str, Any]]] = (
        ("fullest GPU first", {"placement": "pack"}),
        ("head-room 1 %", {"headroom": 0.01}),
        ("head-room 30 %", {"headroom": 0.3}),
        ("an hour to start", {"start_s": 3600.0}),
        ("each GPU fails once a day", {"failures_s": 86_400.0}),
    )
    rows = [{"what": "as above", **plain}]
    rows += [{"what": what, **_fleet(study, curve, **change)[0]} for what, change in changes]
    rows.append({"what": "one process on each GPU", **_fleet(study, hosted)[0]})
    every = max(1, len(day.time_s) // SHOWN)
    kept = {
        "hours": [time / 3600 for time in day.time_s[::every]],
        "streams": day.streams[::every],
        "gpus": day.gpus[::every],
    }
    return rows, kept
