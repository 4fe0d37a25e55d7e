"""Which device layer, and whether there is a GPU at all."""

from __future__ import annotations

import logging
import shutil

from sgn_rt.errors import DependencyError, EngineError, UnavailableError
from sgn_rt.tensorrt.device.cuda_python import CudaPython
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.device.pycuda import PyCuda, application_uses_pycuda

log = logging.getLogger(__name__)


def open_device(ordinal: int | None = None) -> Device:
    """A GPU; where the application uses PyCUDA, through that.

    Parameters
    ----------
    ordinal
        Its number; None for the one that is current in this thread.

    Raises
    ------
    DependencyError
        If neither is installed.
    UnavailableError
        If there is no GPU, or none of that number.
    EngineError
        If there is one, or at least its driver, and it cannot be used; if PyCUDA's context is on
        another one.
    """
    try:
        if not application_uses_pycuda():
            return CudaPython(ordinal)
        device = PyCuda()
    except EngineError as error:
        # CUDA says the same of no driver as of one that is too old.
        if has_driver():
            raise
        raise UnavailableError(str(error)) from error
    if ordinal not in (None, device.dlpack_device[1]):
        raise EngineError(
            f"GPU: got number {ordinal}, expected {device.dlpack_device[1]}, which PyCUDA's "
            "context is on. Make one on the other GPU, or use the application without PyCUDA."
        )
    return device


def has_driver() -> bool:
    """Whether NVIDIA's driver is installed: its own tool comes with it on every system."""
    return shutil.which("nvidia-smi") is not None


def look_for_device(ordinal: int | None = None) -> Device | str:
    """As `open_device`; where that fails, why there is no GPU to be had."""
    try:
        return open_device(ordinal)
    except (DependencyError, EngineError) as error:
        return str(error)


def find_device(ordinal: int | None = None) -> Device | None:
    """As `open_device`; None where there is no GPU to be had, and the log says why."""
    found = look_for_device(ordinal)
    if isinstance(found, str):
        log.info("no GPU: %s", found)
        return None
    return found


def current_ordinal() -> int:
    """Number of the GPU that is current in this thread; 0 where nothing tells."""
    device = find_device()
    return 0 if device is None else device.dlpack_device[1]


def still_answers(device: Device) -> bool:
    """Whether work on a device still ends: a kernel that broke the context ends that for good."""
    try:
        with device.current():
            stream = device.stream()
            stream.synchronize()
            stream.close()
    except EngineError:
        return False
    return True
