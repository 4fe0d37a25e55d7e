"""TensorRT, in either flavour: engines that `sgn-rt build` made. Not yet run on a GPU."""

from __future__ import annotations

import os
import shlex
import weakref
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from sgn_rt._types import Float, Positions, Separated
from sgn_rt.engines.base import WholeEngine
from sgn_rt.errors import EngineError, PluginError, UnavailableError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import ENGINE_KINDS, GRAPH_INPUTS, Kind, Precision, Tensor
from sgn_rt.model.export_command import export_command
from sgn_rt.model.stages import StageResult
from sgn_rt.tensorrt.bindings import Flavor, TensorRT, load, version_text
from sgn_rt.tensorrt.device.factory import open_device
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.plugins.library import FoundLibrary, plugin_library
from sgn_rt.tensorrt.run.lane import Lane
from sgn_rt.tensorrt.run.pool import LanePool
from sgn_rt.tensorrt.run.runtime import LoadedEngine
from sgn_rt.tensorrt.run.session import Session
from sgn_rt.tensorrt.sidecar import Machine, Sidecar, read_engine, read_sidecars
from sgn_rt.tensorrt.trust import expect_trusted, is_trusted

LANES: Final = 2
"""Execution contexts at most: one copies while the other computes; each costs activation memory."""
REBUILD_VARIABLE: Final = "SGN_RT_REBUILD_ENGINES"
"""Set to 1: an engine that does not fit this machine is built again when it is opened."""


class TensorRTEngine(WholeEngine):
    """An engine of the bundle on the GPU.

    More windows or categories than it takes at a time go through it in parts.

    Parameters
    ----------
    name
        As it was chosen.
    bundle, sidecar
        The engine.
    loaded, device
        Where it runs.
    """

    def __init__(
        self, name: str, bundle: Bundle, sidecar: Sidecar, loaded: LoadedEngine, device: Device
    ) -> None:
        super().__init__(bundle.config)
        self.name, self.precision, self.concurrency = name, sidecar.precision, LANES
        self.batch, self.most_sources = loaded.max_batch, loaded.max_sources
        version = version_text(sidecar.version)
        self.detail = f"{sidecar.name} on {device.name}, version {version}, {device.layer}"
        self.sidecar = sidecar
        self._bundle, self._loaded, self._device = bundle, loaded, device
        self._pool = LanePool(lambda: Lane(loaded, device), LANES)
        self._end = weakref.finalize(self, _end, self._pool, loaded, device)

    def session(self, stream: object = None) -> Session:
        """For applications: device memory in and out, on their stream, one session per thread."""
        return Session(self._loaded, self._device, stream)

    def new_lane(self) -> Lane:
        """A lane of the caller's own, to be closed by it."""
        return Lane(self._loaded, self._device)

    def close(self) -> None:
        """Free the lanes; also done when the engine is no longer used."""
        self._end()

    def proved(self, results: Sequence[StageResult]) -> None:
        """Write down that it has passed its start-up probe, if that is not known yet."""
        with self._device.current():
            self._loaded.keep_kernels()
        if self.sidecar.proof is None and results:
            from sgn_rt.tensorrt.build.build_engines import record_proof

            record_proof(self._bundle, self.sidecar, results, self._device.name)

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        batch, samples = mixture.shape
        wanted = len(categories)
        # Presence alone still takes a source: an engine has no empty inputs.
        asked = categories if wanted else np.zeros(1, np.int64)
        sources = np.empty((batch, wanted, samples), np.float32)
        presence = np.empty((batch, len(self.config.categories)), np.float32)
        parts = list(_parts(batch, len(asked), self._loaded.max_batch, self._loaded.max_sources))
        if not parts:
            return Separated(sources, presence)

        def keep(part: tuple[slice, slice], answer: Separated) -> None:
            rows, columns = part
            presence[rows] = answer.presence
            if wanted:
                sources[rows, columns] = answer.sources

        with self._pool.borrow(min(LANES, len(parts))) as lanes:
            running: list[tuple[slice, slice] | None] = [None] * len(lanes)
            for index, part in enumerate(parts):
                turn = index % len(lanes)
                before = running[turn]
                if before is not None:
                    keep(before, lanes[turn].collect())
                rows, columns = part
                lanes[turn].submit(mixture[rows], asked[columns])
                running[turn] = part
            for lane, last in zip(lanes, running, strict=True):
                if last is not None:
                    keep(last, lane.collect())
        return Separated(sources, presence)


def _end(pool: LanePool, loaded: LoadedEngine, device: Device) -> None:
    pool.close()
    with device.current():
        loaded.keep_kernels()


def _parts(
    batch: int, sources: int, max_batch: int, max_sources: int
) -> Iterator[tuple[slice, slice]]:
    for row in range(0, batch, max_batch):
        for column in range(0, sources, max_sources):
            yield slice(row, row + max_batch), slice(column, column + max_sources)


def graphs_to_build(bundle: Bundle) -> list[Artifact]:
    """A bundle's graphs that engines are made of, the best first."""
    graphs = [a for a in bundle.artifacts if Tensor.MIXTURE in GRAPH_INPUTS[a.kind]]
    return sorted(graphs, key=lambda a: (a.kind != Kind.PLUGIN, a.precision != Precision.FP16))


