"""How long a GPU takes for windows: a roofline, whose numbers are a model's and not measured.

A call goes through four stations, each of which serves one call at a time, in order: the host's own
work, the copy to the device, the kernels, and the copy back. With two lanes, one call's copies go
on beside another's kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

from sgn_rt.audio.resample import SpanResampler
from sgn_rt.model.config import ModelConfig
from sgn_rt.streaming.windows import WindowLayout, place
from sgn_rt.tensorrt.roofline import Load, kernel_bytes, link_bytes


class Cost(NamedTuple):
    """Seconds of one window at each station, without what a call costs whatever is in it."""

    host: float
    up: float
    kernels: float
    down: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuModel:
    """What the service times are made of. Defaults: an H100, and how this package drives one.

    Attributes
    ----------
    network_windows
        Windows/s of the published network at the card's peak of arithmetic.
    efficiency
        Of that peak, what a good convolution net reaches (ResNet-50 in MLPerf: 0.35 to 0.42).
    memory
        Bytes/s of its memory that a copy kernel reaches.
    network_bytes
        Activations that the network moves for a window.
    link
        Bytes/s of the bus in each direction.
    launches, launch_s
        Kernels of a call, and the least time from one to the next: what a call costs however
        few windows are in it.
    host_s
        Of a window, the host's own work in Python, one thread at a time; 0 for a host that costs
        nothing.
    batch, lanes
        Most windows in a call, and most calls at a time.
    sources
        Categories of a stream.
    """

    network_windows: float = 287e3
    efficiency: float = 0.38
    memory: float = 3.0e12
    network_bytes: float = 12e6
    link: float = 50e9
    launches: int = 74
    launch_s: float = 3e-6
    host_s: float = 0.0
    batch: int = 8
    lanes: int = 2
    sources: int = 1

    @property
    def call_s(self) -> float:
        """Seconds of kernels that a call costs whatever is in it."""
        return self.launches * self.launch_s

    def cost(self, config: ModelConfig, layout: WindowLayout) -> Cost:
        """Of a window of a stream with this layout."""
        load = Load(config=config, sources=self.sources, heard=layout.step + layout.fade)
        up, down = link_bytes(load).values()
        arithmetic = 1.0 / (self.network_windows * self.efficiency)
        network = max(arithmetic, self.network_bytes / self.memory)
        kernels = network + sum(kernel_bytes(load).values()) / self.memory
        return Cost(self.host_s, up / self.link, kernels, down / self.link)

    def most_windows(self, cost: Cost) -> float:
        """Windows/s where every call is full: no number of streams gets more."""
        slowest = max(cost.host, cost.up, cost.kernels + self.call_s / self.batch, cost.down)
        return 1.0 / slowest


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Streams of one latency.

    Attributes
    ----------
    latency_s
        None for that of least cost.
    real_latency_s
        What it then is.
    step_s
        Seconds from one window to the next.
    stretch
        How many times longer the step is where look-ahead is given up (overload).
    cost
        Of a window.
    """

    latency_s: float | None
    real_latency_s: float
    step_s: float
    stretch: float
    cost: Cost

    @classmethod
    def of(
        cls, config: ModelConfig, model: GpuModel, latency_s: float | None, rate: int = 44_100
    ) -> Kind:
        """Streams of a latency at a sample rate."""
        context_s: Fraction = SpanResampler(rate, config.sample_rate).context_s
        layout, latency = place(config, rate, context_s, latency_s)
        return cls(
            latency_s=latency_s,
            real_latency_s=latency / rate,
            step_s=layout.step / config.sample_rate,
            stretch=layout.longer_step.step / layout.step,
            cost=model.cost(config, layout),
        )


class Service(Protocol):
    """What serves calls."""

    lanes: int
    batch: int
    busy_s: float
    """Of its kernels, so far."""

    def call(self, start_s: float, windows: Sequence[Cost]) -> float:
        """When a call that starts now is done."""
        ...


class Gpu:
    """A GPU of a model: four stations in a row.

    Parameters
    ----------
    model
        Its times.
    slow
        From when, until when, and how many times as long its kernels take: an engine in trouble.
    """

    def __init__(self, model: GpuModel, slow: tuple[float, float, float] | None = None) -> None:
        self.lanes, self.batch, self.busy_s = model.lanes, model.batch, 0.0
        self._call_s = model.call_s
        self._slow_from, self._slow_to, self._factor = slow or (0.0, 0.0, 1.0)
        self._host = self._up = self._kernels = self._down = 0.0

    def call(self, start_s: float, windows: Sequence[Cost]) -> float:
        """When a call that starts now is done."""
        kernels, host, up, down = self._call_s, 0.0, 0.0, 0.0
        for window in windows:
            host += window[0]
            up += window[1]
            kernels += window[2]
            down += window[3]
        if self._slow_from <= start_s < self._slow_to:
            kernels *= self._factor
        self.busy_s += kernels
        self._host = max(start_s, self._host) + host
        self._up = max(self._host, self._up) + up
        self._kernels = max(self._up, self._kernels) + kernels
        self._down = max(self._kernels, self._down) + down
        return self._down
