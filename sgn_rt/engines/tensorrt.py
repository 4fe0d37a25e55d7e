"""TensorRT, in either flavour: engines that `sgn-rt build` made. Not yet run on a GPU."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Sequence
from functools import partial
from typing import Final

from sgn_rt.engines.tensorrt_engine import TensorRTEngine
from sgn_rt.errors import EngineError, PluginError, UnavailableError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import ENGINE_KINDS, FLOATS, Precision
from sgn_rt.model.export_command import export_command
from sgn_rt.model.shapes import partner_of
from sgn_rt.tensorrt.bindings import Flavor, TensorRT, load
from sgn_rt.tensorrt.device.factory import open_device
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.engine_files import half_missing, halves_of, read_engine, read_sidecars
from sgn_rt.tensorrt.plugins.find import expect_cufft
from sgn_rt.tensorrt.plugins.kernels import Kernels
from sgn_rt.tensorrt.plugins.library import FoundLibrary, plugin_library
from sgn_rt.tensorrt.run.options import RunOptions
from sgn_rt.tensorrt.run.runtime import LoadedEngine, Model
from sgn_rt.tensorrt.run.shared import lock_of, shared
from sgn_rt.tensorrt.sidecar import Machine, Sidecar
from sgn_rt.tensorrt.trust import expect_trusted, is_trusted

log = logging.getLogger(__name__)

REBUILD_VARIABLE: Final = "SGN_RT_REBUILD_ENGINES"
"""Set to 1: an engine that does not fit this machine is built again when it is opened."""


def graphs_to_build(bundle: Bundle) -> list[Artifact]:
    """A bundle's graphs that engines are made of, the best first; int8 only if it is named."""
    graphs = [a for a in bundle.artifacts if a.kind in ENGINE_KINDS and a.precision in FLOATS]
    return sorted(graphs, key=lambda a: (ENGINE_KINDS.index(a.kind), a.precision != Precision.FP16))


def open_tensorrt(
    bundle: Bundle,
    *,
    name: str,
    flavor: Flavor,
    artifact: str | None,
    rebuild: bool | None = None,
    options: RunOptions | None = None,
    ordinal: int | None = None,
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
        ``kind.precision`` of the graph that it has to be of; None for the best that is not int8.
    rebuild
        Build an engine again that does not fit; None for what ``SGN_RT_REBUILD_ENGINES`` says.
    options
        How it uses the GPU.
    ordinal
        Number of the GPU; None for the one that is current in this thread.

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
        if sidecar.kind in ENGINE_KINDS
        and sidecar.flavor == flavor
        and (sidecar.precision in FLOATS if artifact is None else artifact == sidecar.artifact)
    ]
    if not candidates and unreadable is None:
        raise UnavailableError(
            f"{name}: got a bundle without an engine of {flavor}"
            f"{'' if artifact is None else f' for {artifact}'}, expected one. "
            f"Run {_build_steps(bundle, flavor, artifact)}"
        )
    trt, device = load(flavor), open_device(ordinal)
    if unreadable is not None:  # a matter of machines that could run it
        raise unreadable
    machine = Machine(
        flavor=trt.flavor, version=trt.version, gpu=device.capability, gpu_name=device.name
    )
    fitting = _fitting(bundle, candidates, trt, device, machine, rebuild)
    sidecar = min(fitting, key=lambda each: (not is_trusted(each), _rank(each)))
    slow = sidecar.foreign_timings(machine)
    if slow is not None:
        log.warning("%s", slow.replace("BUNDLE", str(bundle.root)))
    halves = halves_of(bundle, sidecar)
    for half in halves:
        expect_trusted(half)
    contents = [(half, read_engine(bundle, half)) for half in halves]
    return engine_of(bundle, name, contents, trt, device, options)


def _fitting(
    bundle: Bundle,
    candidates: list[Sidecar],
    trt: TensorRT,
    device: Device,
    machine: Machine,
    rebuild: bool | None,
) -> list[Sidecar]:
    """Those of some engines that this machine runs, or one that is built now."""
    fitting = [sidecar for sidecar in candidates if sidecar.mismatch(machine) is None]
    if fitting:
        return fitting
    if not (os.environ.get(REBUILD_VARIABLE) == "1" if rebuild is None else rebuild):
        reasons = "; ".join(str(sidecar.mismatch(machine)) for sidecar in candidates)
        raise EngineError(f"{reasons.replace('BUNDLE', str(bundle.root))}")
    return [_rebuilt(bundle, min(candidates, key=_rank), trt, device)]


def _build_steps(bundle: Bundle, flavor: Flavor, wanted: str | None) -> str:
    """What leads to an engine; that a bundle has no graph for one comes first."""
    kind, _, precision = (wanted or "").partition(".")
    build = f"--flavor {flavor}"
    if kind in ENGINE_KINDS:
        build += f" --kind {kind} --precision {precision}"
    if any(a.kind in ENGINE_KINDS and wanted in (None, a.name) for a in bundle.artifacts):
        return f"`sgn-rt build {shlex.quote(str(bundle.root))} {build}`"
    return f"`{export_command(bundle)}`, then `sgn-rt build BUNDLE {build}`, and open BUNDLE"


def engine_of(
    bundle: Bundle,
    name: str,
    halves: Sequence[tuple[Sidecar, bytes]],
    trt: TensorRT,
    device: Device,
    options: RunOptions | None = None,
) -> TensorRTEngine:
    """An engine in service.

    Parameters
    ----------
    bundle, name
        As `open_tensorrt`.
    halves
        The engine with its verified content, and the synthesis that it needs beside it, if any.
    trt, device, options
        What runs it, and how.
    """
    first, *seconds = (sidecar for sidecar, _ in halves)
    if partner_of(bundle.config, first.kind, first.precision) is not None and not seconds:
        raise half_missing(first)
    library = None
    for sidecar, _ in halves:
        if sidecar.plugin is not None:
            library = _library_for(sidecar)
    kernels = None
    if library is not None:
        kernels = Kernels(library.path)
        with device.current():
            kernels.load()

    def loaded(sidecar: Sidecar, content: bytes) -> LoadedEngine:
        plugins = None if library is None or sidecar.plugin is None else library.path
        lock = lock_of(device)
        return LoadedEngine(trt, device, bundle.config, sidecar, content, plugins, lock)

    engines = [
        shared(trt, device, sidecar, partial(loaded, sidecar, content))
        for sidecar, content in halves
    ]
    network, *synthesis = engines
    model = Model(device, network, synthesis[0] if synthesis else None, kernels)
    engine = TensorRTEngine(name, bundle, model, options)
    engine.graph = first.artifact
    return engine


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
        expect_cufft()
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

    request = request_like(bundle, sidecar, (device.capability,) if trt.is_rtx else ())
    return build_into(bundle, trt, request, device=device)[0]
