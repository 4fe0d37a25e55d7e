"""The plugin library as engines need it: found, identified, its cuFFT loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sgn_rt.model.contract import Kind
from sgn_rt.tensorrt.sidecar import PluginLibrary

_STANDARD = frozenset({"core", "waveform"})
"""Kinds of graphs that are of standard operators alone."""


@dataclass(frozen=True, slots=True)
class FoundLibrary:
    """The library's file, and what is written down of it."""

    path: Path
    record: PluginLibrary


def has_plugins(kind: Kind) -> bool:
    """Whether a kind of graph has nodes of the plugin library."""
    return kind not in _STANDARD


def plugin_library() -> FoundLibrary:
    """The plugin library of this version of the package.

    Raises
    ------
    PluginError
        If it is not built, or of another version.
    """
    from sgn_rt.tensorrt.plugins.find import find_library, library_version, preload_cufft

    path = find_library()
    preload_cufft()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return FoundLibrary(path, PluginLibrary(version=library_version(path), sha256=digest))