def open_tensorrt(
    bundle: Bundle, *, name: str, flavor: Flavor, artifact: str | None, rebuild: bool | None = None
) -> TensorRTEngine:
    """The best engine in a bundle that this machine runs.

    Parameters
    ----------
    bundle
        The model.
    name
        As the engine is chosen.
    flavor
        TensorRT, or TensorRT for RTX.
    artifact
        ``kind.precision`` of the graph that it has to be of; None for the best.
    rebuild
        Build an engine again that does not fit; None for what ``SGN_RT_REBUILD_ENGINES`` says.

    Raises
    ------
    DependencyError
        If TensorRT or cuda-python is not installed.
    UnavailableError
        If the bundle has no engine of this flavour, or there is no GPU.
    EngineError
        If it has engines, and none is for this machine, or the one that is was built elsewhere
        (`sgn_rt.tensorrt.trust`) or does not load.
    """
    # First what costs nothing: without an engine file nothing is imported.
    unreadable = None
    try:
        sidecars = read_sidecars(bundle)
    except EngineError as error:
        sidecars, unreadable = [], error
    candidates = [
        sidecar
        for sidecar in sidecars
        if sidecar.flavor == flavor and artifact in (None, sidecar.artifact)
    ]
    if not candidates and unreadable is None:
        raise UnavailableError(
            f"{name}: got a bundle without an engine of {flavor}"
            f"{'' if artifact is None else f' for {artifact}'}, expected one. "
            f"Run {_build_steps(bundle, flavor)}"
        )
    trt, device = load(flavor), open_device()
    if unreadable is not None:  # a matter of machines that could run it
        raise unreadable
    fitting = _fitting(bundle, candidates, trt, device, rebuild)
    sidecar = min(fitting, key=lambda each: (not is_trusted(each), _rank(each)))
    expect_trusted(sidecar)
    return engine_of(bundle, name, sidecar, read_engine(bundle, sidecar), trt, device)


def _fitting(
    bundle: Bundle, candidates: list[Sidecar], trt: TensorRT, device: Device, rebuild: bool | None
) -> list[Sidecar]:
    """Those of some engines that this machine runs, or one that is built now."""
    machine = Machine(
        flavor=trt.flavor, version=trt.version, gpu=device.capability, gpu_name=device.name
    )
    fitting = [sidecar for sidecar in candidates if sidecar.mismatch(machine) is None]
    if fitting:
        return fitting
    if not (os.environ.get(REBUILD_VARIABLE) == "1" if rebuild is None else rebuild):
        reasons = "; ".join(str(sidecar.mismatch(machine)) for sidecar in candidates)
        raise EngineError(f"{reasons.replace('BUNDLE', str(bundle.root))}")
    return [_rebuilt(bundle, min(candidates, key=_rank), trt, device)]


def _build_steps(bundle: Bundle, flavor: Flavor) -> str:
    """What leads to an engine; that a bundle has no graph for one comes first."""
    if any(artifact.kind in ENGINE_KINDS for artifact in bundle.artifacts):
        return f"`sgn-rt build {shlex.quote(str(bundle.root))} --flavor {flavor}`"
    return (
        f"`{export_command(bundle)}`, then `sgn-rt build BUNDLE --flavor {flavor}`, and open BUNDLE"
    )


def engine_of(
    bundle: Bundle, name: str, sidecar: Sidecar, content: bytes, trt: TensorRT, device: Device
) -> TensorRTEngine:
    """An engine in service, of verified content."""
    if sidecar.kind == Kind.PLUGIN:
        raise EngineError(
            f"engine {sidecar.name}: got a network of the pair plugin and synthesis, expected an "
            "engine of waveform: pairs do not run yet. Build one with --kind waveform."
        )
    library = None if sidecar.plugin is None else _library_for(sidecar)
    plugins = None if library is None else library.path
    loaded = LoadedEngine(trt, device, bundle.config, sidecar, content, plugins)
    return TensorRTEngine(name, bundle, sidecar, loaded, device)


def _rank(sidecar: Sidecar) -> tuple[int, int, int]:
    """Best first: plugins, half precision, built for this very GPU."""
    return (
        sidecar.plugin is None,
        sidecar.precision != Precision.FP16,
        sidecar.hardware_compatible,
    )


def _library_for(sidecar: Sidecar) -> FoundLibrary:
    assert sidecar.plugin is not None
    try:
        library = plugin_library()
    except PluginError as error:
        raise EngineError(f"engine {sidecar.name}: {error}") from error
    if library.record.version != sidecar.plugin.version:
        raise EngineError(
            f"engine {sidecar.name}: built with plugins {sidecar.plugin.version}, this is "
            f"{library.record.version}. Run `{sidecar.build_command}`"
        )
    return library


def _rebuilt(bundle: Bundle, sidecar: Sidecar, trt: TensorRT, device: Device) -> Sidecar:
    from sgn_rt.tensorrt.build.build_engines import build_into
    from sgn_rt.tensorrt.build.rebuild import request_like

    request = request_like(sidecar, (device.capability,) if trt.is_rtx else ())
    return build_into(bundle, trt, request, device=device)[0]
