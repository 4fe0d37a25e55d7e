"""A separation by a process of its own, that ends with it: cold start and peak memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sgn_rt.benchmarks.harness import Tell, orders
from sgn_rt.benchmarks.result import Figure
from sgn_rt.benchmarks.rows.subjects import Subject
from sgn_rt.benchmarks.scenarios.rounds import Case as Timed
from sgn_rt.benchmarks.scenarios.rounds import failed, figure_of
from sgn_rt.benchmarks.scenarios.setting import Setting
from sgn_rt.errors import EngineError, SgnError

MODULE: Final = "sgn_rt.benchmarks.scenarios.isolated_child"
STEPS: Final = ("interpreter", "import", "open", "separate")
MB: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One separation.

    Attributes
    ----------
    subject
        By what; its engine here is not used.
    case, x
        As of `Figure`.
    categories
        Names; None for those that are found.
    recording
        The file.
    total
        Whether the time is that from nothing, with its steps, or that of separating alone.
    """

    subject: Subject
    case: str
    x: float | None = None
    categories: list[str] | None
    recording: Path
    total: bool


def separate(case: Case, setting: Setting) -> dict[str, float]:
    """Run a case once.

    Returns
    -------
    dict
        Seconds of each of `STEPS` and in ``total``; bytes: ``loaded``, ``peak`` and, where NVML
        tells, ``device``.

    Raises
    ------
    EngineError
        If the process fails.
    """
    task = {
        "subject": case.subject.name,
        "is_engine": case.subject.row.kind == "engine",
        "bundle": str(setting.bundle.root),
        "recording": str(case.recording),
        "threads": setting.threads,
        "folder": str(setting.folder),
        "out": str(setting.folder / "isolated"),
        "categories": case.categories,
        "devices": setting.devices,
    }
    start = time.monotonic()
    try:
        told = _run(task)
    finally:
        shutil.rmtree(setting.folder / "isolated", ignore_errors=True)
    times = told["times"]
    steps = zip(STEPS, [start, *times], times, strict=False)
    return {name: after - before for name, before, after in steps} | {
        "total": times[-1] - start,
        **told["bytes"],
    }


def _run(task: Mapping[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        # -P: of the installed package, not of a checkout that happens to be the working folder.
        [sys.executable, "-P", "-m", MODULE, json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(
            f"{task['subject']}: got exit code {done.returncode} ({last}), expected a figure. "
            "Run it with `sgn-rt separate` to see what is wrong."
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def figures(
    scenario: str, cases: Sequence[Case], setting: Setting, *, repeats: int, tell: Tell
) -> list[Figure]:
    """Run cases in turn; time (and steps) and memory of each."""
    runs: dict[str, list[dict[str, float]]] = {str(i): [] for i in range(len(cases))}
    failures: dict[str, str] = {}
    done = 0
    for order in orders(list(runs), repeats, setting.seed):
        for key in order:
            done += 1
            if key not in failures:
                try:
                    runs[key].append(separate(cases[int(key)], setting))
                except SgnError as error:
                    failures[key] = str(error)
            tell(done / (repeats * len(cases)))
    found: list[Figure] = []
    for key, case in zip(runs, cases, strict=True):
        if key in failures:
            row = Timed(row=case.subject.name, case=case.case, x=case.x, run=lambda: None)
            found.append(failed(row, scenario, setting.network, failures[key]))
        else:
            found += _figures(scenario, case, setting, runs[key])
    return found


def _figures(
    scenario: str, case: Case, setting: Setting, runs: Sequence[Mapping[str, float]]
) -> list[Figure]:
    wanted = {"time": ("total" if case.total else "separate", "s", 1.0)}
    if case.total:
        steps = (step for step in STEPS if step != "separate")
        wanted |= {f"{step} time": (step, "s", 1.0) for step in steps}
    wanted |= {"peak memory": ("peak", "MB", MB), "loaded memory": ("loaded", "MB", MB)}
    if all("device" in run for run in runs):
        wanted["peak device memory"] = ("device", "MB", MB)
    return [
        figure_of(
            [run[key] / scale for run in runs], scenario=scenario, row=case.subject.name,
            case=case.case, x=case.x, name=name, unit=unit, network=setting.network,
        )
        for name, (key, unit, scale) in wanted.items()
    ]  # fmt: skip
