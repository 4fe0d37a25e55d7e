"""What a window costs at least: bytes that each kernel moves, beside what the GPU at hand moves.

Counted from the code: what a kernel reads and writes, each element once. A cache may save some of
it, where a later kernel finds what an earlier one wrote; no kernel can be right with less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sgn_rt.model.config import ModelConfig
from sgn_rt.tensorrt.plugins.kernels import FilterTables

KERNELS: Final = (
    "framing", "forward FFT", "log magnitude", "masking", "inverse FFT", "overlap-add", "finish",
)  # fmt: skip
"""In the order in which a window meets them; the network lies between the third and the fourth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What windows are made of.

    Attributes
    ----------
    config
        Sizes.
    batch, sources
        Windows in a call, and sources of each.
    half
        Whether network input and masks are float16, not float32.
    heard
        Samples of each source that leave the device.
    sample_bytes
        Of each of those.
    """

    config: ModelConfig
    batch: int = 1
    sources: int = 1
    half: bool = True
    heard: int
    sample_bytes: int = 4

    @property
    def spectrum(self) -> int:
        """Bytes of a window's spectrum, or its frames in the same place."""
        return 8 * self.config.bins * self.config.frames

    @property
    def plane(self) -> int:
        """Bytes of the network's input, or of one mask."""
        return (2 if self.half else 4) * self.config.frequency_bins * self.config.frames

    @property
    def samples(self) -> int:
        """Bytes of a window's samples in float32."""
        return 4 * self.config.window_samples

    @property
    def heard_bytes(self) -> int:
        """Bytes of what leaves the device of one source."""
        return self.heard * self.sample_bytes


def kernel_bytes(load: Load) -> dict[str, int]:
    """Bytes that each kernel reads and writes for all windows of a call, by name."""
    per_source = {
        # The spectrum is read again for every source, from the L2 cache: it counts once a window.
        "masking": load.plane + load.spectrum,
        "inverse FFT": 2 * load.spectrum,
        "overlap-add": load.spectrum + load.samples,
        "finish": load.samples + load.heard_bytes,
    }
    found = {
        "framing": load.samples + load.spectrum,
        "forward FFT": 2 * load.spectrum,
        "log magnitude": load.spectrum + load.plane,
        **{name: load.sources * size for name, size in per_source.items()},
    }
    found["masking"] += load.spectrum
    return {name: load.batch * found[name] for name in KERNELS}


def resampler_bytes(filter_: FilterTables, *, rows: int, samples: int, count: int) -> int:
    """Bytes that sample-rate conversion reads and writes.

    Parameters
    ----------
    filter_
        Its tables, read once: they stay in the cache. Columns and places that no output meets are
        not; of columns between which coefficients lie, two an output at most.
    rows
        Channels or sources of all windows.
    samples, count
        Of a row, before and after.
    """
    taps, columns = filter_.coefficients.shape
    met = min(columns, 2 * count if filter_.interpolated else count)
    tables: int = 4 * taps * met + filter_.places.itemsize * min(filter_.up, count)
    return 4 * rows * (samples + count) + tables


def link_bytes(load: Load) -> dict[str, int]:
    """Bytes between host and device for all windows of a call: there, and back."""
    presence = 4 * len(load.config.categories)
    return {
        "to the device": load.batch * load.samples,
        "from the device": load.batch * (load.sources * load.heard_bytes + presence),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a GPU does at most.

    Attributes
    ----------
    data_sheet
        Bytes/s of its memory as its clock and bus width have it; None where they are not known.
    copied
        Bytes/s read and written by a copy on the device, measured: the yardstick.
    up, down
        Bytes/s to and from page-locked memory of the host, measured.
    """

    data_sheet: float | None = None
    copied: float | None = None
    up: float | None = None
    down: float | None = None


def memory_bandwidth(attributes: Mapping[str, int]) -> float | None:
    """Bytes/s by the driver's memory clock (kHz) and bus width (bits): two transfers a clock."""
    clock, width = attributes.get("MemoryClockRate"), attributes.get("GlobalMemoryBusWidth")
    return 2.0 * clock * 1e3 * width / 8 if clock and width else None


def rows(load: Load, limits: Limits, seconds: Mapping[str, float] | None = None) -> list[Any]:
    """The table: bytes of each kernel and of the link, the least time, and a measured one."""
    moved = kernel_bytes(load)
    rates: dict[str, float | None] = dict.fromkeys(moved, limits.copied or limits.data_sheet)
    moved |= link_bytes(load)
    rates |= {"to the device": limits.up, "from the device": limits.down}
    table = []
    for name, size in moved.items():
        row: dict[str, Any] = {"kernel": name, "MB": size / 1e6}
        rate = rates[name]
        if rate:
            row["least_us"] = 1e6 * size / rate
        if seconds and name in seconds:
            row |= {"us": 1e6 * seconds[name], "GB/s": size / seconds[name] / 1e9}
            if rate:
                row["of_limit"] = size / seconds[name] / rate
        table.append(row)
    return table


def windows_per_second(load: Load, limits: Limits) -> dict[str, float]:
    """How many windows memory and link allow at most, kernels one after the other."""
    found = {}
    rate = limits.copied or limits.data_sheet
    if rate:
        found["memory"] = load.batch * rate / sum(kernel_bytes(load).values())
    there, back = link_bytes(load).values()
    if limits.up and limits.down:
        # Both directions at once.
        found["link"] = load.batch / max(there / limits.up, back / limits.down)
    return found
