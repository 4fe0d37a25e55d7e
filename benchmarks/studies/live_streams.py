"""How many live streams a machine holds: a hub fed as fast as the music sounds, and how late it is.

``python -P -m sgn_rt.benchmarks.studies.live_streams`` runs 16 streams of 1 s latency for 10
minutes and exits with 1 where the 99th percentile of lateness is beyond the deadline, a stream was
refused, or memory has grown. ``--most`` looks for the largest number that holds, in shorter runs.

Lateness is measured where the sound is read, for every block of every stream: from when the block
that makes samples due was fed, to when all of them could be read.
"""

from __future__ import annotations

import json
import resource
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import soxr

from sgn_rt._processors import available_cpus
from sgn_rt._types import Float
from sgn_rt.audio.labelled_music import load_music
from sgn_rt.benchmarks.machine import describe
from sgn_rt.errors import OverloadError
from sgn_rt.separator import Separator
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
        Of blocks of all streams: median, 99th percentile, most.
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


def run(hub: Hub, music: Float, streams: int, seconds: float, **options: Any) -> Outcome:
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
    share = (time.process_time() - used) / (now - begin) / available_cpus()
    memory, stats = (first_mib, memory_mib()), hub.stats()
    for listener in listeners:
        listener.end(time.perf_counter())
    late = np.concatenate([listener.late_s for listener in listeners])
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
    values = np.percentile(late_s, (50, 99, 100)) if len(late_s) else (float("inf"),) * 3
    return dict(zip(("p50", "p99", "max"), map(float, values), strict=True))


def largest(holds: Any, start: int) -> int:
    """The largest number that holds, if more is never easier: doubled, then halved in between."""
    low, high = 0, max(1, start)
    while holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


@click.command()
@click.option("--streams", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--latency", "latency_s", type=float, default=1.0, show_default=True,
              help="Of each stream, seconds.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(min=0.0, min_open=True), default=10.0,
              show_default=True, help="Of music in each.")  # fmt: skip
@click.option("--deadline", "deadline_s", type=float, default=0.2, show_default=True,
              help="How late a window may be, seconds.")  # fmt: skip
@click.option("--rate", type=int, default=44_100, show_default=True, help="Of the streams, Hz.")
@click.option("--category", default="piano", show_default=True)
@click.option("--bundle", type=click.Path(path_type=Path), help="The model; that which ships.")
@click.option("--engine", default="auto", show_default=True)
@click.option("--most", is_flag=True, help="Find the largest number that holds; --minutes of each.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write figures.")
def main(
    streams: int,
    latency_s: float,
    minutes: float,
    deadline_s: float,
    rate: int,
    category: str,
    bundle: Path | None,
    engine: str,
    most: bool,
    json_path: Path | None,
) -> None:
    """Measure how late live streams of one hub are on this machine."""
    outcomes: list[Outcome] = []
    with Separator.open(bundle, engine) as separator:
        model_rate = separator.config.sample_rate
        mixture = load_music(None, model_rate)[0].mixture
        music = np.asarray(soxr.resample(mixture, model_rate, rate), np.float32)[None]
        click.echo(f"{describe(available_cpus())}; {separator.engine.name}")

        def attempt(number: int) -> bool:
            with separator.hub(deadline_s=deadline_s, share=1.0) as hub:
                outcome = run(
                    hub, music, number, 60.0 * minutes,
                    sample_rate=rate, categories=[category], latency_s=latency_s,
                )  # fmt: skip
            outcomes.append(outcome)
            click.echo(outcome.line())
            return outcome.holds(deadline_s)

        if most:
            found = largest(attempt, streams)
            click.echo(f"the most streams in time: {found}")
        is_well = most or (attempt(streams) and outcomes[-1].is_flat)
    if json_path is not None:
        machine = describe(available_cpus())
        found_by = {"machine": machine, "runs": [asdict(outcome) for outcome in outcomes]}
        json_path.write_text(json.dumps(found_by, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    main()
