"""What a check is, and what becomes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind

Clock = Callable[[], float]


class Part(StrEnum):
    """A part of the report; no part needs another."""

    DEVICE = "device"
    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"

    @property
    def heading(self) -> str:
        """As the page has it."""
        return _HEADINGS[self]


_HEADINGS = {
    Part.DEVICE: "(a) without TensorRT",
    Part.ONNXRUNTIME: "(b) ONNX Runtime on the GPU",
    Part.TENSORRT: "(c) TensorRT and TensorRT for RTX",
}


class Verdict(StrEnum):
    """What became of a check."""

    HELD = "held"
    FAILED = "FAILED"
    DOES_NOT_APPLY = "does not apply"
    """Nothing is wrong; what it needs is not here."""
    NOT_RUN = "not run"
    """Time was up before it; the next run does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a check.

    Attributes
    ----------
    verdict
        In a word.
    seconds
        What it took.
    figures
        What it measured, JSON types, by name.
    reason
        What failed, or why it was not run.
    """

    verdict: Verdict
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """What `to_dict` gave; ValueError, TypeError or KeyError for anything else."""
        return cls(**{**values, "verdict": Verdict(values["verdict"])})


def plain(figures: Any) -> Any:
    """Figures as JSON has them: NumPy's numbers as Python's, what is not finite as text."""
    if isinstance(figures, Mapping):
        return {str(name): plain(value) for name, value in figures.items()}
    if isinstance(figures, list | tuple):
        return [plain(value) for value in figures]
    if isinstance(figures, np.generic):
        return plain(figures.item())
    if isinstance(figures, float):
        return figures if math.isfinite(figures) else str(figures)
    return figures if isinstance(figures, int | str | None) else str(figures)


class Budget:
    """The time that a check may take; one that runs until something shows asks for what is left."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock, self._end = clock, clock() + seconds

    @property
    def left(self) -> float:
        """Seconds; negative when they are over."""
        return self._end - self._clock()


class World(Protocol):
    """What the checks of a group run on, opened once for all of them.

    Attributes
    ----------
    budget
        Of the check that runs.
    """

    budget: Budget

    @property
    def is_usable(self) -> bool:
        """Whether another check can be run on it: a kernel that broke the context ends that."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where checks run, all that another process needs to open a world.

    Attributes
    ----------
    bundle
        Folder of the model.
    export
        Exports a bundle's checkpoint, with the kinds given, and gives the new bundle's folder; a
        function of a module, as it goes to another process.
    """

    bundle: Path
    export: Callable[[Path, Sequence[Kind]], Path] | None = None

    def open(self, kinds: Sequence[Kind]) -> Bundle:
        """The bundle, or one exported from its checkpoint where it has none of these graphs.

        What is exported is the first kind, the best.

        Raises
        ------
        SgnError
            If one does not open, or the export fails.
        """
        bundle = Bundle.open(self.bundle)
        found = any(artifact.kind in kinds for artifact in bundle.artifacts)
        if found or self.export is None or not bundle.has_checkpoint:
            return bundle
        return Bundle.open(self.export(self.bundle, kinds[:1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check: takes its world and gives figures, or raises.

    Attributes
    ----------
    name
        Within its group.
    run
        A function of a module, as it goes to another process.
    limit_s
        What it may take; it is ended then.
    breaks_device
        Whether nothing can be run on the device by the same process after it.
    """

    name: str
    run: Callable[[Any], Mapping[str, Any]]
    limit_s: float = 30.0
    breaks_device: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Checks that share a world.

    Attributes
    ----------
    part
        Where the report has them.
    name
        Begins the names of its checks.
    open
        Makes the world, or raises; a function of a module.
    checks
        In the order in which they run.
    environment
        Variables that the process is to have before CUDA starts.
    """

    part: Part
    name: str
    open: Callable[[Place], World]
    checks: tuple[Check, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def name_of(self, check: Check) -> str:
        """The check's name in the report, e.g. ``device/graphs``."""
        return f"{self.name}/{check.name}"
