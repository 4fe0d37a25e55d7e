"""Builds the plugin library on demand into the user's cache, once per version of the sources."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sgn_rt._atomic import CACHE_VARIABLE
from sgn_rt._private import expect_private, open_lock, private_folder, private_root
from sgn_rt.errors import PluginError
from sgn_rt.tensorrt.plugins.headers import cufft_folder, tensorrt_include_dir

LIBRARY_NAME: Final = "libsgn_rt_plugins.so"
SOURCE_DIR: Final = Path(__file__).resolve().parent

_LOG_LINES: Final = 30
"""Of a failed build's output, in the error message."""


def package_version() -> str:
    """Version of sgn-rt: of the source tree around this file, else of the installed package."""
    pyproject = SOURCE_DIR.parents[2] / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text())["project"]
        if project["name"] == "sgn-rt":
            return str(project["version"])
    return importlib.metadata.version("sgn-rt")


def sources_digest() -> str:
    """SHA-256 of everything that the library is built from, first twelve digits."""
    digest = hashlib.sha256()
    for path in sorted([SOURCE_DIR / "CMakeLists.txt", *(SOURCE_DIR / "csrc").iterdir()]):
        data = path.read_bytes()
        digest.update(f"{path.name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:12]


def cached_library() -> Path:
    """Where the library of these sources is, or would be, in the cache.

    Raises
    ------
    PluginError
        If there is no folder for it.
    """
    try:
        return private_root().joinpath(*_cached())
    except OSError as error:
        raise _unusable(error) from error


def expect_cached_library() -> Path:
    """The cached library, before it is loaded: nobody else has written it, nor could have.

    Raises
    ------
    PluginError
        If somebody may have.
    """
    try:
        return expect_private(*_cached())
    except OSError as error:
        raise _unusable(error) from error


def _cached() -> tuple[str, str, str]:
    return "plugins", f"{package_version()}-{sources_digest()}", LIBRARY_NAME


def _unusable(error: OSError) -> PluginError:
    return PluginError(
        f"plugin cache: got {error}, expected a folder of your own. Set {CACHE_VARIABLE} to one."
    )


def build_library(
    *,
    tensorrt_include: str | os.PathLike[str] | None = None,
    architectures: str | None = None,
    jobs: int | None = None,
    force: bool = False,
) -> Path:
    """Build the plugin library unless the cache has it.

    Two processes may do so at once: one builds, the other waits and finds the result. The library
    appears under its name only when it is whole.

    Parameters
    ----------
    tensorrt_include
        Folder of TensorRT's headers; default as `tensorrt_include_dir`.
    architectures
        As CMAKE_CUDA_ARCHITECTURES, e.g. ``"89"`` or ``"native"``; default every supported one.
    jobs
        Compilers at once; default the number of processors.
    force
        Build even if the cache has it.

    Returns
    -------
    Path
        The library.

    Raises
    ------
    PluginError
        If headers or tools are missing or the build fails; the message ends with the end of its
        output.
    """
    library = cached_library()
    _, version, _ = _cached()
    with _locked(f"{version}.lock"):
        if library.is_file() and not force:
            return expect_cached_library()
        headers = tensorrt_include_dir(tensorrt_include)
        for tool in ("cmake", "nvcc"):
            _require_tool(tool)
        # Beside its destination, so that the rename at the end is atomic.
        with tempfile.TemporaryDirectory(prefix=".build-", dir=library.parent.parent) as folder:
            built = _compile(Path(folder), headers, architectures, jobs)
            built.chmod(0o755)  # whatever the umask: what its group can write is not loaded
            try:
                os.replace(built, private_folder("plugins", version) / LIBRARY_NAME)
            except OSError as error:
                raise _unusable(error) from error
    return expect_cached_library()


def _compile(folder: Path, headers: Path, architectures: str | None, jobs: int | None) -> Path:
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "SGN_RT_VERSION": package_version(),
        "SGN_RT_TENSORRT_INCLUDE_DIR": str(headers),
        "SGN_RT_CUDA_ARCHITECTURES": architectures or "",
        "SGN_RT_CUFFT_DIR": str(cufft_folder() or ""),
    }
    definitions = [f"-D{name}={value}" for name, value in options.items()]
    _call(["cmake", "-S", str(SOURCE_DIR), "-B", str(folder), *definitions], "configuration")
    _call(["cmake", "--build", str(folder), f"-j{jobs or os.cpu_count() or 1}"], "compilation")
    return folder / LIBRARY_NAME


def _call(command: list[str], what: str) -> None:
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-_LOG_LINES:])
        raise PluginError(
            f"plugin library, {what}: got exit status {done.returncode}, expected 0. "
            f"Correct what its output names:\n{end}"
        )


def _require_tool(tool: str) -> None:
    # cmake also looks where the CUDA toolkit is usually installed.
    if shutil.which(tool) is None and not (
        tool == "nvcc" and Path("/usr/local/cuda/bin/nvcc").exists()
    ):
        raise PluginError(
            f"plugin library: got no {tool} on PATH, expected one. "
            "Install CMake 3.24 or newer, a C++ compiler and the CUDA toolkit 12.4 or newer."
        )


@contextmanager
def _locked(name: str) -> Iterator[None]:
    import fcntl  # absent on Windows, where this module must still be importable

    try:
        handle = open_lock(private_folder("plugins") / name)
    except OSError as error:
        raise _unusable(error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
