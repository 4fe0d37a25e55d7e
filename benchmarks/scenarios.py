"""What is measured: whole files, single windows, memory and cold start."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sgn_rt.benchmarks import isolated
from sgn_rt.benchmarks.harness import Outcome, Tell, interleave, summarize
from sgn_rt.benchmarks.material import SOUNDS
from sgn_rt.benchmarks.phases import Profile, profile
from sgn_rt.benchmarks.rows.subjects import Subject, separator
from sgn_rt.engines.base import Engine, MaskEngine
from sgn_rt.errors import SgnError
from sgn_rt.model.bundle import Bundle

ALL, SOUNDING, PRESENT = "all", "sounding", "present"
"""Choices of categories: every one; those that sound in it; none named, so those present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every scenario is given.

    Attributes
    ----------
    bundle
        The model.
    threads
        Processors to use.
    folder
        For everything that is written.
    devices
        Numbers of the GPUs that a GPU's engines run on; None for the one in use.
    """

    bundle: Bundle
    threads: int
    folder: Path
    devices: tuple[int, ...] | None = None

    def chosen(self) -> dict[str, list[str] | None]:
        """Choice -> names of categories, None for those present."""
        known = list(self.bundle.config.categories)
        sounding = [name for name in known if name in SOUNDS]
        named = sounding if len(sounding) == len(SOUNDS) else known[: len(SOUNDS)]
        return {ALL: known, SOUNDING: named, PRESENT: None}


def key(subject: str, choice: str) -> str:
    """The name under which a row's runs are kept."""
    return f"{subject}/{choice}"


def whole_files(
    subjects: Sequence[Subject],
    setting: Setting,
    recording: Path,
    *,
    repeats: int,
    warm_up: int,
    seed: int,
    tell: Tell,
) -> Outcome:
    """A file to stems on disk, for every subject and choice of categories, in turn."""
    out = setting.folder / "stems"
    with ExitStack() as stack:
        runs: dict[str, Callable[[], object]] = {}
        for subject in subjects:
            if subject.engine is None:
                continue
            opened = stack.enter_context(separator(subject.engine, setting.bundle, setting.threads))
            for choice, categories in setting.chosen().items():
                runs[key(subject.name, choice)] = partial(
                    opened.separate_to, recording, out, categories
                )
        return interleave(
            runs,
            repeats=repeats,
            warm_up=warm_up,
            seed=seed,
            between=partial(shutil.rmtree, out, ignore_errors=True),
            tell=tell,
        )


WINDOW, NETWORK, SIDE_BY_SIDE = "window", "network", "side by side"


def _side_by_side(work: Callable[[], object], calls: int, pool: ThreadPoolExecutor) -> None:
    for _ in pool.map(lambda _: work(), range(calls)):
        pass


def windows(
    subjects: Sequence[Subject], setting: Setting, *, repeats: int, seed: int, tell: Tell
) -> dict[str, dict[str, list[float]]]:
    """Seconds per window, all categories: subject -> what -> runs.

    ``window`` from waveform to sources and ``network`` from log-magnitude to masks, one at a time;
    ``side by side`` the network (of an engine that shows it, else all), with as many windows in a
    call, and calls in flight, as the engine likes, per window.
    """
    probe = setting.bundle.probe
    everything = np.arange(len(setting.bundle.config.categories))
    runs: dict[str, Callable[[], object]] = {}
    engines: dict[str, Engine] = {s.name: s.engine for s in subjects if s.engine is not None}
    # Who waits for a GPU takes no processor.
    most = max([setting.threads, *(engine.concurrency for engine in engines.values())])
    with ThreadPoolExecutor(most) as pool:
        for name, engine in engines.items():
            runs[key(name, WINDOW)] = partial(engine.separate, probe.mixture[:1], everything)
            if isinstance(engine, MaskEngine):
                x = np.resize(probe.log_magnitude, (engine.batch, *probe.log_magnitude.shape[1:]))
                work: Callable[[], object] = partial(engine.masks, x[:, None], everything)
                x = probe.log_magnitude[:1, None]
                runs[key(name, NETWORK)] = partial(engine.masks, x, everything)
            else:
                mixture = np.resize(probe.mixture, (engine.batch, probe.mixture.shape[1]))
                work = partial(engine.separate, mixture, everything)
            runs[key(name, SIDE_BY_SIDE)] = partial(
                _side_by_side, work, 2 * engine.concurrency, pool
            )
        outcome = interleave(runs, repeats=repeats, warm_up=2, seed=seed, tell=tell)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in engines}
    for name, engine in engines.items():
        for what in (WINDOW, NETWORK, SIDE_BY_SIDE):
            seconds = outcome.seconds.get(key(name, what))
            if seconds is not None:
                share = 2 * engine.concurrency * engine.batch if what == SIDE_BY_SIDE else 1
                found[name][what] = [second / share for second in seconds]
    return found


def memory(
    subject: str, setting: Setting, recording: Path, *, named: bool = True
) -> dict[str, Any]:
    """Peak memory of separating a recording, or the error that came instead."""
    try:
        return isolated.memory(
            subject,
            setting.bundle.root,
            recording,
            threads=setting.threads,
            folder=setting.folder,
            named=named,
            devices=setting.devices,
        )
    except SgnError as error:
        return {"failure": str(error)}
    finally:
        shutil.rmtree(setting.folder / "memory", ignore_errors=True)


def cold_start(subject: str, setting: Setting, *, repeats: int) -> dict[str, Any]:
    """Step -> figures over the repeats, seconds; or the error that came instead."""
    try:
        runs = [
            isolated.cold_start(
                subject, setting.bundle.root, threads=setting.threads, devices=setting.devices
            )
            for _ in range(repeats)
        ]
    except SgnError as error:
        return {"failure": str(error)}
    return {step: summarize([run[step] for run in runs]).to_dict() for step in runs[0]}


def phases(subject: Subject, setting: Setting, recording: Path) -> Profile:
    """Where one separation of all categories spends its time."""
    assert subject.engine is not None
    out = setting.folder / "phases"
    with separator(subject.engine, setting.bundle, setting.threads) as opened:
        run = partial(opened.separate_to, recording, out, opened.categories)
        try:
            return profile(subject.engine, run, setting.threads)
        finally:
            shutil.rmtree(out, ignore_errors=True)
