"""How many processors this process may use: of the machine, and of what its container may take."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def available_cpus(root: Path = _ROOT) -> int:
    """Processors that this process may use: those it may run on, or fewer by a quota of their time.

    A container with a quota of two of 64 processors sees all of them; as many threads would wait
    for each other most of the time. Parts of a processor count as one.

    Parameters
    ----------
    root
        Of the file system, for tests.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, min(processors, math.ceil(min(_quotas(root), default=processors))))


def _quotas(root: Path) -> Iterator[float]:
    """Processors that each control group of this process leaves to it, where one is limited."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not on Linux
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        number, controllers, group = line.split(":", 2)
        if number == "0":
            bases = (mount, mount / "unified")
        elif "cpu" in controllers.split(","):
            bases = (mount / "cpu", mount / controllers)
        else:
            continue
        for base in bases:
            # In a container the group may be named as outside; then its own is the mount itself.
            folder = base / group.strip("/")
            while True:
                if (quota := _quota(folder)) is not None:
                    yield quota
                if folder in (base, folder.parent):
                    break
                folder = folder.parent


def _quota(folder: Path) -> float | None:
    """The quota of one control group, version 2 or 1; None for no limit, or none that is told."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no such group, "max", something else
        return None
