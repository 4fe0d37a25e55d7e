"""ONNX Runtime on a GPU: each provider on each graph, proved and timed. Not yet run on one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from sgn_rt._optional import require
from sgn_rt.checks.check import Budget, Check, Group, Part, Place
from sgn_rt.engines.base import Engine
from sgn_rt.engines.factory import PROVIDERS, open_engine
from sgn_rt.engines.onnxruntime_gpu import TF32_VARIABLE
from sgn_rt.errors import ParityError, UnavailableError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind, Precision
from sgn_rt.model.export_command import export_command
from sgn_rt.parity.measure import measure
from sgn_rt.tensorrt.device.factory import has_driver

LEAST_S: Final = 1.0
"""What is timed at least."""


@dataclass(slots=True)
class ProviderWorld:
    """A provider, and a model with graphs for it.

    Attributes
    ----------
    name
        Of the engine, e.g. ``onnxruntime-cuda``.
    bundle
        The model.
    open_engine
        Opens an engine by its name.
    clock
        Seconds.
    budget
        Of the check that runs.
    """

    name: str
    bundle: Bundle
    open_engine: Callable[[str, Bundle], Engine] = open_engine
    clock: Callable[[], float] = time.perf_counter
    budget: Budget = field(default_factory=lambda: Budget(60.0))

    @property
    def is_usable(self) -> bool:
        """A process in which a provider has failed is not used again: it cannot be asked."""
        return False

    def close(self) -> None:
        """Engines are closed with their checks."""


def _open(name: str, place: Place) -> ProviderWorld:
    ort = require("onnxruntime", extra="gpu", purpose=f"the engine {name}")
    available = ort.get_available_providers()
    if PROVIDERS[name] not in available:
        raise UnavailableError(
            f"{name}: got {ort.__name__} {ort.__version__} with only {', '.join(available)}, "
            f"expected {PROVIDERS[name]}. Put onnxruntime-gpu in the place of onnxruntime."
        )
    if not has_driver():
        raise UnavailableError(f"{name}: got no nvidia-smi, expected a GPU. Install its driver.")
    return ProviderWorld(name, place.open((Kind.WAVEFORM,)))


def open_cuda(place: Place) -> ProviderWorld:
    """The world of CUDA's provider.

    Raises
    ------
    DependencyError, UnavailableError
        If ONNX Runtime, its provider or a GPU is missing.
    """
    return _open("onnxruntime-cuda", place)


def open_tensorrt(place: Place) -> ProviderWorld:
    """The world of TensorRT's provider; raises as `open_cuda`."""
    return _open("onnxruntime-tensorrt", place)


def _graph(world: ProviderWorld, kind: Kind, precision: Precision) -> Mapping[str, Any]:
    graph = f"{kind}.{precision}"
    if world.bundle.find(kind, precision) is None:
        raise UnavailableError(
            f"{world.name}: got a bundle without {graph}, expected it. "
            f"Export it: `{export_command(world.bundle)}`, and name BUNDLE."
        )
    start = world.clock()
    with closing(world.open_engine(f"{world.name}:{graph}", world.bundle)) as engine:
        opened = world.clock() - start
        results = measure(engine, world.bundle.probe)
        failed = "; ".join(str(result) for result in results if not result.passed)
        if failed:
            raise ParityError(
                f"{engine.detail}: got {failed}, expected every stage to hold. Please report this."
            )
        figures = {str(result.stage): result.to_dict()["figure"] for result in results}
        rates = {
            f"windows_per_s_batch_{batch}": _rate(world, engine, batch)
            for batch in sorted({1, engine.batch})
        }
        return {"engine": engine.detail, "opened_s": opened, **figures, **rates}


def _rate(world: ProviderWorld, engine: Engine, batch: int) -> float:
    """Windows/s of all categories, to the host, one call after the other."""
    config = world.bundle.config
    windows = np.resize(world.bundle.probe.mixture, (batch, config.window_samples))
    every = np.arange(len(config.categories))
    for _ in range(2):
        engine.separate(windows, every)
    start, done, least = world.clock(), 0, world.budget.left / 4
    while True:
        engine.separate(windows, every)
        done += batch
        seconds = world.clock() - start
        if seconds >= LEAST_S or world.budget.left < least:
            return done / seconds


def check_waveform_fp16(world: ProviderWorld) -> Mapping[str, Any]:
    """The whole graph in float16."""
    return _graph(world, Kind.WAVEFORM, Precision.FP16)


def check_waveform_fp32(world: ProviderWorld) -> Mapping[str, Any]:
    """The whole graph in float32."""
    return _graph(world, Kind.WAVEFORM, Precision.FP32)


def check_core_fp32(world: ProviderWorld) -> Mapping[str, Any]:
    """The network alone in float32, transforms on the CPU."""
    return _graph(world, Kind.CORE, Precision.FP32)


_WAVEFORM: Final = (
    # TensorRT's provider builds an engine when it opens.
    Check(name="waveform-fp16", run=check_waveform_fp16, limit_s=120.0),
    Check(name="waveform-fp32", run=check_waveform_fp32, limit_s=120.0),
)
_CORE: Final = Check(name="core-fp32", run=check_core_fp32, limit_s=60.0)
GROUPS: Final = (
    Group(
        part=Part.ONNXRUNTIME,
        name="onnxruntime-cuda",
        open=open_cuda,
        checks=(*_WAVEFORM, _CORE),
    ),
    Group(
        part=Part.ONNXRUNTIME,
        name="onnxruntime-tensorrt",
        open=open_tensorrt,
        checks=_WAVEFORM,
        environment={TF32_VARIABLE: "0"},
    ),
)
