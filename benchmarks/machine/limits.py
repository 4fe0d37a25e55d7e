"""What bounds a row: one separation in its phases, beside what the machine does at most."""

from __future__ import annotations

from typing import Any

from sgn_rt.benchmarks.machine.bottleneck import ARITHMETIC, MEMORY, TRANSFER, Measured, words
from sgn_rt.benchmarks.machine.peaks import Peaks
from sgn_rt.benchmarks.machine.phases import NETWORK, Profile
from sgn_rt.benchmarks.machine.work import Work
from sgn_rt.benchmarks.result import Limits, Row
from sgn_rt.benchmarks.rows.competitors import COMPETITORS
from sgn_rt.engines.factory import runs_on_gpu
from sgn_rt.tensorrt import roofline


def on_gpu(name: str) -> bool:
    """Whether a row runs on a GPU."""
    return COMPETITORS[name].on_gpu if name in COMPETITORS else runs_on_gpu(name)


def on_cpu(work: Work | None, peaks: Peaks) -> dict[str, dict[str, Any]]:
    """Bounds of a window's network on the processors; nothing without a count of its work."""
    if work is None:
        return {}
    return {
        ARITHMETIC: {
            "need_s": work.flop / peaks.flops, "peak": peaks.flops, "unit": "FLOP/s",
            "work": work.flop, "how": peaks.how[ARITHMETIC],
        },
        MEMORY: {
            "need_s": work.bytes / peaks.bytes_per_s, "peak": peaks.bytes_per_s, "unit": "B/s",
            "work": work.bytes, "how": peaks.how[MEMORY],
        },
    }  # fmt: skip


def on_device(load: roofline.Load, gpu: roofline.Limits) -> dict[str, dict[str, Any]]:
    """Bounds of a window on a GPU, transforms alone: what each kernel moves, and the link.

    Its arithmetic is left out, as nothing here measures it.
    """
    found: dict[str, dict[str, Any]] = {}
    rate = gpu.copied or gpu.data_sheet
    if rate:
        moved = sum(roofline.kernel_bytes(load).values()) // load.batch
        how = "copy on the device" if gpu.copied else "memory clock and bus width"
        found[MEMORY] = {
            "need_s": moved / rate, "peak": rate, "unit": "B/s", "work": moved, "how": how,
        }  # fmt: skip
    if gpu.up and gpu.down:
        there, back = (size / load.batch for size in roofline.link_bytes(load).values())
        slower = max((there / gpu.up, gpu.up, there), (back / gpu.down, gpu.down, back))
        found[TRANSFER] = {
            "need_s": slower[0], "peak": slower[1], "unit": "B/s", "work": slower[2],
            "how": "copies to and from page-locked memory, both directions at once",
        }  # fmt: skip
    return found


def limits_of(
    row: Row, profile: Profile, windows: int, bounds: dict[str, dict[str, Any]]
) -> Limits:
    """Of a row, from one separation of so many windows, and its bounds."""
    gpu = on_gpu(row.name)
    per_window = profile.wall_s if gpu else profile.cpu_s[NETWORK] / profile.threads
    measured = Measured(
        shares=profile.shares, busy=profile.busy, idle=profile.idle,
        precision=row.precision, on_gpu=gpu,
        need_s={name: bound["need_s"] for name, bound in bounds.items()},
        took_s=per_window / max(1, windows),
    )  # fmt: skip
    roof = {name: {**bound, "took_s": measured.took_s} for name, bound in bounds.items()}
    return Limits(
        row=row.name, network=row.network, shares=dict(measured.shares), roofline=roof,
        words=words(measured),
    )  # fmt: skip
