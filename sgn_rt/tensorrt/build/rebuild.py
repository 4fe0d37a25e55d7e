"""Engines of a bundle that do not fit this machine, as requests to build them again."""

from __future__ import annotations

from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import SECOND_HALVES
from sgn_rt.tensorrt.bindings import TensorRT
from sgn_rt.tensorrt.build.build_engines import BuildRequest
from sgn_rt.tensorrt.build.options import BuildOptions
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.engine_files import halves_of, read_engine, read_sidecars
from sgn_rt.tensorrt.sidecar import Machine, Sidecar


def rebuild_requests(bundle: Bundle, trt: TensorRT, device: Device | None) -> list[BuildRequest]:
    """What has to be built so that every engine of this flavour fits.

    Where there is a GPU, an engine has to fit it; where none is, its TensorRT and its graph.
    """
    requests = []
    for sidecar in read_sidecars(bundle):
        if sidecar.flavor != trt.flavor or sidecar.kind in SECOND_HALVES:
            continue  # a synthesis comes with its network
        gpu = sidecar.gpus[0] if device is None else device.capability
        name = sidecar.gpu_name or "" if device is None else device.name
        machine = Machine(flavor=trt.flavor, version=trt.version, gpu=gpu, gpu_name=name)
        reason = sidecar.mismatch(machine) or sidecar.foreign_timings(machine)
        if reason is None and _is_whole(bundle, sidecar):
            continue
        request = request_like(bundle, sidecar, (gpu,))
        if request not in requests:
            requests.append(request)
    return requests


def request_like(bundle: Bundle, sidecar: Sidecar, gpus: tuple[str, ...]) -> BuildRequest:
    """To build an engine again, and what it needs beside it, with its own options."""
    try:
        max_sources = halves_of(bundle, sidecar)[-1].max_sources
    except EngineError:  # of what is lost nobody knows how much it took: all
        max_sources = None
    return BuildRequest(
        kind=sidecar.kind,
        precisions=(sidecar.precision,),
        gpus=gpus,
        options=BuildOptions(
            gpus=(),
            max_batch=sidecar.max_batch,
            max_sources=max_sources,
            hardware_compatible=sidecar.hardware_compatible,
            version_compatible=sidecar.version_compatible,
            workspace_bytes=sidecar.workspace_bytes,
            optimization_level=sidecar.optimization_level,
            aux_streams=sidecar.aux_streams,
        ),
    )


def _is_whole(bundle: Bundle, sidecar: Sidecar) -> bool:
    try:
        for half in halves_of(bundle, sidecar):
            read_engine(bundle, half)
    except EngineError:
        return False
    return True
