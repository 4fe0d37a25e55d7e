"""Live streams of a hub, fed as fast as the music sounds, and how late each block of them is.

Lateness is measured where the sound is read, for every block of every stream: from when the block
that makes samples due was fed, to when all of them could be read.
"""

from __future__ import annotations

import resource
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from sgn_rt._processors import available_cpus
from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import load_music
from sgn_rt.errors import OverloadError
from sgn_rt.streaming.hub.hub import Hub
from sgn_rt.streaming.hub.hub_stream import HubStream
from sgn_rt.streaming.hub.stats import HubStats

BLOCK_S = 0.02
"""Of music, fed at a time, as audio callbacks have it."""
TICK_S = 0.005
"""From one look for what can be read to the next: what lateness is rounded to."""
GROWTH = 1.05
"""Of memory, from after the first quarter to the end, that is none."""


class Listener:
    """Feeds one stream in time, and reads what comes of it."""

    def __init__(self, stream: HubStream, music: Float, begin_s: float) -> None:
        self._stream, self._music, self._begin_s = stream, music, begin_s
        self._block = round(BLOCK_S * stream.sample_rate)
        self._out = {n: np.empty((1, music.shape[1]), np.float32) for n in stream.categories}
        self._due: deque[tuple[int, float]] = deque()
        self.fed = self.got = 0
        self.late_s: list[float] = []

    def feed(self, now: float) -> None:
        """Feed all blocks whose last sample has sounded by now."""
        while self._begin_s + (self.fed + self._block) / self._stream.sample_rate <= now:
            at = self.fed % (self._music.shape[1] - self._block)
            self._stream.feed(self._music[:, at : at + self._block])
            self.fed += self._block
            if self.fed > self._stream.latency_samples:
                self._due.append((self.fed - self._stream.latency_samples, now))

    def read(self, now: float) -> None:
        """Read what is there, and note how late it is."""
        self.got += self._stream.read_into(self._out)
        while self._due and self._due[0][0] <= self.got:
            self.late_s.append(now - self._due.popleft()[1])

    def end(self, now: float) -> None:
        """No more is fed: what is due and is not there counts as late as it is by now."""
        self.late_s += [now - due_s for _, due_s in self._due]
        rest = self._stream.close()
        self.got += next(iter(rest.values())).shape[1]
        assert self.got == self.fed, f"{self.got} samples came out of {self.fed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run.

    Attributes
    ----------
    streams, refused
        That were open, and that the hub did not take.
    seconds
        Of music in each.
    lateness_s
        Of blocks of all streams: median, 90th and 99th percentile, most.
    cpu_share
        Of all processors that this process used.
    memory_mib
        After the first quarter, and at the end.
    hub
        What the hub itself has counted.
    """

    streams: int
    refused: int
    seconds: float
    lateness_s: dict[str, float]
    cpu_share: float
    memory_mib: tuple[float, float]
    hub: dict[str, Any]

    def holds(self, deadline_s: float) -> bool:
        """Whether all were served in time."""
        return not self.refused and self.lateness_s["p99"] <= deadline_s

    @property
    def is_flat(self) -> bool:
        """Whether memory has not grown."""
        first, last = self.memory_mib
        return last <= GROWTH * first

    def line(self) -> str:
        """For people."""
        late = ", ".join(f"{name} {1e3 * value:.0f} ms" for name, value in self.lateness_s.items())
        own = ", ".join(f"{k} {1e3 * v:.0f} ms" for k, v in self.hub["lateness_s"].items())
        return (
            f"{self.streams} streams ({self.refused} refused), {self.seconds:.0f} s: late {late}; "
            f"of windows, by the hub: {own}; {self.hub['late']} of {self.hub['windows']} late; "
            f"load {self.hub['load']:.0%} of {self.hub['capacity']:.1f} windows/s, processors "
            f"{self.cpu_share:.0%}, memory {self.memory_mib[0]:.0f} -> {self.memory_mib[1]:.0f} MiB"
        )


def memory_mib() -> float:
    """What this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def music_at(rate: int, model_rate: int) -> Float:
    """A piece of the music that ships, shape = (1, samples), as the model hears it, at a rate."""
    mixture = load_music(None, model_rate)[0].mixture
    return np.asarray(soxr.resample(mixture, model_rate, rate), np.float32)[None]


def run(
    hub: Hub,
    music: Float,
    streams: int,
    seconds: float,
    *,
    all_or_none: bool = False,
    **options: Any,
) -> Outcome:
    """Feed streams for a time, each begun at another moment of a window's step.

    Parameters
    ----------
    hub
        Opens them.
    music
        shape = (1, samples), float32, at the streams' rate; again and again.
    streams
        How many.
    seconds
        How long.
    all_or_none
        Whether nothing is run where the hub takes fewer; the lateness is infinite then.
    options
        Of `Hub.open`.
    """
    listeners: list[Listener] = []
    refused = 0
    begin, used = time.perf_counter() + 0.1, time.process_time()
    for number in range(streams):
        try:
            stream = hub.open(**options)
        except OverloadError:
            refused += 1
            if all_or_none:
                seconds = 0.0
                break
            continue
        shift = number * music.shape[1] // streams
        at = begin + number / streams  # of a second: not all at the same moment
        listeners.append(Listener(stream, np.roll(music, shift, axis=1), at))
    first_mib, now = 0.0, time.perf_counter()
    while now < begin + seconds:
        for listener in listeners:
            listener.feed(now)
            listener.read(time.perf_counter())
        if not first_mib and now > begin + seconds / 4:
            first_mib = memory_mib()
        time.sleep(TICK_S)
        now = time.perf_counter()
    share = (time.process_time() - used) / max(now - begin, TICK_S) / available_cpus()
    memory, stats = (first_mib, memory_mib()), hub.stats()
    for listener in listeners:
        listener.end(time.perf_counter())
    late = np.array([s for listener in listeners for s in listener.late_s], np.float32)
    return Outcome(
        streams=len(listeners),
        refused=refused,
        seconds=seconds,
        lateness_s=_percentiles(late),
        cpu_share=share,
        memory_mib=memory,
        hub=HubStats.to_dict(stats),
    )


def _percentiles(late_s: Float) -> dict[str, float]:
    values = np.percentile(late_s, (50, 90, 99, 100)) if len(late_s) else (float("inf"),) * 4
    return dict(zip(("p50", "p90", "p99", "max"), map(float, values), strict=True))


def largest(holds: Callable[[int], bool], start: int, most: int | None = None) -> int:
    """The largest number that holds, if more is never easier: doubled, then halved in between.

    Where ``most`` holds, that, and no larger one is tried.
    """
    low, high = 0, max(1, start if most is None else min(start, most))
    while holds(high):
        if high == most:
            return high
        low, high = high, 2 * high if most is None else min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
