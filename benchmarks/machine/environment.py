"""What the figures were taken on, in full."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any, Final

import sgn_rt
from sgn_rt import __version__
from sgn_rt._optional import installed_version
from sgn_rt._processors import available_cpus
from sgn_rt.benchmarks.machine.nvml import Nvml

PACKAGES: Final = (
    "numpy", "scipy", "soxr", "soundfile", "onnxruntime", "onnxruntime-gpu", "onnx", "onnxscript",
    "openvino", "torch", "torch-tensorrt", "tensorrt", "tensorrt-cu12", "tensorrt-rtx-cu13",
    "cuda-python", "nvidia-cufft", "mlcommons-loadgen", "nvidia-ml-py",
)  # fmt: skip
"""Whose version may change a figure."""
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "KMP_AFFINITY", "OMP_PROC_BIND",
)  # fmt: skip
"""Which libraries read to choose their threads."""
_ROOT: Final = Path("/")


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _field(text: str | None, name: str) -> str | None:
    """The first value of a file of lines ``name : value``."""
    for line in (text or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def cpu_model(root: Path = _ROOT) -> str:
    """The processor's name as the system tells it."""
    told = _field(_line(root / "proc/cpuinfo"), "model name")
    return told or platform.processor() or platform.machine()


def cpu_facts(root: Path = _ROOT) -> dict[str, Any]:
    """Clocks in MHz, caches and sizes as the system tells them; None for what it does not."""
    cpu = root / "sys/devices/system/cpu"
    caches = {}
    for index in sorted((cpu / "cpu0/cache").glob("index*")):
        level, kind = _line(index / "level"), _line(index / "type")
        if level and kind and kind != "Instruction":
            caches[f"L{level}"] = _line(index / "size")
    clock = _field(_line(root / "proc/cpuinfo"), "cpu MHz")
    highest = _line(cpu / "cpu0/cpufreq/cpuinfo_max_freq")
    nodes = list((root / "sys/devices/system/node").glob("node[0-9]*"))
    return {
        "mhz": float(clock) if clock else None,
        "max_mhz": int(highest) / 1e3 if highest else None,
        "governor": _line(cpu / "cpu0/cpufreq/scaling_governor"),
        "boost": _line(cpu / "cpufreq/boost"),
        "smt": _line(cpu / "smt/active"),
        "numa_nodes": len(nodes) or None,
        "caches": caches,
    }


def memory_bytes(root: Path = _ROOT) -> int | None:
    """Of the machine; None where it is not told."""
    told = _field(_line(root / "proc/meminfo"), "MemTotal")
    return int(told.split()[0]) * 1024 if told else None


def last_level_cache(root: Path = _ROOT) -> int | None:
    """Bytes; None where it is not told."""
    sizes = [size for size in cpu_facts(root)["caches"].values() if size and size.endswith("K")]
    return max((int(size[:-1]) * 1024 for size in sizes), default=None)


def commit(folder: Path | None = None) -> str | None:
    """Of the checkout that the package lies in, with ``+`` where it is changed; None in others."""
    where = Path(sgn_rt.__file__).parent if folder is None else folder
    try:
        inside = _git(where, "ls-files", "--error-unmatch", "__init__.py")
        found = _git(where, "rev-parse", "HEAD")
        changed = _git(where, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{found}{'+' if changed else ''}" if inside else None


def _git(folder: Path, *arguments: str) -> str:
    command = ("git", "-C", str(folder), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def gpus() -> list[dict[str, Any]] | str:
    """Every GPU as NVML knows it, or why it says nothing."""
    nvml = Nvml.open()
    if isinstance(nvml, str):
        return nvml
    with nvml:
        return nvml.gpus()


def describe(threads: int) -> dict[str, Any]:
    """Machine and versions, as JSON types; ``load`` is the system's load average before the run."""
    return {
        "cpu": cpu_model(),
        "cpus": available_cpus(),
        "threads": threads,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "processor": cpu_facts(),
        "memory_bytes": memory_bytes(),
        "gpus": gpus(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "sgn-rt": __version__,
        "commit": commit(),
        "variables": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "packages": {package: installed_version(package) for package in PACKAGES},
    }
