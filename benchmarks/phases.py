"""What limits it: the processor time of each phase of one separation."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from unittest import mock

import soundfile

from sgn_rt.audio.resample import SpanResampler
from sgn_rt.audio.writer import AudioWriter
from sgn_rt.engines.base import Engine, MaskEngine
from sgn_rt.model.transform import Transform

REST = "joining, copies, the rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where one separation spent its time.

    Attributes
    ----------
    wall_s
        From start to end.
    cpu_s
        Phase -> processor seconds, summed over threads, the most first.
    threads
        Processors that it might use.
    """

    wall_s: float
    cpu_s: dict[str, float]
    threads: int

    @property
    def busy(self) -> float:
        """Part of the processors' time that was used, 0 to 1; what is missing was spent waiting."""
        return sum(self.cpu_s.values()) / (self.wall_s * self.threads)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self) | {"busy": self.busy}


def _phases(engine: Engine) -> list[tuple[str, type, str]]:
    work = "_network" if isinstance(engine, MaskEngine) else "_separate"
    return [
        ("reading", soundfile.SoundFile, "read"),
        ("STFT and logarithm", Transform, "stft"),
        ("STFT and logarithm", Transform, "log_magnitude"),
        ("network" if work == "_network" else "network and transforms", type(engine), work),
        ("masks and inverse STFT", type(engine), "_synthesize"),
        ("resampling", SpanResampler, "__call__"),
        ("writing", AudioWriter, "write"),
    ]


class _Meter:
    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def timed(self, phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **keywords: Any) -> Any:
            start = time.thread_time()
            try:
                return work(*args, **keywords)
            finally:
                with self._lock:
                    self.cpu_s[phase] += time.thread_time() - start

        return run


@contextmanager
def _metered(engine: Engine) -> Iterator[_Meter]:
    meter = _Meter()
    with ExitStack() as stack:
        for phase, owner, name in _phases(engine):
            timed = meter.timed(phase, getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, timed))
        yield meter


def profile(engine: Engine, run: Callable[[], object], threads: int) -> Profile:
    """Run a separation on ``engine`` once, with its phases timed.

    Processor time of engines that compute in threads of their own counts as `REST`.
    """
    with _metered(engine) as meter:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    phases = dict(meter.cpu_s)
    phases[REST] = max(0.0, cpu - sum(phases.values()))
    ordered = dict(sorted(phases.items(), key=lambda item: -item[1]))
    return Profile(wall_s=wall, cpu_s=ordered, threads=threads)
