"""Peak memory and cold start: each figure from a process of its own, that ends with it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgn_rt.errors import EngineError


def peak_memory() -> int:
    """Bytes that this process has had resident at most."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            # Of this program alone: ru_maxrss on Linux counts what the parent had before exec, too.
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _separate(task: dict[str, Any]) -> dict[str, Any]:
    from sgn_rt.benchmarks.rows.subjects import open_subject, separator
    from sgn_rt.model.bundle import Bundle

    bundle = Bundle.open(task["bundle"])
    folder = Path(task["folder"])
    engine = open_subject(task["subject"], bundle, task["threads"], folder, devices=task["devices"])
    loaded = peak_memory()
    with separator(engine, bundle, task["threads"]) as opened:
        start = time.perf_counter()
        opened.separate_to(
            task["recording"], folder / "memory", opened.categories if task["all"] else None
        )
        seconds = time.perf_counter() - start
    return {"loaded": loaded, "peak": peak_memory(), "seconds": seconds}


def _cold_start(task: dict[str, Any]) -> dict[str, Any]:
    times = [time.monotonic()]
    from sgn_rt.engines.factory import runs_on_gpu
    from sgn_rt.separator import Separator

    device = task["devices"] if runs_on_gpu(task["subject"]) else None
    times.append(time.monotonic())
    with Separator.open(
        task["bundle"], task["subject"], threads=task["threads"], device=device
    ) as opened:
        times.append(time.monotonic())
        window = opened.bundle.probe.mixture[:1]
        opened.separate(window, opened.categories, sample_rate=opened.config.sample_rate)
    times.append(time.monotonic())
    return {"times": times, "peak": peak_memory()}


_TASKS = {"separate": _separate, "cold-start": _cold_start}


def _run(task: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        # -P: of the installed package, not of a checkout that happens to be the working folder.
        [sys.executable, "-P", "-m", "sgn_rt.benchmarks.isolated", json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(
            f"{task['subject']}: got exit code {done.returncode} ({last}), expected a figure. "
            "Run it with `sgn-rt separate` to see what is wrong."
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def memory(
    subject: str,
    bundle: Path,
    recording: Path,
    *,
    threads: int,
    folder: Path,
    named: bool,
    devices: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Peak memory of separating a file to disk: all categories named, or those present found.

    Returns
    -------
    dict
        ``loaded`` and ``peak``, bytes: with the engine open, and at most; ``seconds`` it took.

    Raises
    ------
    EngineError
        If the process fails.
    """
    return _run(
        {
            "task": "separate",
            "subject": subject,
            "bundle": str(bundle),
            "recording": str(recording),
            "threads": threads,
            "folder": str(folder),
            "all": named,
            "devices": devices,
        }
    )


def cold_start(
    subject: str, bundle: Path, *, threads: int, devices: Sequence[int] | None = None
) -> dict[str, float]:
    """Seconds from nothing to the first window, the start-up probe included; files are cached.

    Returns
    -------
    dict
        ``interpreter`` (Python's own start), ``import``, ``open``, ``first_window``; ``total``.

    Raises
    ------
    EngineError
        If the process fails.
    """
    start = time.monotonic()
    task = {
        "task": "cold-start", "subject": subject, "bundle": str(bundle), "threads": threads,
        "devices": devices,
    }  # fmt: skip
    times = _run(task)["times"]
    names = ("interpreter", "import", "open", "first_window")
    steps = zip(names, [start, *times], times, strict=False)
    return {name: after - before for name, before, after in steps} | {"total": times[-1] - start}


def main(arguments: Sequence[str]) -> None:
    """Do one task, a JSON object, and print its result as the last line."""
    task = json.loads(arguments[0])
    print(json.dumps(_TASKS[task["task"]](task)))


if __name__ == "__main__":
    main(sys.argv[1:])
