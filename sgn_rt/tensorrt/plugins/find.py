"""Finds the built plugin library and checks that it belongs to this version of the package."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

from sgn_rt._optional import pip_command
from sgn_rt.errors import PluginError
from sgn_rt.tensorrt.plugins.build import (
    LIBRARY_NAME,
    SOURCE_DIR,
    cached_library,
    expect_cached_library,
    package_version,
)
from sgn_rt.tensorrt.plugins.headers import cufft_folder

LIBRARY_VARIABLE: Final = "SGN_RT_PLUGIN_LIBRARY"
CUFFT_VARIABLE: Final = "SGN_RT_CUFFT_LIBRARY"
CUFFT_NAMES: Final = ("libcufft.so.12", "libcufft.so.11", "libcufft.so")
"""Where the library looks (csrc/fft_api_cufft.cpp)."""


def library_version(path: Path) -> str:
    """Version that a plugin library says it has. Loads it into this process.

    Raises
    ------
    PluginError
        If the file is no library, or another one.
    """
    try:
        function = ctypes.CDLL(str(path)).sgn_rt_plugin_version
    except (OSError, AttributeError) as error:
        raise PluginError(
            f"plugin library {path}: got {error}, expected sgn-rt's plugins. "
            "Run `sgn-rt plugins build`."
        ) from error
    function.restype = ctypes.c_char_p
    version: bytes = function()
    return version.decode()


def find_library() -> Path:
    """The plugin library.

    ``$SGN_RT_PLUGIN_LIBRARY`` if set, else the cache's, else that of a source tree's ``build/``.

    Raises
    ------
    PluginError
        If there is none, or it belongs to another version; a wrong one is not passed over in
        silence.
    """
    named = os.environ.get(LIBRARY_VARIABLE)
    tree = SOURCE_DIR.parents[2] / "build" / "sgn_rt" / "tensorrt" / "plugins" / LIBRARY_NAME
    candidates = [Path(named)] if named else [cached_library(), tree]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        places = " or ".join(str(path) for path in candidates)
        raise PluginError(
            f"plugin library: got no file {places}, expected one. "
            f"Run `sgn-rt plugins build`, or set {LIBRARY_VARIABLE} to it."
        )
    if not named and path == candidates[0]:
        expect_cached_library()  # one that is named is its user's word, the tree's as good as code
    version, expected = library_version(path), package_version()
    if version != expected:
        raise PluginError(
            f"plugin library {path}: got version {version}, expected {expected}. "
            "Run `sgn-rt plugins build`."
        )
    return path.resolve()


def preload_cufft() -> Path | None:
    """Load cuFFT of an installed nvidia-cufft package; the plugin library meets it by its soname.

    Returns
    -------
    Path or None
        What was loaded; None where no such package is, and the dynamic linker's own folders must
        do.

    Raises
    ------
    PluginError
        If the package's library does not load.
    """
    folder = cufft_folder()
    if folder is None:
        return None
    path = max(folder.glob("libcufft.so.*"))
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        raise PluginError(
            f"cuFFT {path}: got {error}, expected a library that loads. Reinstall nvidia-cufft."
        ) from error
    return path


def expect_cufft() -> None:
    """See that the plugins will find cuFFT when an engine runs; TensorRT would not say so.

    Raises
    ------
    PluginError
        If there is none, neither in a package nor where the dynamic linker looks.
    """
    chosen = os.environ.get(CUFFT_VARIABLE)
    names = [chosen] if chosen else CUFFT_NAMES
    if not chosen and preload_cufft() is not None:
        return
    tried = []
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            tried.append(str(error))
        else:
            return
    raise PluginError(
        f"cuFFT: got {'; '.join(tried)}, expected its library for the transforms of the plugins. "
        f"Install it with: {pip_command('tensorrt')}"
    )
