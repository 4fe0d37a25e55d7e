"""``sgn-rt doctor --gpu-report FILE``: every check that needs a GPU, in one text to send back."""

from __future__ import annotations

import platform
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

import sgn_rt
from sgn_rt.checks.gpu_checks import CHECKS, Check, World
from sgn_rt.errors import SgnError
from sgn_rt.model.bundle import Bundle
from sgn_rt.tensorrt.bindings import Flavor, is_installed, load
from sgn_rt.tensorrt.device.factory import open_device

PACKAGES: Final = (
    "tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx-cu13", "cuda-python", "pycuda",
    "nvidia-cufft", "numpy", "torch",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a check: figures, or what failed."""

    name: str
    seconds: float
    figures: Mapping[str, Any]
    failure: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it held."""
        return self.failure is None


def run_checks(
    world: World,
    checks: Mapping[str, Check] = CHECKS,
    tell: Callable[[str], object] = id,
) -> list[Outcome]:
    """Run every check, also after one has failed."""
    outcomes = []
    for name, check in checks.items():
        tell(name)
        start = time.perf_counter()
        figures: Mapping[str, Any] = {}
        failure = None
        try:
            figures = check(world)
        except SgnError as error:
            failure = str(error)
        except Exception:  # whatever it is, the report has to tell it
            failure = traceback.format_exc()
        outcomes.append(Outcome(name, time.perf_counter() - start, figures, failure))
    return outcomes


def gpu_report(
    bundle: Bundle, tell: Callable[[str], None], checks: Mapping[str, Check] = CHECKS
) -> tuple[str, bool]:
    """Run all checks with every flavour of TensorRT that is installed.

    Returns
    -------
    tuple
        The report, and whether there was something to check and all of it held.
    """
    lines = [
        f"sgn-rt {sgn_rt.__version__} GPU report",
        f"Python {platform.python_version()}, {platform.platform()}",
        f"bundle {bundle.name}: {', '.join(artifact.name for artifact in bundle.artifacts)}",
        *(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    ]
    flavors = [flavor for flavor in Flavor if is_installed(flavor)]
    if not flavors:
        lines += ["", "FAILED: neither tensorrt nor tensorrt_rtx is installed"]
    passed = bool(flavors)
    for flavor in flavors:
        lines += ["", f"== {flavor}"]
        try:
            trt, device = load(flavor), open_device()
        except SgnError as error:
            lines.append(f"FAILED: {error}")
            passed = False
            continue
        lines.append(f"{trt}, {device.name} ({device.capability}), {device.layer}")
        world = World(bundle, trt, device)
        tell(str(flavor))
        outcomes = run_checks(world, checks, tell)
        for engine in world.engines.values():
            engine.close()
        passed = passed and all(outcome.passed for outcome in outcomes)
        lines += [line for outcome in outcomes for line in show(outcome)]
    lines += ["", "all held" if passed else "NOT all held"]
    return "\n".join(lines) + "\n", passed


def show(outcome: Outcome) -> list[str]:
    """A check's lines."""
    verdict = "held" if outcome.passed else "FAILED"
    lines = [f"{outcome.name}: {verdict} in {outcome.seconds:.1f} s"]
    lines += [f"    {name}: {value}" for name, value in outcome.figures.items()]
    if outcome.failure is not None:
        lines += [f"    {line}" for line in outcome.failure.splitlines()]
    return lines


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
