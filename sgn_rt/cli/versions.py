"""Versions of what results depend on, for reports."""

from __future__ import annotations

from typing import Final

from sgn_rt._optional import installed_version

PACKAGES: Final = (
    "numpy", "scipy", "soundfile", "soxr", "av", "onnxruntime", "onnxruntime-gpu", "torch", "onnx",
    "onnxscript", "safetensors", "polygraphy", "matplotlib",
    "tensorrt", "tensorrt-rtx-cu13", "cuda-python",
)  # fmt: skip


def versions() -> dict[str, str | None]:
    """Package -> version; None where it is not installed."""
    return {package: installed_version(package) for package in PACKAGES}
