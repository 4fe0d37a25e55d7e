"""Where the time goes: the processor time of each phase of one separation."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import soundfile

from sgn_rt.audio.resample import SpanResampler
from sgn_rt.audio.writer import AudioWriter
from sgn_rt.engines.base import Engine, MaskEngine, WholeEngine
from sgn_rt.engines.several import SeveralEngines
from sgn_rt.model.transform import Transform
from sgn_rt.streaming.track import Track

DSP, NETWORK, COPIES, FILES, REST = "dsp", "network", "copies", "files", "rest"
KINDS: Final = (DSP, NETWORK, COPIES, FILES, REST)
_TASKS: Final = Path("/proc/self/task")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where one separation spent its time.

    Attributes
    ----------
    wall_s
        From start to end.
    cpu_s
        Each of `KINDS` -> processor seconds, summed over threads. Of an engine that goes from sound
        to sound in one piece, ``network`` has its transforms, too.
    threads
        Processors that it might use.
    idle
        Part of all processors' time that nobody used meanwhile, 0 to 1; None where the system does
        not tell.
    """

    wall_s: float
    cpu_s: dict[str, float]
    threads: int
    idle: float | None = None

    @property
    def busy(self) -> float:
        """Part of the processors' time that was used, 0 to 1; what is missing was spent waiting."""
        return min(1.0, sum(self.cpu_s.values()) / (self.wall_s * self.threads))

    @property
    def shares(self) -> dict[str, float]:
        """Part of the processor time that each of `KINDS` took, 0 to 1."""
        total = sum(self.cpu_s.values())
        return {kind: seconds / total if total else 0.0 for kind, seconds in self.cpu_s.items()}


def _phases(engine: Engine) -> list[tuple[str, type, str]]:
    owner = type(
        next(iter(engine.engines.values())) if isinstance(engine, SeveralEngines) else engine
    )
    if issubclass(owner, WholeEngine):
        work = {"_separate": NETWORK}
    elif issubclass(owner, MaskEngine):
        work = {"_network": NETWORK, "_synthesize": DSP}
    else:  # of a GPU: all that the host does for it
        work = dict.fromkeys(("_analyze", "_synthesize", "answer"), NETWORK)
    return [
        *((kind, owner, name) for name, kind in work.items()),
        (FILES, soundfile.SoundFile, "read"),
        (DSP, Transform, "stft"),
        (DSP, Transform, "log_magnitude"),
        (DSP, SpanResampler, "__call__"),
        (COPIES, Track, "join"),
        (FILES, AudioWriter, "write"),
    ]


class _Meter:
    """Processor seconds by kind; of calls within calls, each has its own."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._inner = threading.local()

    def timed(self, kind: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **keywords: Any) -> Any:
            outer = getattr(self._inner, "seconds", 0.0)
            self._inner.seconds = 0.0
            start = time.thread_time()
            try:
                return work(*args, **keywords)
            finally:
                took = time.thread_time() - start
                with self._lock:
                    self.cpu_s[kind] += took - self._inner.seconds
                self._inner.seconds = outer + took

        return run


@contextmanager
def _metered(engine: Engine) -> Iterator[_Meter]:
    meter = _Meter()
    with ExitStack() as stack:
        for kind, owner, name in _phases(engine):
            timed = meter.timed(kind, getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, timed))
        yield meter


def _engine_threads_s() -> float:
    """Processor seconds of threads that are not Python's: those that an engine computes in."""
    if not _TASKS.is_dir():
        return 0.0
    own = {str(thread.native_id) for thread in threading.enumerate()}
    ticks = 0
    for task in _TASKS.iterdir():
        try:
            # Behind the name, which may hold anything but ends with the last parenthesis.
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        ticks += 0 if task.name in own else int(fields[11]) + int(fields[12])
    return ticks / float(os.sysconf("SC_CLK_TCK"))


def _processors(root: Path = Path("/")) -> tuple[int, int] | None:
    """Ticks of all processors so far: idle ones, and all."""
    try:
        first = (root / "proc/stat").read_text(encoding="ascii").splitlines()[0]
    except (OSError, IndexError):
        return None
    ticks = [int(field) for field in first.split()[1:9]]  # what guests take is in these already
    return ticks[3] + ticks[4], sum(ticks)


def _idle(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None or after[1] == before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def profile(engine: Engine, run: Callable[[], object], threads: int) -> Profile:
    """Run a separation on ``engine`` once, with its phases timed."""
    with _metered(engine) as meter:
        everyone = _processors()
        foreign, wall, cpu = _engine_threads_s(), time.perf_counter(), time.process_time()
        run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        idle = _idle(everyone, _processors())
        foreign = max(0.0, _engine_threads_s() - foreign)
    seconds = {kind: meter.cpu_s.get(kind, 0.0) for kind in KINDS}
    seconds[NETWORK] += min(foreign, max(0.0, cpu - sum(seconds.values())))
    seconds[REST] = max(0.0, cpu - sum(seconds.values()))
    return Profile(wall_s=wall, cpu_s=seconds, threads=threads, idle=idle)
