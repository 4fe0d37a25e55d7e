"""Optional packages: loaded where they are used, through one helper that names the pip command."""

from __future__ import annotations

import importlib
from types import ModuleType

from sgn_rt.errors import DependencyError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    module
        Module to import, e.g. ``"onnxruntime"``.
    extra
        The extra of sgn-rt that installs it.
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
        raise DependencyError(
            f"{purpose} needs the package {module!r}: got {error}, expected it to load. "
            f"Install it with: pip install 'sgn-rt[{extra}]'"
        ) from error
