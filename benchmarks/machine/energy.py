"""Energy that a run takes: of GPUs by NVML, of processors by RAPL, each where it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sgn_rt.benchmarks.machine.nvml import Nvml

_POWERCAP: Final = Path("/sys/class/powercap")
CPU, GPU = "CPU", "GPU"


class Rapl:
    """Counters of the processors' packages, in the power-capping framework of Linux."""

    def __init__(self, root: Path = _POWERCAP) -> None:
        # intel-rapl:0 is a package; intel-rapl:0:1 a part of it, which it counts already.
        zones = sorted(root.glob("intel-rapl:*")) if root.is_dir() else []
        packages = [zone for zone in zones if zone.name.count(":") == 1]
        self._zones = [zone for zone in packages if self._read(zone / "energy_uj") is not None]

    @property
    def tells(self) -> bool:
        """Whether there is one that this user may read."""
        return bool(self._zones)

    def microjoules(self) -> list[int]:
        """What each package has counted; it begins again at its range's end."""
        return [self._read(zone / "energy_uj") or 0 for zone in self._zones]

    def between(self, before: list[int], after: list[int]) -> float:
        """Joules, of all packages; a counter that began again has done so once."""
        total = 0
        for zone, first, last in zip(self._zones, before, after, strict=True):
            span = self._read(zone / "max_energy_range_uj") or 0
            total += last - first if last >= first else last - first + span
        return total / 1e6

    @staticmethod
    def _read(path: Path) -> int | None:
        try:
            return int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):  # root alone may read it on most machines
            return None


class EnergyMeter:
    """Measures what a piece of work takes.

    Parameters
    ----------
    rapl, nvml
        Where figures come from; NVML, or why there is none.
    """

    def __init__(self, rapl: Rapl, nvml: Nvml | str) -> None:
        self._rapl = rapl
        self._nvml = None if isinstance(nvml, str) or nvml.joules() is None else nvml

    @classmethod
    @contextmanager
    def here(cls) -> Iterator[EnergyMeter]:
        """Of this machine."""
        nvml = Nvml.open()
        try:
            yield cls(Rapl(), nvml)
        finally:
            if not isinstance(nvml, str):
                nvml.close()

    @property
    def sources(self) -> tuple[str, ...]:
        """What is measured here: `CPU`, `GPU`, both or nothing."""
        return (CPU,) * self._rapl.tells + (GPU,) * (self._nvml is not None)

    def measure(self, run: Callable[[], object]) -> dict[str, float]:
        """Run it once; joules of each source, of the whole machine meanwhile."""
        cpu, gpu = self._rapl.microjoules(), self._gpu()
        run()
        found = {CPU: self._rapl.between(cpu, self._rapl.microjoules()), GPU: self._gpu() - gpu}
        return {source: found[source] for source in self.sources}

    def _gpu(self) -> float:
        return 0.0 if self._nvml is None else self._nvml.joules() or 0.0


class Metered:
    """Work that notes what each of its runs took, and is else the same."""

    def __init__(self, run: Callable[[], object], meter: EnergyMeter | None) -> None:
        self._run, self._meter = run, meter
        self._runs: list[dict[str, float]] = []

    def __call__(self) -> None:
        if self._meter is None or not self._meter.sources:
            self._run()
        else:
            self._runs.append(self._meter.measure(self._run))

    def joules(self, latest: int) -> dict[str, list[float]]:
        """Source -> joules of each of the latest runs; nothing where nothing is told."""
        runs = self._runs[-latest:]
        return {source: [run[source] for run in runs] for source in (runs[0] if runs else ())}
