"""What NVIDIA's management library tells of the GPUs: facts, energy and memory in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sgn_rt._optional import require
from sgn_rt._process import Closes
from sgn_rt.errors import DependencyError


class Nvml(Closes):
    """The library, from `open` until ``close``; also a context manager.

    Parameters
    ----------
    library
        The module ``pynvml``, initialised.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        count = library.nvmlDeviceGetCount()
        self._handles = [library.nvmlDeviceGetHandleByIndex(number) for number in range(count)]

    @classmethod
    def open(cls) -> Nvml | str:
        """The library, or why it says nothing."""
        try:
            library: Any = require("pynvml", extra="bench", purpose="what a GPU's driver tells")
        except DependencyError as error:
            return str(error)
        try:
            library.nvmlInit()
        except library.NVMLError as error:
            return f"NVML: {error}"
        return cls(library)

    def close(self) -> None:
        """Let go of it."""
        self._library.nvmlShutdown()

    def gpus(self) -> list[dict[str, Any]]:
        """Facts of every GPU: clocks in MHz, power in W, memory in bytes, temperature in C."""
        driver = self._told(self._library.nvmlSystemGetDriverVersion)
        return [{"driver": driver, **self._facts(handle)} for handle in self._handles]

    def _facts(self, handle: Any) -> dict[str, Any]:
        lib = self._library
        sm, memory = lib.NVML_CLOCK_SM, lib.NVML_CLOCK_MEM
        limit = self._told(lib.nvmlDeviceGetPowerManagementLimit, handle)
        room = self._told(lib.nvmlDeviceGetMemoryInfo, handle)
        return {
            "name": self._told(lib.nvmlDeviceGetName, handle),
            "memory_bytes": None if room is None else int(room.total),
            "power_limit_w": None if limit is None else limit / 1e3,
            "sm_mhz": self._told(lib.nvmlDeviceGetClockInfo, handle, sm),
            "sm_max_mhz": self._told(lib.nvmlDeviceGetMaxClockInfo, handle, sm),
            "memory_mhz": self._told(lib.nvmlDeviceGetClockInfo, handle, memory),
            "memory_max_mhz": self._told(lib.nvmlDeviceGetMaxClockInfo, handle, memory),
            "temperature_c": self._told(
                lib.nvmlDeviceGetTemperature, handle, lib.NVML_TEMPERATURE_GPU
            ),
        }

    def joules(self) -> float | None:
        """Energy that all GPUs have taken since the driver was loaded; None where it is not told.

        Of Volta and later.
        """
        told = [self._told(self._library.nvmlDeviceGetTotalEnergyConsumption, h)
                for h in self._handles]  # fmt: skip
        return None if not told or None in told else sum(told) / 1e3

    def used_bytes(self) -> int:
        """Memory in use now on all GPUs, whoever uses it."""
        rooms = [self._told(self._library.nvmlDeviceGetMemoryInfo, h) for h in self._handles]
        return sum(int(room.used) for room in rooms if room is not None)

    def _told(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        """An answer, None where this GPU has none."""
        try:
            return ask(*arguments)
        except self._library.NVMLError:
            return None
