"""The process in which an engine is put to the generator, one run after the other.

Its argument is a task as `sgn_rt.benchmarks.loadgen.process.Child` makes it, a JSON object. It
opens the engine and proves it; then it answers one line of JSON for each that it reads: the pace
first, unasked. ``{"error": ...}`` is its last.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from sgn_rt._types import Float, Positions
from sgn_rt.benchmarks.harness import CALLS
from sgn_rt.benchmarks.loadgen.material import windows
from sgn_rt.benchmarks.loadgen.scenario import Pace, Run, generator
from sgn_rt.benchmarks.loadgen.sut import drive, failed
from sgn_rt.benchmarks.rows.subjects import open_subject, prove
from sgn_rt.engines.base import Engine
from sgn_rt.errors import EngineError, SgnError
from sgn_rt.model.bundle import Bundle

Answer = Callable[[dict[str, Any]], None]


def main(arguments: Sequence[str]) -> int:
    """Do a task; exit code 0 also where it ends with an error that has been told."""
    asked, answer = _asked(), _answers()
    try:
        _serve(json.loads(arguments[0]), asked, answer)
    except SgnError as error:
        answer({"error": str(error)})
    return 0


def _serve(task: dict[str, Any], asked: SimpleQueue[str], answer: Answer) -> None:
    generator()  # before anything that takes long
    bundle = Bundle.open(task["bundle"])
    engine = _proved(task, bundle)
    known = list(bundle.config.categories)
    categories = np.array([known.index(name) for name in task["categories"]], np.int64)
    sent = windows(bundle.config)
    answer(asdict(pace_of(engine, sent, categories)))

    def tell(error: Exception) -> None:
        # At once: the generator cannot be told to stop, and whoever hears of it ends this process.
        answer({"error": str(failed(engine.name, error))})

    while True:
        told = json.loads(asked.get())
        run, folder = Run.from_dict(told["run"]), Path(told["folder"])
        drive(engine, sent, categories, run, folder, tell)
        answer({})


def _proved(task: dict[str, Any], bundle: Bundle) -> Engine:
    name = task["subject"]
    engine = open_subject(
        name, bundle, task["threads"], Path(task["folder"]), devices=task["devices"]
    )
    subject = prove(name, engine, bundle)
    if subject.engine is None:
        raise EngineError(
            f"{name}: got {subject.failure}, expected parity before any time. "
            "See `sgn-rt parity` for every stage."
        )
    return subject.engine


def pace_of(engine: Engine, sent: Float, categories: Positions) -> Pace:
    """The pace of an engine, warm: repeated until it no longer becomes faster.

    Raises
    ------
    EngineError
        If it fails.
    """
    several = np.resize(sent, (engine.batch, sent.shape[1]))
    calls = 2 * engine.concurrency

    def work(given: Float) -> None:
        engine.separate(given, categories)

    alone: list[float] = []
    together: list[float] = []
    with ThreadPoolExecutor(engine.concurrency) as pool:
        while not CALLS.is_warm(together) and len(together) < CALLS.most:
            start = time.perf_counter()
            work(sent[:1])
            middle = time.perf_counter()
            list(pool.map(work, [several] * calls))
            together.append(time.perf_counter() - middle)
            alone.append(middle - start)
    latest = slice(-CALLS.few, None)
    rate = calls * len(several) / float(np.median(together[latest]))
    return Pace(rate=rate, latency_s=float(np.median(alone[latest])))


def _asked() -> SimpleQueue[str]:
    """Lines of stdin. At its end this process ends: who asked is gone, and would not end a hang."""
    lines: SimpleQueue[str] = SimpleQueue()

    file = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")  # Python's own it wants to close

    def read() -> None:
        for line in file:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _answers() -> Answer:
    """Writes answers to stdout; whatever else is printed there goes to stderr from now on."""
    file = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(told: dict[str, Any]) -> None:
        file.write(json.dumps(told) + "\n")
        file.flush()

    return answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
