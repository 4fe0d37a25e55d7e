"""The whole benchmark: one run, one result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from sgn_rt._processors import available_cpus
from sgn_rt.benchmarks.harness import NO_WARMING, Tell
from sgn_rt.benchmarks.machine import peaks
from sgn_rt.benchmarks.machine.environment import describe
from sgn_rt.benchmarks.result import Figure, Limits, Network, Ratio, Result, Row, ratio
from sgn_rt.benchmarks.rows.competitors import REFERENCE
from sgn_rt.benchmarks.rows.subjects import Subject, gather
from sgn_rt.benchmarks.scenarios import batch, bounds, files, length, sources, streams
from sgn_rt.benchmarks.scenarios.bounds import GpuLimits, no_gpu
from sgn_rt.benchmarks.scenarios.setting import PRESENT, Setting
from sgn_rt.errors import ConfigError, EngineError
from sgn_rt.model.bundle import Bundle

HOUR_S: Final = 3600.0

Step = Callable[[str], AbstractContextManager[Tell]]
"""Called with what comes next; gives a function that is told how much of it is done."""


class Scenario(Protocol):
    """What each scenario's ``run`` is."""

    def __call__(
        self, subjects: Sequence[Subject], setting: Setting, *, tell: Tell
    ) -> list[Figure]: ...


SCENARIOS: Final[Mapping[str, Scenario]] = {
    module.NAME: module.run for module in (files, streams, length, sources, batch)
}
"""Every scenario, in the order in which they are run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Choices of a run.

    Attributes
    ----------
    rows
        What to time, none for all; see `sgn_rt.benchmarks.rows.subjects.gather`.
    scenarios
        Of `SCENARIOS`, none for all.
    networks
        The published one, that of the paper's size with random weights, or both.
    minutes
        Length of the recording.
    repeats
        Rounds of whole files.
    calls
        Rounds of single calls of an engine.
    starts
        Rounds of processes from nothing.
    hour
        Also separate an hour, for its time and memory.
    threads
        Processors to use; None for all.
    devices
        Numbers of the GPUs that a GPU's engines run on; None for the one in use.
    seed
        Of every order.
    quick
        Whether it only shows that everything runs: its figures say nothing. See `quick`.
    """

    rows: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ("published",)
    minutes: float = 3.0
    repeats: int = 5
    calls: int = 30
    starts: int = 3
    hour: bool = False
    threads: int | None = None
    devices: tuple[int, ...] | None = None
    seed: int = 0
    quick: bool = False

    def __post_init__(self) -> None:
        for name in self.scenarios:
            if name not in SCENARIOS:
                raise ConfigError(
                    f"scenario: got {name!r:.60}, expected {', '.join(SCENARIOS)}. "
                    "Choose some of them."
                )


def quick(plan: Plan) -> Plan:
    """A plan that shows that everything runs; its figures say nothing."""
    return replace(plan, minutes=0.1, repeats=1, calls=1, starts=1, hour=False, quick=True)


def setting_of(plan: Plan, bundle: Bundle, network: Network, folder: Path) -> Setting:
    """What a plan means for the scenarios of one network."""
    setting = Setting(
        bundle=bundle, network=network, threads=plan.threads or available_cpus(), folder=folder,
        devices=plan.devices, seconds=60.0 * plan.minutes, repeats=plan.repeats, calls=plan.calls,
        starts=plan.starts, seed=plan.seed,
    )  # fmt: skip
    if plan.hour:
        setting = replace(setting, lengths_s=(*setting.lengths_s, HOUR_S))
    if plan.quick:
        setting = replace(
            setting, file_warming=NO_WARMING, call_warming=NO_WARMING, stream_s=1.5,
            most_streams=1, lengths_s=(2.0,), cold=(PRESENT,), batches=(1, 2),
        )  # fmt: skip
    return setting


def run(bundle: Bundle, plan: Plan, step: Step, *, gpu_limits: GpuLimits = no_gpu) -> Result:
    """Measure everything.

    Parameters
    ----------
    bundle
        The model.
    plan
        What is measured.
    step
        For the progress.
    gpu_limits
        Measures what the GPU at hand moves, for a model's configuration.

    Raises
    ------
    EngineError
        If nothing of what is to be timed can be had here.
    SgnError
        If the recording cannot be written or the bundle's probes cannot be read; what fails of a
        row is part of the result.
    """
    made = datetime.now(UTC).isoformat(timespec="seconds")
    threads = plan.threads or available_cpus()
    machine = describe(threads)
    rows: list[Row] = []
    figures: list[Figure] = []
    limits: list[Limits] = []
    for network in plan.networks:
        with tempfile.TemporaryDirectory(prefix="sgn-rt-bench-") as folder:
            setting = setting_of(plan, bundle, network, Path(folder))
            with step(f"recording and parity ({network})"):
                setting.recording()
                subjects = gather(
                    plan.rows, bundle, threads, setting.folder, devices=plan.devices,
                    network=network,
                )  # fmt: skip
            _expect_some(subjects)
            rows += [subject.row for subject in subjects]
            for name in plan.scenarios or SCENARIOS:
                with step(f"{name} ({network})") as tell:
                    figures += SCENARIOS[name](subjects, setting, tell=tell)
            if all(subject.engine is None for subject in subjects):
                continue
            with step(f"what limits each ({network})") as tell:
                peak = peaks.measure(threads, quick=plan.quick)
                limits += bounds.run(
                    subjects, [s.row for s in subjects], setting, peak, gpu_limits,
                    tell=tell,
                )  # fmt: skip
    return Result(
        made=made, plan=asdict(plan), machine=machine, model=_model(bundle), rows=tuple(rows),
        figures=tuple(figures), ratios=tuple(ratios_to(REFERENCE, figures)), limits=tuple(limits),
    )  # fmt: skip


def _model(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "sha256": bundle.identity,
        "categories": len(bundle.config.categories),
        "window_s": bundle.config.window_s,
    }


def _expect_some(subjects: Sequence[Subject]) -> None:
    if all(subject.absent for subject in subjects):
        reasons = "; ".join(f"{subject.name}: {subject.failure}" for subject in subjects)
        raise EngineError(
            f"benchmark: got nothing to time ({reasons}), expected at least one engine. "
            "Run `sgn-rt doctor` for what runs here."
        )


def ratios_to(reference: str, figures: Sequence[Figure]) -> list[Ratio]:
    """Of every figure to the reference row's of the same scenario, case, network and name."""
    known = {figure.key: figure for figure in figures if np.isfinite(figure.value)}
    found = []
    for key, figure in known.items():
        scenario, case, network, row, name = key
        to = known.get((scenario, case, network, reference, name))
        # Nothing is a multiple of no stream at all, or of no memory.
        if row != reference and to is not None and _comparable(figure) and _comparable(to):
            found.append(ratio(figure, to))
    return found


def _comparable(figure: Figure) -> bool:
    return all(value > 0 for value in (*figure.values, figure.value))
