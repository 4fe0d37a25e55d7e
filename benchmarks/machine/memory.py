"""Peak memory: of this process on the host, and on the GPUs while something runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sgn_rt.benchmarks.machine.nvml import Nvml

LOOK_S: Final = 0.02
"""From one look at the GPU's memory to the next."""


def peak_memory() -> int:
    """Bytes that this process has had resident at most."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            # Of this program alone: ru_maxrss on Linux counts what the parent had before exec, too.
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class DevicePeak:
    """Bytes on the GPUs beyond those in use at the start, at most so far; 0 without NVML."""

    def __init__(self, nvml: Nvml | str) -> None:
        self._nvml = nvml
        self._begin = 0 if isinstance(nvml, str) else nvml.used_bytes()
        self.bytes = 0

    def look(self) -> None:
        """Look once."""
        if not isinstance(self._nvml, str):
            self.bytes = max(self.bytes, self._nvml.used_bytes() - self._begin)


@contextmanager
def device_peak() -> Iterator[DevicePeak]:
    """Look at the GPUs' memory again and again, in a thread, until it is left."""
    nvml = Nvml.open()
    if isinstance(nvml, str):
        yield DevicePeak(nvml)
        return
    with nvml:
        peak, over = DevicePeak(nvml), threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_S):
                peak.look()

        thread = threading.Thread(target=watch, name="device memory", daemon=True)
        thread.start()
        try:
            yield peak
        finally:
            over.set()
            thread.join()
            peak.look()
