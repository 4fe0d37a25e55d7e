"""The bottleneck in words, by a small rule from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sgn_rt.benchmarks.machine.phases import COPIES, DSP, FILES, NETWORK, REST

IDLE: Final = 0.6
"""Part of the processors' time in use below which waiting is what limits."""
FREE: Final = 0.1
"""Part of the whole machine's time that nobody used below which who waits waits for others."""
NEAR: Final = 0.5
"""Part of a bound from which the bound is what limits."""
_KINDS: Final = {
    NETWORK: "the network",
    DSP: "transforms, masks and resampling",
    COPIES: "joining and copying samples",
    FILES: "reading and writing files",
    REST: "what lies around it (Python, threads, memory)",
}
ARITHMETIC, MEMORY, TRANSFER = "arithmetic", "memory", "transfer"
BOUNDS: Final = (ARITHMETIC, MEMORY, TRANSFER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the words are made of.

    Attributes
    ----------
    shares
        Kind -> part of the processor time, 0 to 1.
    busy
        Part of the processors' time that was used, 0 to 1.
    need_s
        Bound -> least seconds of a window's network by it, on everything that the row may use.
    took_s
        Seconds of a window's network, as if it had all of that to itself.
    idle
        Part of all processors' time that nobody used, 0 to 1; None where it is not known.
    precision
        Of the network's products.
    on_gpu
        Whether the network runs on a GPU.
    """

    shares: Mapping[str, float]
    busy: float
    need_s: Mapping[str, float] = field(default_factory=dict)
    took_s: float
    idle: float | None = None
    precision: str = "fp32"
    on_gpu: bool = False


def words(measured: Measured) -> str:
    """One sentence or two."""
    return _of_gpu(measured) if measured.on_gpu else _of_cpu(measured)


def _of_cpu(measured: Measured) -> str:
    (first, share), (second, next_share), *_ = sorted(
        measured.shares.items(), key=lambda item: -item[1]
    )
    found = f"{_KINDS[first]} with {share:.0%} of the processor time"
    after = f"; next {_KINDS[second]} ({next_share:.0%})" if next_share else ""
    if measured.busy < IDLE and measured.idle is not None and measured.idle < FREE:
        return (
            f"Other programs: they left it {measured.busy:.0%} of the processors, of which most "
            f"went to {found}{after}. Measure again on a quiet machine."
        )
    if measured.busy < IDLE:
        return (
            f"Waiting: the processors were busy {measured.busy:.0%} of the time. "
            f"Of what they did, most was {found}{after}."
        )
    if first != NETWORK:
        return f"{found[0].upper()}{found[1:]}{after}."
    return f"The network{found.removeprefix(_KINDS[NETWORK])}{after}. {_bound(measured)}"


def _bound(measured: Measured) -> str:
    """What the network itself is near to."""
    if not measured.need_s or not measured.took_s:
        return "How near it is to what the machine can do was not measured."
    of = {name: need / measured.took_s for name, need in measured.need_s.items()}
    name = max(of, key=lambda bound: of[bound])
    yardstick = {
        ARITHMETIC: "the rate of a float32 matrix product on the same threads",
        MEMORY: "the rate at which the same threads copy memory",
        TRANSFER: "the rate of the link between host and GPU",
    }[name]
    if of[name] >= 1 and name == ARITHMETIC and measured.precision != "fp32":
        return f"It computes in {measured.precision}, at {of[name]:.1f} times {yardstick}."
    if of[name] < NEAR:
        return (
            f"It is near no bound: {of[name]:.0%} of {yardstick} is the nearest, so most of it is "
            "overhead between products."
        )
    return f"It is bound by {name}: it runs at {of[name]:.0%} of {yardstick}."


def _of_gpu(measured: Measured) -> str:
    if measured.busy > 1 - (1 - IDLE) / 2:
        (first, share), *_ = sorted(measured.shares.items(), key=lambda item: -item[1])
        return (
            f"The host: its processors were busy {measured.busy:.0%} of the time, mostly with "
            f"{_KINDS[first]} ({share:.0%}); the GPU waits for them."
        )
    return f"The GPU, or waiting for it: the host was busy {measured.busy:.0%}. {_bound(measured)}"
