"""What the checks of TensorRT run on: engines built in memory; the bundle is not changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from sgn_rt._types import Float
from sgn_rt.checks.check import Budget, Place
from sgn_rt.engines.tensorrt import engine_of
from sgn_rt.engines.tensorrt_engine import TensorRTEngine
from sgn_rt.errors import PluginError, UnavailableError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import ENGINE_KINDS, Precision
from sgn_rt.model.export_command import export_command
from sgn_rt.tensorrt.bindings import Flavor, TensorRT, load
from sgn_rt.tensorrt.build.build_engines import (
    BuildRequest,
    build_halves,
    choose_artifacts,
    choose_gpus,
)
from sgn_rt.tensorrt.build.builder import rtx_gpus
from sgn_rt.tensorrt.build.options import BuildOptions
from sgn_rt.tensorrt.device.factory import open_device, still_answers
from sgn_rt.tensorrt.device.protocol import Device, Graph, Stream
from sgn_rt.tensorrt.plugins.build import build_library
from sgn_rt.tensorrt.plugins.library import has_plugins, plugin_library


class _CountedGraph:
    def __init__(self, counter: GraphCounter, graph: Graph) -> None:
        self._counter, self._graph = counter, graph
        self.close = graph.close

    def launch(self, stream: Stream) -> None:
        self._graph.launch(stream)
        self._counter.launches += 1


class GraphCounter:
    """A device that knows how often graphs captured on it were launched.

    Attributes
    ----------
    launches
        Of all of them.
    """

    def __init__(self, device: Device) -> None:
        self._device, self.launches = device, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """As `Device.capture`."""
        return _CountedGraph(self, self._device.capture(stream, work))


@dataclass(slots=True)
class World:
    """What checks run on.

    Attributes
    ----------
    bundle, trt, device
        The model, TensorRT, the GPU.
    soak_windows
        Windows of the check for growth.
    budget
        Of the check that runs.
    engines
        By precision, once they are built.
    graphs
        The device as engines use it.
    """

    bundle: Bundle
    trt: TensorRT
    device: Device
    soak_windows: int = 10_000
    budget: Budget = field(default_factory=lambda: Budget(60.0))
    engines: dict[Precision, TensorRTEngine] = field(default_factory=dict)
    graphs: GraphCounter = field(init=False)

    def __post_init__(self) -> None:
        self.graphs = GraphCounter(self.device)

    def engine(self, precision: Precision) -> TensorRTEngine:
        """The engine of a precision, built once."""
        if precision not in self.engines:
            request = BuildRequest(precisions=(precision,))
            (artifact,) = choose_artifacts(self.bundle, request)
            options = BuildOptions(gpus=choose_gpus(self.trt, (), self.device))
            halves = build_halves(self.bundle, self.trt, artifact, options, device=self.device)
            self.engines[precision] = engine_of(
                self.bundle,
                str(self.trt.flavor),
                halves,
                self.trt,
                cast("Device", self.graphs),
            )
        return self.engines[precision]

    @property
    def best(self) -> TensorRTEngine:
        """The engine of half precision, or the one that there is."""
        return self.engine(Precision.FP16)

    def windows(self, count: int, seed: int = 0) -> Float:
        """Noise, shape = (count, N), float32."""
        rng = np.random.default_rng(seed)
        shape = (count, self.bundle.config.window_samples)
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)

    @property
    def is_usable(self) -> bool:
        """Whether the device still answers."""
        return still_answers(self.device)

    def close(self) -> None:
        """Close the engines."""
        for engine in self.engines.values():
            engine.close()
        self.engines.clear()


def expect_target(trt: TensorRT, device: Device) -> None:
    """That a flavour knows the GPU that is here.

    Raises
    ------
    UnavailableError
        If it does not, as TensorRT for RTX none of sm90: nothing is wrong with either.
    """
    if trt.is_rtx and device.capability not in rtx_gpus(trt):
        raise UnavailableError(
            f"{trt}: got {device.name} ({device.capability}), expected one of "
            f"{', '.join(rtx_gpus(trt))}, which it is made for. Use --flavor tensorrt here."
        )


def _open(flavor: Flavor, place: Place) -> World:
    trt, device = load(flavor), open_device()
    expect_target(trt, device)
    bundle = place.open(ENGINE_KINDS)
    if not any(artifact.kind in ENGINE_KINDS for artifact in bundle.artifacts):
        raise UnavailableError(
            f"{trt}: got a bundle without a graph to build from, expected "
            f"{' or '.join(ENGINE_KINDS)}. "
            f"Export one: `{export_command(bundle)}`, and name BUNDLE."
        )
    if any(has_plugins(artifact.kind) for artifact in bundle.artifacts):
        _expect_library()
    return World(bundle, trt, device)


def _expect_library() -> None:
    """That there is a plugin library, built now if need be and if it can be."""
    try:
        plugin_library()
    except PluginError:
        build_library()
        plugin_library()


def open_tensorrt(place: Place) -> World:
    """Full TensorRT's world.

    Raises
    ------
    DependencyError
        If it is not installed.
    UnavailableError
        If there is no GPU, one that it does not know, or the bundle has no graph for it.
    PluginError
        If there is no plugin library, and none can be built.
    """
    return _open(Flavor.TENSORRT, place)


def open_rtx(place: Place) -> World:
    """TensorRT for RTX's world; raises as `open_tensorrt`."""
    return _open(Flavor.RTX, place)
