"""The process that `sgn_rt.benchmarks.scenarios.isolated` starts: one separation, measured."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

STARTED = time.monotonic()


def separate(task: dict[str, Any]) -> dict[str, Any]:
    """Open what is named, and separate a file to stems.

    An engine of the package is opened as users do, with its start-up probe.
    """
    times = [STARTED]
    # What is imported here is part of what is measured.
    from sgn_rt.benchmarks.machine.memory import device_peak, peak_memory
    from sgn_rt.engines.factory import runs_on_gpu
    from sgn_rt.separator import Separator

    name, threads = task["subject"], task["threads"]
    times.append(time.monotonic())
    with device_peak() as device:
        if task["is_engine"]:
            devices = task["devices"] if runs_on_gpu(name) else None
            opened = Separator.open(task["bundle"], name, "raise", threads=threads, device=devices)
        else:
            from sgn_rt.benchmarks.rows.subjects import open_subject, separator
            from sgn_rt.model.bundle import Bundle

            bundle = Bundle.open(task["bundle"])
            engine = open_subject(name, bundle, threads, Path(task["folder"]), task["devices"])
            opened = separator(engine, bundle, threads)
        with opened:
            times.append(time.monotonic())
            sizes = {"loaded": peak_memory()}
            opened.separate_to(task["recording"], task["out"], task["categories"])
            times.append(time.monotonic())
    sizes["peak"] = peak_memory()
    if device.bytes:
        sizes["device"] = device.bytes
    return {"times": times, "bytes": sizes}


if __name__ == "__main__":
    print(json.dumps(separate(json.loads(sys.argv[1]))))
