"""The whole benchmark: one run, one result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sgn_rt._processors import available_cpus
from sgn_rt.benchmarks import scenarios
from sgn_rt.benchmarks.harness import Outcome, Tell, ratios, summarize
from sgn_rt.benchmarks.machine import describe
from sgn_rt.benchmarks.material import SAMPLE_RATE, write_recording
from sgn_rt.benchmarks.rows import plain
from sgn_rt.benchmarks.rows.subjects import MEMORY_FORMATS, Subject, gather
from sgn_rt.benchmarks.scenarios import ALL, PRESENT, SOUNDING, Setting, key
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle

SCHEMA = 1
HOUR = 60.0
"""Minutes."""

Step = Callable[[str], AbstractContextManager[Tell]]
"""Called with what comes next; gives a function that is told how much of it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Choices of a run.

    Attributes
    ----------
    engines
        What to time, none for all; see `sgn_rt.benchmarks.rows.subjects.gather`.
    minutes
        Length of the recording.
    repeats, warm_up
        Rounds of whole files.
    windows
        Rounds of single windows.
    starts
        Cold starts.
    hour
        Also separate an hour, for its memory.
    threads
        Processors to use; None for all.
    devices
        Numbers of the GPUs that a GPU's engines run on; None for the one in use.
    seed
        Of the order of runs.
    """

    engines: tuple[str, ...] = ()
    minutes: float = 3.0
    repeats: int = 5
    warm_up: int = 1
    windows: int = 30
    starts: int = 5
    hour: bool = False
    threads: int | None = None
    devices: tuple[int, ...] | None = None
    seed: int = 0


def quick(plan: Plan) -> Plan:
    """A plan that shows that everything runs; its figures say nothing."""
    return replace(plan, minutes=0.1, repeats=1, warm_up=0, windows=2, starts=1)


def run(bundle: Bundle, plan: Plan, step: Step) -> dict[str, Any]:
    """Measure everything.

    Returns
    -------
    dict
        As JSON types. ``seconds`` are the raw runs; a subject with a ``failure`` has none.

    Raises
    ------
    EngineError
        If nothing of what is to be timed can be had here.
    SgnError
        If the recording cannot be written or the bundle's probes cannot be read; what fails of a
        subject is part of the result.
    """
    # Longer than a page: one result, key by key in the order in which it is measured.
    threads = plan.threads or available_cpus()
    with tempfile.TemporaryDirectory(prefix="sgn-rt-bench-") as folder:
        setting = Setting(bundle=bundle, threads=threads, folder=Path(folder), devices=plan.devices)
        machine = describe(threads)
        recording = setting.folder / "recording.wav"
        with step("recording and parity"):
            samples = write_recording(recording, plan.minutes)
            subjects = gather(plan.engines, bundle, threads, setting.folder, devices=plan.devices)
        _expect_some(subjects)
        with step("whole files, in turn") as tell:
            outcome = scenarios.whole_files(
                subjects, setting, recording,
                repeats=plan.repeats, warm_up=plan.warm_up, seed=plan.seed, tell=tell,
            )  # fmt: skip
        with step("single windows, in turn") as tell:
            windows = scenarios.windows(
                subjects, setting, repeats=plan.windows, seed=plan.seed, tell=tell
            )
        ours = best(subjects)
        result: dict[str, Any] = {
            "schema": SCHEMA,
            "machine": machine,
            "bundle": bundle.name,
            "audio_s": samples / SAMPLE_RATE,
            "categories": setting.chosen(),
            "subjects": [subject.to_dict() for subject in subjects],
            "reference": _reference(subjects),
            "whole_files": _whole_files(subjects, outcome, samples / SAMPLE_RATE),
            "windows": {
                name: {what: _figures(runs) for what, runs in by_what.items()}
                for name, by_what in windows.items()
            },
            "memory": {},
            "hour": None,
            "hour_present": None,
            "cold_start": None,
            "phases": None,
        }
        with step("memory"):
            for subject in (s for s in subjects if s.engine is not None):
                result["memory"][subject.name] = scenarios.memory(subject.name, setting, recording)
        if ours is not None:
            with step("cold start and phases"):
                result["cold_start"] = {
                    "subject": ours.name,
                    **scenarios.cold_start(ours.name, setting, repeats=plan.starts),
                }
                profile = scenarios.phases(ours, setting, recording)
                result["phases"] = {"subject": ours.name, **profile.to_dict()}
        if plan.hour and ours is not None:
            with step("an hour"):
                write_recording(recording, HOUR)
                for row, named in (("hour", True), ("hour_present", False)):
                    figures = scenarios.memory(ours.name, setting, recording, named=named)
                    result[row] = {"subject": ours.name, **figures}
    return result


def _expect_some(subjects: Sequence[Subject]) -> None:
    if all(subject.absent for subject in subjects):
        reasons = "; ".join(f"{subject.name}: {subject.failure}" for subject in subjects)
        raise EngineError(
            f"benchmark: got nothing to time ({reasons}), expected at least one engine. "
            "Run `sgn-rt doctor` for what runs here."
        )


def best(subjects: Sequence[Subject]) -> Subject | None:
    """The subject that the package would choose: the first that may serve; never a comparison."""
    usable = [subject for subject in subjects if subject.engine is not None]
    own = [subject for subject in usable if subject.name != plain.NAME]
    return own[0] if own else None


def _reference(subjects: Sequence[Subject]) -> str | None:
    names = [s.name for s in subjects if s.engine is not None and s.name in MEMORY_FORMATS]
    return names[0] if names else None


def _figures(seconds: Sequence[float]) -> dict[str, Any]:
    return {"seconds": list(seconds), **summarize(seconds).to_dict()}


def _whole_files(
    subjects: Sequence[Subject], outcome: Outcome, audio_s: float
) -> dict[str, dict[str, Any]]:
    reference = _reference(subjects)
    found: dict[str, dict[str, Any]] = {}
    for subject in (s for s in subjects if not s.absent):
        for choice in (ALL, SOUNDING, PRESENT):
            row = key(subject.name, choice)
            seconds = outcome.seconds.get(row)
            if subject.engine is None or seconds is None:
                failure = subject.failure or outcome.failures.get(row)
                found[row] = {"subject": subject.name, "choice": choice, "failure": failure}
                continue
            figures = _figures(seconds)
            entry = {"subject": subject.name, "choice": choice, "failure": None, **figures}
            entry["times_real_time"] = audio_s / figures["median"]
            compared = {
                "to_reference": key(reference, choice) if reference else None,
                "to_all": key(subject.name, ALL),
                "to_sounding": key(subject.name, SOUNDING),
            }
            for name, other in compared.items():
                times = outcome.seconds.get(other) if other else None
                if times is not None:
                    entry[name] = summarize(ratios(seconds, times)).to_dict()
            found[row] = entry
    return found
