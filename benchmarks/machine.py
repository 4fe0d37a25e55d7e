"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from sgn_rt import __version__
from sgn_rt._optional import installed_version
from sgn_rt._processors import available_cpus

PACKAGES = ("numpy", "scipy", "soxr", "soundfile", "onnxruntime", "openvino", "torch")


def cpu_model() -> str:
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe(threads: int) -> dict[str, Any]:
    """Machine and versions, as JSON types; ``load`` is the system's load average before the run."""
    return {
        "cpu": cpu_model(),
        "cpus": available_cpus(),
        "threads": threads,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "sgn-rt": __version__,
        "packages": {package: installed_version(package) for package in PACKAGES},
    }
