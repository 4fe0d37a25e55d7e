"""What limits each row: one separation of the recording, taken apart; no scenario of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.machine.limits import limits_of, on_cpu, on_device, on_gpu
from sgn_rt.benchmarks.machine.peaks import Peaks
from sgn_rt.benchmarks.machine.phases import profile
from sgn_rt.benchmarks.machine.work import Work, work_of
from sgn_rt.benchmarks.result import Limits
from sgn_rt.benchmarks.rows.subjects import Subject, separator
from sgn_rt.benchmarks.scenarios.setting import Setting
from sgn_rt.errors import DependencyError, SgnError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.sgn_config import SgnConfig
from sgn_rt.report import SeparationFiles
from sgn_rt.tensorrt import roofline

GpuLimits = Callable[[ModelConfig], roofline.Limits]
HEARD: int = 4
"""The part of a window that is heard: its length by this, as windows overlap to three quarters."""


def no_gpu(config: ModelConfig) -> roofline.Limits:
    """Nothing is known."""
    del config
    return roofline.Limits()


def run(
    subjects: Sequence[Subject],
    setting: Setting,
    peaks: Peaks,
    gpu_limits: GpuLimits,
    *,
    tell: Tell,
) -> list[Limits]:
    """Of every row that is timed; one whose separation fails has none."""
    found = []
    config = setting.bundle.config
    work: Work | None = None
    if isinstance(config, SgnConfig):  # of others nobody has counted
        with suppress(DependencyError):
            work = work_of(config)
    of_cpu = on_cpu(work, peaks)
    of_gpu = cache(gpu_limits)  # one measurement for all rows, and none where no row is of a GPU
    for number, subject in enumerate(subjects, 1):
        if subject.engine is not None:
            of_row = _on_device(setting, subject, of_gpu) if on_gpu(subject.name) else of_cpu
            with suppress(SgnError):  # the files that it cannot separate say so
                found.append(_limits(subject, setting, of_row))
        tell(number / len(subjects))
    return found


def _limits(subject: Subject, setting: Setting, of_row: dict[str, dict[str, Any]]) -> Limits:
    assert subject.engine is not None
    out = setting.folder / "bounds"
    reports: list[SeparationFiles] = []
    with separator(subject.engine, setting.bundle, setting.threads) as opened:
        work = partial(opened.separate_to, setting.recording(), out, opened.categories)
        try:
            found = profile(subject.engine, lambda: reports.append(work()), setting.threads)
        finally:
            shutil.rmtree(out, ignore_errors=True)
    return limits_of(subject.row, found, sum(reports[0].windows.values()), of_row)


def _on_device(
    setting: Setting, subject: Subject, gpu_limits: GpuLimits
) -> dict[str, dict[str, Any]]:
    assert subject.engine is not None
    config = setting.bundle.config
    load = roofline.Load(
        config=config, batch=subject.engine.batch, sources=len(config.categories),
        half=subject.engine.precision != "fp32", heard=config.window_samples // HEARD,
    )  # fmt: skip
    return on_device(load, gpu_limits(config))
