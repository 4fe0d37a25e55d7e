"""What checks need of CUDA beyond the device layer: times by events, and attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from sgn_rt._optional import require
from sgn_rt.errors import EngineError
from sgn_rt.tensorrt.device.protocol import Stream

ROUNDS: Final = 5
"""Rounds of which the median counts."""


class Cuda(Protocol):
    """CUDA, with the device current."""

    def seconds(self, stream: Stream, work: Callable[[], None], repeats: int) -> float:
        """What ``work``, which gives the stream something, takes it once: median of `ROUNDS`."""
        ...

    def attributes(self, names: Sequence[str]) -> dict[str, int]:
        """Those of ``cudaDeviceAttr`` that there are, by name without its prefix."""
        ...


class CudaRuntime:
    """CUDA's runtime through cuda-python.

    Raises
    ------
    DependencyError
        If it is not installed.
    """

    def __init__(self, module: Any = None) -> None:
        self._module = module or require(
            "cuda.bindings.runtime", extra="tensorrt", purpose="timing by events"
        )

    def seconds(self, stream: Stream, work: Callable[[], None], repeats: int) -> float:
        """As `Cuda.seconds`; the first run is not counted."""
        start, end = self._call("cudaEventCreate"), self._call("cudaEventCreate")
        try:
            work()
            taken = []
            for _ in range(ROUNDS):
                self._call("cudaEventRecord", start, stream.handle)
                for _ in range(repeats):
                    work()
                self._call("cudaEventRecord", end, stream.handle)
                self._call("cudaEventSynchronize", end)
                taken.append(self._call("cudaEventElapsedTime", start, end) / 1e3 / repeats)
            return float(sorted(taken)[ROUNDS // 2])
        finally:
            for event in (start, end):
                self._module.cudaEventDestroy(event)

    def attributes(self, names: Sequence[str]) -> dict[str, int]:
        """As `Cuda.attributes`; versions of CUDA differ in what they have."""
        ordinal, found = self._call("cudaGetDevice"), {}
        for name in names:
            attribute = getattr(self._module.cudaDeviceAttr, f"cudaDevAttr{name}", None)
            if attribute is None:
                continue
            status, value = self._module.cudaDeviceGetAttribute(attribute, ordinal)
            if int(status) == 0:
                found[name] = int(value)
        return found

    def _call(self, function: str, *arguments: Any) -> Any:
        status, *results = getattr(self._module, function)(*arguments)
        if int(status) != 0:
            raise EngineError(
                f"{function}: got {status}, expected success. Check `nvidia-smi` for the GPU."
            )
        return results[0] if results else None
