"""Engines of a bundle that do not fit this machine, as requests to build them again."""

from __future__ import annotations

from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.tensorrt.bindings import TensorRT
from sgn_rt.tensorrt.build.build_engines import BuildRequest
from sgn_rt.tensorrt.build.builder import BuildOptions
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.sidecar import Machine, Sidecar, read_engine, read_sidecars


def rebuild_requests(bundle: Bundle, trt: TensorRT, device: Device | None) -> list[BuildRequest]:
    """What has to be built so that every engine of this flavour fits.

    Where there is a GPU, an engine has to fit it; where none is, its TensorRT and its graph.
    """
    requests = []
    for sidecar in read_sidecars(bundle):
        if sidecar.flavor != trt.flavor:
            continue
        gpu = sidecar.gpus[0] if device is None else device.capability
        machine = Machine(flavor=trt.flavor, version=trt.version, gpu=gpu)
        if sidecar.mismatch(machine) is None and _is_whole(bundle, sidecar):
            continue
        request = request_like(sidecar, (gpu,))
        if request not in requests:
            requests.append(request)
    return requests


def request_like(sidecar: Sidecar, gpus: tuple[str, ...]) -> BuildRequest:
    """To build an engine again, with its own options, for these GPUs."""
    largest = [profile.largest for profile in sidecar.profiles.values()]
    batch = next(shape[0] for shape in largest if len(shape) > 1)
    sources = next(shape[0] for shape in largest if len(shape) == 1)
    return BuildRequest(
        kind=sidecar.kind,
        precisions=(sidecar.precision,),
        gpus=gpus,
        options=BuildOptions(
            gpus=(),
            max_batch=batch,
            max_sources=sources,
            hardware_compatible=sidecar.hardware_compatible,
            version_compatible=sidecar.version_compatible,
            workspace_bytes=sidecar.workspace_bytes,
        ),
    )


def _is_whole(bundle: Bundle, sidecar: Sidecar) -> bool:
    try:
        read_engine(bundle, sidecar)
    except EngineError:
        return False
    return True
