"""Compiles the plugins' kernels for the GPU at hand by nvcc alone, without CMake or TensorRT."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from sgn_rt._private import expect_private, private_folder
from sgn_rt.errors import DependencyError, PluginError
from sgn_rt.tensorrt.plugins.build import SOURCE_DIR

PLUGINS: Final = SOURCE_DIR / "csrc"
CHECKS: Final = Path(__file__).parent / "csrc"
LIBRARY_NAME: Final = "libsgn_rt_checks.so"
_NO_TENSORRT: Final = (
    "device_api_cuda", "device_buffer", "fft_api_cufft", "fft_plan", "geometry", "interface",
    "status", "tables",
)  # fmt: skip
"""The plugin library's sources that need none of TensorRT's headers, beside all kernels."""
_LOG_LINES: Final = 30


def find_nvcc() -> str | None:
    """The CUDA compiler: on PATH, or where the toolkit is usually installed."""
    return shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


def sources() -> list[Path]:
    """What is compiled."""
    return [
        *(PLUGINS / f"{name}.cpp" for name in _NO_TENSORRT),
        *sorted(PLUGINS.glob("*.cu")),
        *sorted(CHECKS.iterdir()),
    ]


def compile_library(capability: str, target: Path) -> None:
    """Compile for one compute capability, e.g. ``sm90``.

    Raises
    ------
    DependencyError
        If there is no nvcc.
    PluginError
        If it fails; the message ends with the end of its output.
    """
    nvcc = find_nvcc()
    if nvcc is None:
        raise DependencyError(
            "kernels: got no nvcc on PATH or in /usr/local/cuda/bin, expected one. "
            "Install the CUDA toolkit 12.4 or newer."
        )
    command = [
        nvcc, "-shared", "-std=c++17", "-O3", "-lineinfo", "--threads", "0",
        "-Xcompiler=-fPIC,-fvisibility=hidden", f"-arch={capability.replace('sm', 'sm_')}",
        "-I", str(PLUGINS), "-o", str(target), *map(str, sources()), "-ldl",
    ]  # fmt: skip
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-_LOG_LINES:])
        raise PluginError(
            f"kernels, compilation by {nvcc}: got exit status {done.returncode}, expected 0. "
            f"Correct what its output names:\n{end}"
        )


def kernel_library(capability: str) -> Path:
    """The compiled kernels, from the user's cache; compiled unless they are there.

    Raises
    ------
    DependencyError, PluginError
        As `compile_library`; also if there is no folder for it that is the user's own.
    """
    digest = hashlib.sha256()
    for path in (*sources(), *sorted(PLUGINS.glob("*.h"))):
        digest.update(path.read_bytes())
    place = ("checks", f"{digest.hexdigest()[:12]}-{capability}")
    try:
        folder = private_folder(*place)
        library = folder / LIBRARY_NAME
        if not library.is_file():
            with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as made:
                compile_library(capability, Path(made) / LIBRARY_NAME)
                (Path(made) / LIBRARY_NAME).chmod(0o755)
                os.replace(Path(made) / LIBRARY_NAME, library)
        return expect_private(*place, LIBRARY_NAME)
    except OSError as error:
        raise PluginError(
            f"kernels: got {error}, expected a folder of your own in the cache. "
            "Set SGN_RT_CACHE_DIR to one."
        ) from error
