"""Where the plugin library's dependencies are: headers of TensorRT and CUDA, cuFFT itself."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sgn_rt.errors import PluginError

TENSORRT_INCLUDE_VARIABLE: Final = "SGN_RT_TENSORRT_INCLUDE_DIR"
OLDEST_TENSORRT: Final = (10, 8)

_SYSTEM_INCLUDES: Final = (
    "/usr/include/x86_64-linux-gnu",
    "/usr/include/aarch64-linux-gnu",
    "/usr/include",
    "/usr/local/tensorrt/include",
    "/opt/tensorrt/include",
)
_ADVICE: Final = (
    "Install TensorRT's development package, or `pip install --no-deps --target headers "
    "kernel-lens`, which has them in headers/kernel_lens/include/tensorrt; name a folder by "
    f"-D{TENSORRT_INCLUDE_VARIABLE} or the environment variable of that name."
)


def _wheel_folders(package: str) -> list[Path]:
    """Folders of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    return [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]


def tensorrt_version(include_dir: Path) -> tuple[int, int] | None:
    """Major and minor version of the TensorRT headers in a folder; None where there are none."""
    if not (include_dir / "NvInferRuntime.h").is_file():
        return None
    try:
        text = (include_dir / "NvInferVersion.h").read_text(errors="replace")
    except OSError:
        return None
    numbers = {}
    for part in ("MAJOR", "MINOR"):
        # NV_TENSORRT_MAJOR is a number, or from 10.12 the name of a macro that is one.
        found = re.search(rf"#define (?:NV_TENSORRT|TRT)_{part}(?:_ENTERPRISE)? (\d+)", text)
        if found is None:
            return None
        numbers[part] = int(found[1])
    return numbers["MAJOR"], numbers["MINOR"]


def _candidates() -> Iterator[Path]:
    yield from (Path(folder) for folder in _SYSTEM_INCLUDES)
    for folder in _wheel_folders("kernel_lens"):
        yield folder / "include" / "tensorrt"


def tensorrt_include_dir(given: str | os.PathLike[str] | None = None) -> Path:
    """Folder of ``NvInferRuntime.h``.

    Parameters
    ----------
    given
        The folder; default the environment variable ``SGN_RT_TENSORRT_INCLUDE_DIR``, then the
        system's folders, then an installed ``kernel-lens``.

    Raises
    ------
    PluginError
        If there are no headers of TensorRT 10.8 or newer. A folder that was named is not replaced
        by another.
    """
    named = given or os.environ.get(TENSORRT_INCLUDE_VARIABLE)
    candidates = [Path(named)] if named else list(_candidates())
    for folder in candidates:
        version = tensorrt_version(folder)
        if version is not None and version >= OLDEST_TENSORRT:
            return folder.resolve()
        if version is not None and named:
            raise PluginError(
                f"TensorRT headers: got version {version[0]}.{version[1]} in {folder}, expected "
                f"{OLDEST_TENSORRT[0]}.{OLDEST_TENSORRT[1]} or newer. {_ADVICE}"
            )
    places = ", ".join(str(folder) for folder in candidates)
    raise PluginError(
        f"TensorRT headers: got none in {places}, expected NvInferRuntime.h. {_ADVICE}"
    )


def cuda_include_dir() -> Path | None:
    """Folder of ``cuda_runtime_api.h`` of a CUDA toolkit, if there is one."""
    roots = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    nvcc = shutil.which("nvcc")
    if nvcc:
        roots.append(Path(nvcc).resolve().parent.parent)
    roots.append(Path("/usr/local/cuda"))
    for folder in (root / "include" for root in roots):
        if (folder / "cuda_runtime_api.h").is_file():
            return folder
    return None


def cufft_folder() -> Path | None:
    """Folder of ``libcufft.so.*`` of an installed nvidia-cufft package, if there is one."""
    for package in _wheel_folders("nvidia"):
        for folder in (package / "cu13" / "lib", package / "cufft" / "lib"):
            if any(folder.glob("libcufft.so.*")):
                return folder.resolve()
    return None
