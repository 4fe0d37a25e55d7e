"""The head of the report: the GPU, its driver and clocks, and the versions of what runs on it."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import sgn_rt
from sgn_rt._optional import installed_version
from sgn_rt._processors import available_cpus
from sgn_rt.model.bundle import Bundle

PACKAGES: Final = (
    "tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx-cu13", "onnxruntime-gpu",
    "onnxruntime", "torch", "cupy-cuda12x", "cupy-cuda13x", "cuda-python", "cuda-bindings",
    "pycuda", "nvidia-cufft", "nvidia-cufft-cu12", "nvtx", "numpy", "onnx",
)  # fmt: skip
TOOLS: Final = ("nvcc", "compute-sanitizer", "cmake")
GPU_FIELDS: Final = (
    "name", "driver_version", "memory.total", "memory.used", "clocks.sm", "clocks.max.sm",
    "clocks.mem", "clocks.max.mem", "power.limit", "temperature.gpu", "pcie.link.gen.max",
    "pcie.link.width.max", "ecc.mode.current", "mig.mode.current",
)  # fmt: skip
"""What `nvidia-smi` is asked for, of every GPU."""

Query = Callable[[Sequence[str]], str]


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout


def gpus(query: Query = _run) -> list[dict[str, str]] | str:
    """Every GPU as `nvidia-smi` knows it, or why it says nothing."""
    command = ("nvidia-smi", f"--query-gpu={','.join(GPU_FIELDS)}", "--format=csv,noheader")
    try:
        lines = query(command).strip().splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi: {error}"
    return [dict(zip(GPU_FIELDS, map(str.strip, line.split(",")), strict=False)) for line in lines]


def cuda_versions() -> dict[str, str]:
    """What the driver can do, and the runtime in use; empty without cuda-python. No GPU is used."""
    try:
        from cuda.bindings import runtime
    except (ImportError, OSError):
        return {}
    found = {}
    for name in ("Driver", "Runtime"):
        try:
            status, version = getattr(runtime, f"cuda{name}GetVersion")()
        except RuntimeError:  # its library is not here
            continue
        if int(status) == 0 and version:
            found[f"CUDA {name.lower()}"] = f"{version // 1000}.{version % 1000 // 10}"
    return found


def code_digest() -> str:
    """SHA-256 of the package's sources, first twelve digits: which code a figure is of."""
    digest = hashlib.sha256()
    for package in ("sgn_rt", "sgn_rt.export"):
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(folder).rglob("*")):
                if path.suffix in (".py", ".cpp", ".cu", ".h"):
                    digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def describe(bundle: Bundle, query: Query = _run) -> dict[str, Any]:
    """The head, as JSON types."""
    packages = {name: installed_version(name) for name in PACKAGES}
    return {
        "sgn-rt": sgn_rt.__version__,
        "code": code_digest(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": available_cpus(),
        "gpus": gpus(query),
        "cuda": cuda_versions(),
        "tools": [tool for tool in TOOLS if shutil.which(tool)],
        "packages": {name: version for name, version in packages.items() if version},
        "bundle": {
            "name": bundle.name,
            "identity": bundle.identity,
            "graphs": [artifact.name for artifact in bundle.artifacts],
        },
    }


def identity(machine: Mapping[str, Any]) -> dict[str, Any]:
    """What outcomes hold for: those of another machine, version or model are not gone on from."""
    found = machine["gpus"]
    named = found if isinstance(found, str) else [
        f"{gpu['name']}, driver {gpu['driver_version']}" for gpu in found
    ]  # fmt: skip
    return {"gpus": named, **{name: machine[name] for name in ("code", "packages", "bundle")}}
