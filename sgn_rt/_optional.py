"""Optional packages: loaded where they are used, through one helper that names the pip command."""

from __future__ import annotations

import importlib
import re
from importlib import metadata
from types import ModuleType
from typing import Final

from sgn_rt.errors import DependencyError

_DISTRIBUTION: Final = "sgn-rt"
_REQUIREMENT: Final = re.compile(
    r"""(?P<package>[^;]+?)\s*;.*\bextra\s*==\s*["'](?P<extra>[^"']+)["']"""
)


def installed_version(package: str) -> str | None:
    """Of a package by its name on the index; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def pip_command(extra: str) -> str:
    """The command that installs the packages of an extra, by their own names.

    They are read from the installed distribution's metadata, so that they are those of
    ``pyproject.toml``. An extra of sgn-rt itself pip finds only where sgn-rt is on an index.
    """
    try:
        required = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        required = []
    found = [match for line in required if (match := _REQUIREMENT.match(line))]
    packages = [match["package"] for match in found if match["extra"] == extra]
    if not packages:  # a source tree that is not installed, or not since the extra is there
        return f'pip install ".[{extra}]" in the folder of the sources of {_DISTRIBUTION}'
    return " ".join(("pip install", *(f'"{package}"' for package in packages)))


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    module
        Module to import, e.g. ``"onnxruntime"``.
    extra
        The extra of sgn-rt that it belongs to.
    purpose
        What needs it, for the message.

    Raises
    ------
    DependencyError
        If it is not installed, or fails to load.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library that it needs
        command = pip_command(extra)
        raise DependencyError(
            f"{purpose} needs the package {module!r}: got {error}, expected it to load. "
            f"Install it with: {command}",
            command=command,
        ) from error
