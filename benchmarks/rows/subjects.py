"""What is timed: every engine that opens here, the PyTorch reference and the plain export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sgn_rt._optional import require
from sgn_rt._types import Float, Positions, Separated
from sgn_rt.benchmarks.harness import interleave
from sgn_rt.benchmarks.rows import plain
from sgn_rt.engines.base import Engine, WholeEngine
from sgn_rt.engines.factory import ENGINES, open_engine, open_on, runs_on_gpu
from sgn_rt.engines.several import SeveralEngines
from sgn_rt.engines.torch import TorchEngine
from sgn_rt.errors import SgnError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.stages import StageResult
from sgn_rt.parity.measure import measure
from sgn_rt.parity.service import Service
from sgn_rt.separator import Separator

REFERENCE = "torch"
CONTIGUOUS = "torch-contiguous"
MEMORY_FORMATS = (REFERENCE, CONTIGUOUS)
"""The reference with its memory channels-last, as its engine has it, and in PyTorch's own order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something to time, or why it is not timed.

    Attributes
    ----------
    name
        As it stands in the table.
    engine
        Of what can be timed: opened, and within every limit of parity.
    parity
        Stages as measured; empty where it did not come to that.
    failure
        Why it has no time; None where it has one.
    absent
        Whether it is merely not available here, which is no failure of it.
    """

    name: str
    engine: Engine | None = None
    parity: tuple[StageResult, ...] = field(default=())
    failure: str | None = None
    absent: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "name": self.name,
            "detail": None if self.engine is None else self.engine.detail,
            "failure": self.failure,
            "absent": self.absent,
            "parity": {str(result.stage): result.to_dict() for result in self.parity},
        }


class _Reference(WholeEngine, TorchEngine):
    """PyTorch as one would call it: all sources of a window in one pass."""

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        with self._torch.inference_mode():
            result = self._model(*map(self._torch.from_numpy, (mixture, categories)))
        return Separated(result.sources.contiguous().numpy(), result.presence.numpy())


class _Contiguous(_Reference):
    """The reference in PyTorch's own memory format."""

    name = CONTIGUOUS

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._model = self._model.to(memory_format=self._torch.contiguous_format)
        self.detail += ", contiguous memory"


def open_subject(
    name: str,
    bundle: Bundle,
    threads: int,
    folder: Path,
    devices: Sequence[int] | None = None,
) -> Engine:
    """Open what a name stands for.

    Parameters
    ----------
    name
        An engine as `open_engine` takes it, `CONTIGUOUS` or `plain.NAME`.
    bundle
        The model.
    threads
        Processors to use; PyTorch's own number of threads is set to it, for the whole process.
    folder
        Where `prepare` has been.
    devices
        Numbers of the GPUs that a GPU's engine runs on; None for the one in use.

    Raises
    ------
    SgnError
        If it cannot be had here.
    """
    if name in (*MEMORY_FORMATS, plain.NAME):
        torch: Any = require("torch", extra="export", purpose=f"the row {name}")
        torch.set_num_threads(threads)
    if name in MEMORY_FORMATS:
        return _Contiguous(bundle) if name == CONTIGUOUS else _Reference(bundle)
    if name == plain.NAME:
        return plain.PlainExport(bundle, folder / plain.FILE)
    if devices is None or not runs_on_gpu(name):
        return open_engine(name, bundle, threads)
    return open_on(name, bundle, threads, devices, replaces=False)


def prove(name: str, engine: Engine, bundle: Bundle) -> Subject:
    """A subject, with the engine only if every stage of parity is within its limit."""
    each = engine.engines.values() if isinstance(engine, SeveralEngines) else [engine]
    results: tuple[StageResult, ...] = ()
    for one in each:
        try:
            results = tuple(measure(one, bundle.probe))
        except SgnError as error:
            return Subject(name=name, failure=str(error))
        for result in results:
            if not result.passed:
                return Subject(name=name, parity=results, failure=f"parity: {result}")
    return Subject(name=name, engine=engine, parity=results)


def gather(
    names: Sequence[str],
    bundle: Bundle,
    threads: int,
    folder: Path,
    *,
    devices: Sequence[int] | None = None,
) -> list[Subject]:
    """Open and prove what is asked for.

    Parameters
    ----------
    names
        Engines; none for all there are, the plain export among them.
    bundle, threads, folder, devices
        As `open_subject`; the plain export is written to ``folder``.

    Returns
    -------
    list
        In the order of the table; of the reference only the memory format that is faster here.
    """
    wanted = list(dict.fromkeys(names)) or [*ENGINES, plain.NAME]
    found = [
        _gathered(name, bundle, threads, folder, devices)
        for name in wanted
        if name not in MEMORY_FORMATS
    ]
    if REFERENCE in wanted or not names:
        found.append(_faster_reference(bundle, threads, folder))
    return found


def _gathered(
    name: str,
    bundle: Bundle,
    threads: int,
    folder: Path,
    devices: Sequence[int] | None = None,
) -> Subject:
    try:
        if name == plain.NAME:
            plain.write_plain_export(bundle, folder / plain.FILE)
        engine = open_subject(name, bundle, threads, folder, devices)
    except SgnError as error:
        return Subject(name=name, failure=str(error), absent=True)
    return prove(name, engine, bundle)


def _faster_reference(bundle: Bundle, threads: int, folder: Path) -> Subject:
    candidates = [_gathered(name, bundle, threads, folder) for name in MEMORY_FORMATS]
    engines = {c.name: c.engine for c in candidates if c.engine is not None}
    if not engines:
        return candidates[0]
    window, everything = bundle.probe.mixture[:1], np.arange(len(bundle.config.categories))
    runs = {name: partial(engine.separate, window, everything) for name, engine in engines.items()}
    outcome = interleave(runs, repeats=5)
    faster = min(outcome.seconds, key=lambda name: np.median(outcome.seconds[name]))
    return next(candidate for candidate in candidates if candidate.name == faster)


def separator(engine: Engine, bundle: Bundle, threads: int) -> Separator:
    """A separator on an engine that is open and proved; it has no other to fall back on."""
    service = Service(bundle, engine.name, "off", threads, None, opened=engine)
    return Separator(bundle, service, threads=threads)
