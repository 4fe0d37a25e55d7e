"""Live streams of a hub, fed as fast as the music sounds, and how late each block of them is.

Lateness is measured where the sound is read, for every block of every stream: from when the block
that makes samples due was fed, to when all of them could be read. A run ends as soon as it cannot
hold any more.
"""

from __future__ import annotations

import resource
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

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
MOST_LATE = 0.01
"""Of all blocks, that may be late: what the 99th percentile says."""
LOOK_S = 0.5
"""From one count of late blocks to the next."""
GROWTH = 1.05
"""Of memory, from after the first quarter to the end, that is none."""


class Listener:
    """Feeds one stream in time, and reads what comes of it."""

    def __init__(self, stream: HubStream, music: Float, begin_s: float) -> None:
        self._stream, self._music, self._begin_s = stream, music, begin_s
        self._block = round(BLOCK_S * stream.sample_rate)
        self.latency_s = stream.latency_samples / stream.sample_rate
        self._out = {n: np.empty((1, music.shape[1]), np.float32) for n in stream.categories}
        self._due: deque[tuple[int, float]] = deque()
        self.fed = self.got = 0
        self.late_s = array("d")  # not objects: it is measured whether memory grows
        self._counted = self._late = 0

    def feed(self, now: float) -> None:
        """Feed all blocks whose last sample has sounded by now."""
        while self._begin_s + (self.fed + self._block) / self._stream.sample_rate <= now:
            at = self.fed % (self._music.shape[1] - self._block)
            self._stream.feed(self._music[:, at : at + self._block])
            self.fed += self._block
            if self.fed > self._stream.latency_samples:
                self._due.append((self.fed - self._stream.latency_samples, now))

    def read(self, now: float) -> None:
        """Read what is there, and note how late it is; nothing is read before it is due."""
        if not self._due:
            return
        self.got += self._stream.read_into(self._out)
        while self._due and self._due[0][0] <= self.got:
            self.late_s.append(now - self._due.popleft()[1])

    def late(self, deadline_s: float, now: float) -> int:
        """Blocks that came later than allowed, or by now can only do so."""
        self._late += sum(late_s > deadline_s for late_s in self.late_s[self._counted :])
        self._counted = len(self.late_s)
        return self._late + sum(now - due_s > deadline_s for _, due_s in self._due)

    def end(self, now: float, *, whole: bool = True) -> None:
        """No more is fed: what is due and is not there counts as late as it is by now.

        ``whole`` where the rest is wanted, too, and has to be as long as what was fed.
        """
        self.late_s.extend(now - due_s for _, due_s in self._due)
        self._due.clear()
        if not whole:
            self._stream.abort()
            return
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
    stopped
        Why the run ended early, as it could not hold any more; empty where it did not.
    lateness_s
        Of blocks of all streams: median, 90th and 99th percentile, most; empty where none was due.
    cpu_share
        Of all processors that this process used.
    cpu_s_per_window
        Processor time of this process, the engine's and the hub's, for each window.
    memory_mib
        After the first quarter, and at the end.
    hub
        What the hub itself has counted.
    """

    streams: int
    refused: int
    seconds: float
    stopped: str
    lateness_s: dict[str, float]
    cpu_share: float
    cpu_s_per_window: float
    memory_mib: tuple[float, float]
    hub: dict[str, Any]

    def holds(self, deadline_s: float) -> bool:
        """Whether all were served in time."""
        served = not self.refused and not self.stopped and bool(self.lateness_s)
        return served and self.lateness_s["p99"] <= deadline_s

    @property
    def is_flat(self) -> bool:
        """Whether memory has not grown."""
        first, last = self.memory_mib
        return last <= GROWTH * first

    def line(self) -> str:
        """For people."""
        late = ", ".join(f"{name} {1e3 * value:.0f} ms" for name, value in self.lateness_s.items())
        own = ", ".join(f"{k} {1e3 * v:.0f} ms" for k, v in self.hub["lateness_s"].items())
        said = (
            f"{self.streams} streams ({self.refused} refused), {self.seconds:.0f} s: late {late}; "
            f"of windows, by the hub: {own}; {self.hub['late']} of {self.hub['windows']} late; "
            f"load {self.hub['load']:.0%} of {self.hub['capacity'] or 0.0:.1f} windows/s, "
            f"processors {self.cpu_share:.0%} ({1e3 * self.cpu_s_per_window:.1f} ms a window), "
            f"memory {self.memory_mib[0]:.0f} -> {self.memory_mib[1]:.0f} MiB"
        )
        return f"{said}; ended, as {self.stopped}" if self.stopped else said


def memory_mib() -> float:
    """What this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def music_at(rate: int, model_rate: int) -> Float:
    """A piece of the music that ships, shape = (1, samples), as the model hears it, at a rate."""
    mixture = load_music(None, model_rate)[0].mixture
    return np.asarray(soxr.resample(mixture, model_rate, rate), np.float32)[None]


