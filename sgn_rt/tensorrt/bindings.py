"""The one place that imports TensorRT, in either flavour, and knows what tells them apart."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

from sgn_rt._optional import pip_command, require
from sgn_rt.errors import DependencyError, EngineError
from sgn_rt.tensorrt.soname_alias import answer_for

OLDEST: Final = {"tensorrt": (10, 8), "tensorrt-rtx": (1, 0)}
"""Versions from which on the interfaces are those that are used here."""


class Flavor(StrEnum):
    """TensorRT as it is, or TensorRT for RTX; also the names of their extras and engines."""

    TENSORRT = "tensorrt"
    RTX = "tensorrt-rtx"

    @property
    def module(self) -> str:
        """Its Python module."""
        return self.value.replace("-", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRT:
    """An imported TensorRT.

    Attributes
    ----------
    flavor
        Which of the two.
    module
        Its Python module.
    version
        As numbers, e.g. (10, 13, 3, 9) or (1, 7, 1, 116).
    """

    flavor: Flavor
    module: Any
    version: tuple[int, ...]

    @property
    def is_rtx(self) -> bool:
        """Whether it is TensorRT for RTX."""
        return self.flavor == Flavor.RTX

    def __str__(self) -> str:
        return f"{self.flavor} {version_text(self.version)}"


def version_numbers(text: str) -> tuple[int, ...]:
    """A version as numbers, for comparison: ``"10.13.3.9.post1"`` is (10, 13, 3, 9)."""
    numbers = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def version_text(version: tuple[int, ...]) -> str:
    """``(10, 13, 3, 9)`` as ``"10.13.3.9"``."""
    return ".".join(map(str, version))


def is_installed(flavor: Flavor) -> bool:
    """Whether its package is there; does not import it."""
    try:
        spec = importlib.util.find_spec(flavor.module)
    except (ImportError, ValueError):
        return False
    # Type stubs alone are a folder without code, which Python takes for a package.
    return spec is not None and spec.origin is not None


def installed_flavor() -> Flavor:
    """What is installed, TensorRT before TensorRT for RTX.

    Raises
    ------
    DependencyError
        If neither is.
    """
    for flavor in Flavor:
        if is_installed(flavor):
            return flavor
    raise DependencyError(
        "TensorRT: got neither tensorrt nor tensorrt_rtx installed, expected one of them. "
        f"Install it with: {pip_command('tensorrt')}; or the one for RTX, which also builds "
        f"without a GPU: {pip_command('tensorrt-rtx')}"
    )


@cache
def load(flavor: Flavor) -> TensorRT:
    """Import TensorRT.

    Raises
    ------
    DependencyError
        If it is not installed, does not load, or is older than this package can use.
    """
    module = require(flavor.module, extra=str(flavor), purpose=f"the {flavor} engine")
    if not hasattr(module, "Builder"):
        raise DependencyError(
            f"the {flavor} engine needs the package {flavor.module!r}: got type stubs without "
            "code. "
            f"Install it with: {pip_command(flavor)}",
            command=pip_command(flavor),
        )
    version = version_numbers(str(module.__version__))
    if version < OLDEST[flavor]:
        raise DependencyError(
            f"{flavor}: got version {module.__version__}, expected at least "
            f"{version_text(OLDEST[flavor])}. Install it with: {pip_command(flavor)}",
            command=pip_command(flavor),
        )
    return TensorRT(flavor=flavor, module=module, version=version)


def load_plugins(trt: TensorRT, registry: Any, library: Path) -> None:
    """Register the creators of a plugin library, once per process however often it is asked for.

    Parameters
    ----------
    trt
        The TensorRT that will parse or deserialise.
    registry
        Its builder's or runtime's plugin registry.
    library
        The plugin library.

    Raises
    ------
    EngineError
        If TensorRT does not take the library.
    """
    if trt.is_rtx and sys.platform == "linux":
        _name_rtx_library()
    if _has_creators(registry):
        return
    # A library that has been loaded by someone else registers nothing and gives None.
    if registry.load_library(str(library)) is None and not _has_creators(registry):
        raise EngineError(
            f"{library}: got no plugins that {trt} takes, expected sgn-rt's. "
            "Build the plugin library again."
        )


def deserialize(
    trt: TensorRT, runtime: Any, content: bytes, plugins: Path | None, *, host_code: bool
) -> Any:
    """An engine of a runtime, which has plugins of its own; None where TensorRT does not take it.

    Parameters
    ----------
    trt, runtime, content
        What takes it, and the serialised engine.
    plugins
        The plugin library; None for an engine without plugins.
    host_code
        Whether it may bring a runtime of its own, as version-compatible ones do.

    Raises
    ------
    EngineError
        As `load_plugins`.
    """
    if host_code:
        runtime.engine_host_code_allowed = True
    if plugins is not None:
        load_plugins(trt, runtime.get_plugin_registry(), plugins)
    return runtime.deserialize_cuda_engine(content)


def _has_creators(registry: Any) -> bool:
    from sgn_rt.model.contract import PLUGIN_NAMESPACE, PLUGIN_VERSION, PluginOp

    return all(
        registry.get_creator(str(op), PLUGIN_VERSION, PLUGIN_NAMESPACE) is not None
        for op in PluginOp
    )


@cache
def _name_rtx_library() -> None:
    libs = require(
        "tensorrt_rtx_libs", extra=str(Flavor.RTX), purpose="plugins in TensorRT for RTX"
    )
    for library in sorted(Path(str(libs.__file__)).parent.glob("libtensorrt_rtx.so.*")):
        answer_for(library, "libtensorrt_rtx.so")
        return
    raise DependencyError(
        f"TensorRT for RTX: got no libtensorrt_rtx.so.* in {Path(str(libs.__file__)).parent}, "
        "expected one. "
        "Install it with: pip install --force-reinstall tensorrt-rtx-cu13"
    )
