"""Which device layer, and whether there is a GPU at all."""

from __future__ import annotations

import shutil

from sgn_rt.errors import DependencyError, EngineError, UnavailableError
from sgn_rt.tensorrt.device.cuda_python import CudaPython
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.device.pycuda import PyCuda, application_uses_pycuda


def open_device() -> Device:
    """The GPU current in this thread, through PyCUDA where the application uses it.

    Raises
    ------
    DependencyError
        If neither is installed.
    UnavailableError
        If there is no GPU.
    EngineError
        If there is one, or at least its driver, and it cannot be used.
    """
    try:
        return PyCuda() if application_uses_pycuda() else CudaPython()
    except EngineError as error:
        # CUDA says the same of no driver as of one that is too old.
        if has_driver():
            raise
        raise UnavailableError(str(error)) from error


def has_driver() -> bool:
    """Whether NVIDIA's driver is installed: its own tool comes with it on every system."""
    return shutil.which("nvidia-smi") is not None


def find_device() -> Device | None:
    """As `open_device`; None where there is no GPU or nothing to reach it by."""
    try:
        return open_device()
    except (DependencyError, EngineError):
        return None


def current_ordinal() -> int:
    """Number of the GPU that is current in this thread; 0 where nothing tells."""
    device = find_device()
    return 0 if device is None else device.dlpack_device[1]