def run(
    hub: Hub, music: Float, streams: int, seconds: float, deadline_s: float, **options: Any
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
        How long; less where it cannot hold any more.
    deadline_s
        How late a block may be.
    options
        Of `Hub.open`.
    """
    begin, used = time.perf_counter() + 0.1, time.process_time()
    listeners, stopped = _opened(hub, music, streams, begin, options)
    first_mib = 0.0
    now = look_s = time.perf_counter()
    while now < begin + seconds and not stopped:
        try:
            for listener in listeners:
                listener.feed(now)
                listener.read(time.perf_counter())
        except OverloadError as error:  # so far behind that there is no room for more
            stopped = str(error)
        if now > look_s + LOOK_S:
            look_s = now
            stopped = stopped or _hopeless(listeners, seconds, deadline_s, now)
        if not first_mib and now > begin + seconds / 4:
            first_mib = memory_mib()
        time.sleep(TICK_S)
        now = time.perf_counter()
    used_s, lasted_s = time.process_time() - used, max(0.0, now - begin)
    last_mib, stats = memory_mib(), hub.stats()
    for listener in listeners:
        listener.end(time.perf_counter(), whole=not stopped)
    return Outcome(
        streams=len(listeners),
        refused=streams - len(listeners),
        seconds=lasted_s,
        stopped=stopped,
        lateness_s=_percentiles(np.concatenate([[], *(each.late_s for each in listeners)])),
        cpu_share=used_s / (now - begin + 0.1) / available_cpus(),
        cpu_s_per_window=used_s / max(1, stats.windows),
        memory_mib=(first_mib or last_mib, last_mib),
        hub=HubStats.to_dict(stats),
    )


def _opened(
    hub: Hub, music: Float, streams: int, begin: float, options: dict[str, Any]
) -> tuple[list[Listener], str]:
    """As many streams as the hub takes, and why it takes no more."""
    listeners: list[Listener] = []
    for number in range(streams):
        try:
            stream = hub.open(**options)
        except OverloadError as error:
            return listeners, str(error)
        shift = number * music.shape[1] // streams
        at = begin + number / streams  # of a second: not all at the same moment
        listeners.append(Listener(stream, np.roll(music, shift, axis=1), at))
    return listeners, ""


def _hopeless(listeners: list[Listener], seconds: float, deadline_s: float, now: float) -> str:
    """Why the 99th percentile will be beyond the deadline, whatever comes; empty while it may not.

    Of blocks that are due until the end, and of those alone.
    """
    due = sum(max(0.0, seconds - each.latency_s) / BLOCK_S for each in listeners)
    late = sum(each.late(deadline_s, now) for each in listeners)
    if late <= MOST_LATE * due:
        return ""
    return f"{late} blocks are late already, and of {due:.0f} until the end 1 % may be"


def _percentiles(late_s: NDArray[np.float64]) -> dict[str, float]:
    if not late_s.size:
        return {}
    values = np.percentile(late_s, (50, 90, 99, 100)).tolist()
    return dict(zip(("p50", "p90", "p99", "max"), values, strict=True))


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
