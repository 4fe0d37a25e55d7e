"""The whole benchmark: one run, one result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from sgn_rt._processors import available_cpus
from sgn_rt.benchmarks.harness import NO_WARMING
from sgn_rt.benchmarks.machine import peaks
from sgn_rt.benchmarks.machine.environment import describe
from sgn_rt.benchmarks.passes import merged
from sgn_rt.benchmarks.result import Figure, Limits, Network, Ratio, Result, Row, ratio
from sgn_rt.benchmarks.rows.competitors import AS_CALLED, REFERENCE
from sgn_rt.benchmarks.rows.networks import paper_scale
from sgn_rt.benchmarks.rows.subjects import Subject, gather
from sgn_rt.benchmarks.scenarios import bounds, every, files
from sgn_rt.benchmarks.scenarios.bounds import GpuLimits, no_gpu
from sgn_rt.benchmarks.scenarios.every import Step
from sgn_rt.benchmarks.scenarios.setting import PRESENT, Setting, closed_after
from sgn_rt.errors import ConfigError, EngineError
from sgn_rt.model.bundle import Bundle

HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Choices of a run.

    Attributes
    ----------
    rows
        What to time, none for all; see `sgn_rt.benchmarks.rows.subjects.gather`.
    scenarios
        Of `sgn_rt.benchmarks.scenarios.every.NAMES`, none for all.
    networks
        The published one, that of the paper's size with random weights, or both.
    minutes
        Length of the recording.
    passes
        How often everything is gone through, but for what `sgn_rt.benchmarks.scenarios.every`
        does once.
    official, keep
        Of the load generator, as `sgn_rt.benchmarks.scenarios.setting.Setting` has them.
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
    passes: int = 3
    official: bool = False
    keep: Path | None = None
    hour: bool = False
    threads: int | None = None
    devices: tuple[int, ...] | None = None
    seed: int = 0
    quick: bool = False

    def __post_init__(self) -> None:
        for name in self.scenarios:
            if name not in every.NAMES:
                raise ConfigError(
                    f"scenario: got {name!r:.60}, expected {', '.join(every.NAMES)}. "
                    "Choose some of them."
                )


def quick(plan: Plan) -> Plan:
    """A plan that shows that everything runs; its figures say nothing.

    Of the load generator one scenario, unless more are named: the others take minutes.
    """
    return replace(
        plan, scenarios=plan.scenarios or every.QUICK, minutes=0.1, passes=1, official=False,
        hour=False, quick=True,
    )  # fmt: skip


def setting_of(plan: Plan, bundle: Bundle, network: Network, folder: Path) -> Setting:
    """What a plan means for the scenarios of one network."""
    setting = Setting(
        bundle=bundle, network=network, threads=plan.threads or available_cpus(), folder=folder,
        devices=plan.devices, seconds=60.0 * plan.minutes, seed=plan.seed, official=plan.official,
        keep=plan.keep,
    )  # fmt: skip
    if plan.hour:
        setting = replace(setting, lengths_s=(*setting.lengths_s, HOUR_S))
    if plan.quick:
        setting = replace(
            setting, file_warming=NO_WARMING, call_warming=NO_WARMING, calls=1, stream_s=1.5,
            most_streams=1, lengths_s=(2.0,), cold=(PRESENT,), batches=(1, 2), categories=0,
        )  # fmt: skip
    return setting


def run(
    bundle: Bundle,
    plan: Plan,
    step: Step,
    *,
    gpu_limits: GpuLimits = no_gpu,
    part: Callable[[Result], object] | None = None,
) -> Result:
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
    part
        Told what there is so far, after each scenario: its plan says ``unfinished``.

    Raises
    ------
    EngineError
        If nothing of what is to be timed can be had here.
    SgnError
        If the recording cannot be written or the bundle's probes cannot be read; what fails of a
        row is part of the result.
    """
    made = datetime.now(UTC).isoformat(timespec="seconds")
    machine = describe(plan.threads or available_cpus())
    found = _Found([], [[] for _ in range(plan.passes)], [])

    def result(**more: bool) -> Result:
        figures = merged(found.passes)
        return Result(
            made=made,
            plan={**asdict(plan), "keep": None if plan.keep is None else str(plan.keep), **more},
            machine=machine,
            model=_model(bundle),
            rows=tuple(found.rows),
            figures=tuple(figures),
            ratios=tuple(ratios_of(figures)),
            limits=tuple(found.limits),
        )

    for network in plan.networks:
        with tempfile.TemporaryDirectory(prefix="sgn-rt-bench-") as folder:
            for _ in _of_network(bundle, plan, network, Path(folder), step, gpu_limits, found):
                if part is not None:
                    part(result(unfinished=True))
    return result()


class _Found(NamedTuple):
    """What has been found so far."""

    rows: list[Row]
    passes: list[list[Figure]]
    limits: list[Limits]


def _of_network(
    bundle: Bundle, plan: Plan, network: Network, folder: Path, step: Step,
    gpu_limits: GpuLimits, found: _Found,
) -> Iterator[None]:  # fmt: skip
    """Measure one network; a step each time that something has been found."""
    with step(f"recording and parity ({network})"):
        if network == "paper-scale":
            bundle = paper_scale(folder / "bundle")
        setting = setting_of(plan, bundle, network, folder)
        setting.recording()
        subjects = gather(
            plan.rows, bundle, setting.threads, folder, devices=plan.devices, network=network
        )
    _expect_some(subjects)
    found.rows.extend(subject.row for subject in subjects)
    with closed_after(subjects):
        for turn, figures in enumerate(found.passes):
            for more in every.run(plan.scenarios, subjects, setting, step, turn, plan.passes):
                figures.extend(more)
                yield
        if any(subject.engine is not None for subject in subjects):
            with step(f"what limits each ({network})") as tell:
                peak = peaks.measure(setting.threads, quick=plan.quick)
                found.limits.extend(bounds.run(subjects, setting, peak, gpu_limits, tell=tell))


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


def ratios_of(figures: Sequence[Figure]) -> list[Ratio]:
    """To the reference; of whole files also to the reference as somebody would call it."""
    whole = [figure for figure in figures if figure.scenario == files.NAME]
    return [*ratios_to(REFERENCE, figures), *ratios_to(AS_CALLED, whole)]


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
    return figure.valid is not False and all(value > 0 for value in (*figure.values, figure.value))
