"""Which device layer, and whether there is a GPU at all."""

from __future__ import annotations

from sgn_rt.errors import DependencyError, EngineError
from sgn_rt.tensorrt.device.cuda_python import CudaPython
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.device.pycuda import PyCuda, application_uses_pycuda


def open_device() -> Device:
    """The GPU current in this thread, through PyCUDA where the application uses it.

    Raises
    ------
    DependencyError
        If neither is installed.
    EngineError
        If there is no GPU.
    """
    return PyCuda() if application_uses_pycuda() else CudaPython()


def find_device() -> Device | None:
    """As `open_device`; None where there is no GPU or nothing to reach it by."""
    try:
        return open_device()
    except (DependencyError, EngineError):
        return None
