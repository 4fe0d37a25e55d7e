"""Engines and their sidecars as files of a bundle: read if they are whole, written whole or not.

They lie in ``engines/`` as ``NAME.engine`` with ``NAME.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sgn_rt._atomic import write_whole
from sgn_rt.errors import BundleError, EngineError
from sgn_rt.model.bundle import OUTDATED, Artifact, Bundle
from sgn_rt.model.contained import open_contained
from sgn_rt.model.shapes import partner_of
from sgn_rt.tensorrt.sidecar import Sidecar

ENGINES_FOLDER: Final = "engines"
_LIMIT: Final = 1 << 20

Half = tuple[Sidecar, bytes]
"""An engine's description and content; of a pair one of the two, the network first."""


def graph_digest(bundle: Bundle, artifact: Artifact) -> str:
    """SHA-256 of a graph's file; with weights in other files, of all their hashes in a row."""
    hashes = [bundle.files[path].sha256 for path in (artifact.path, *artifact.external)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def folder_of(bundle: Bundle) -> Path:
    """Where a bundle's engines lie."""
    return bundle.root / ENGINES_FOLDER


def read_sidecars(bundle: Bundle) -> list[Sidecar]:
    """Every engine of a bundle, by name; none where no engine was ever built.

    Raises
    ------
    EngineError
        For a sidecar that does not read.
    """
    return [_read(bundle, path) for path in sorted(folder_of(bundle).glob("*.json"))]


def _read(bundle: Bundle, path: Path) -> Sidecar:
    try:
        with open_contained(bundle.root, f"{ENGINES_FOLDER}/{path.name}") as file:
            return Sidecar.from_dict(path.stem, json.loads(file.read(_LIMIT)))
    except (
        *(BundleError, OSError, KeyError, TypeError, ValueError, AttributeError),
        *(OverflowError, RecursionError),
    ) as error:
        raise EngineError(
            f"{path}: got a description that does not read ({error!r:.300}), expected one that "
            "`sgn-rt build` wrote. Build the engine again, or delete the file."
        ) from error


def read_engine(bundle: Bundle, sidecar: Sidecar) -> bytes:
    """An engine that is the one its sidecar describes, built from this bundle's graph.

    Raises
    ------
    EngineError
        If it is missing, damaged, or of another graph.
    """
    path = folder_of(bundle) / f"{sidecar.name}.engine"
    if sidecar.is_outdated:
        raise EngineError(
            f"{path}: got an engine of a graph that was {OUTDATED}, expected one of a graph of "
            f"today. Then run `{sidecar.build_command}`"
        )
    artifact = bundle.find(sidecar.kind, sidecar.precision)
    graph = None if artifact is None else graph_digest(bundle, artifact)
    if graph != sidecar.graph_sha256:
        raise EngineError(
            f"{path}: got an engine of a graph with SHA-256 {sidecar.graph_sha256}, expected "
            f"{graph}: the "
            f"bundle was exported again. Run `{sidecar.build_command}`"
        )
    try:
        with open_contained(bundle.root, f"{ENGINES_FOLDER}/{path.name}") as file:
            content = file.read(sidecar.size + 1)  # a larger one is another
    except (BundleError, OSError) as error:
        raise EngineError(
            f"{path}: got no readable file ({getattr(error, 'strerror', error)}), expected an "
            f"engine of {sidecar.size} bytes. Run `{sidecar.build_command}`"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sidecar.sha256:
        raise EngineError(
            f"{path}: got SHA-256 {digest}, expected {sidecar.sha256}. The engine is damaged: "
            f"run `{sidecar.build_command}`"
        )
    return content


def halves_of(bundle: Bundle, sidecar: Sidecar) -> list[Sidecar]:
    """An engine, and the one of the synthesis that it needs beside it, if it is a network.

    Raises
    ------
    EngineError
        If that is not there.
    """
    other = partner_of(bundle.config, sidecar.kind, sidecar.precision)
    if other is None or sidecar.is_outdated:
        return [sidecar]
    for each in read_sidecars(bundle):
        same_build = (each.flavor, each.version, each.gpus, each.hardware_compatible) == (
            *(sidecar.flavor, sidecar.version, sidecar.gpus, sidecar.hardware_compatible),
        )
        if (each.kind, each.precision) == other and same_build:
            return [sidecar, each]
    raise half_missing(sidecar)


def half_missing(sidecar: Sidecar) -> EngineError:
    """Of a network without its synthesis."""
    return EngineError(
        f"engine {sidecar.name}: got no engine of the synthesis that was built with it, expected "
        "one: it gives what sources are made of, and no sources. "
        f"Run `{sidecar.build_command}`"
    )


def write_engine(bundle: Bundle, sidecar: Sidecar, content: bytes) -> Path:
    """Put an engine and its sidecar into the bundle, each whole or not at all.

    The old sidecar goes first and the new one comes last: a sidecar never stands beside an engine
    that it does not describe.

    Raises
    ------
    BundleError
        If the bundle cannot be written.
    """
    folder = folder_of(bundle)
    path = folder / f"{sidecar.name}.engine"
    if folder.is_symlink():
        raise BundleError(
            f"{folder}: got a link, expected a folder in the bundle. Put a folder there."
        )
    try:
        folder.mkdir(exist_ok=True)
        _forget(bundle, sidecar)
        write_whole(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error
    write_sidecar(bundle, sidecar)
    return path


def write_halves(bundle: Bundle, halves: Sequence[Half]) -> None:
    """Put the engines of a pair into the bundle, or a single one.

    The network's sidecar goes first and comes last, and an engine is looked for by it: where
    writing fails there is half a pair that nothing finds, and no network without its synthesis.

    Raises
    ------
    BundleError
        If the bundle cannot be written.
    """
    first, _ = halves[0]
    _forget(bundle, first)
    for sidecar, content in reversed(halves):
        write_engine(bundle, sidecar, content)


def _forget(bundle: Bundle, sidecar: Sidecar) -> None:
    path = folder_of(bundle) / f"{sidecar.name}.json"
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_sidecar(bundle: Bundle, sidecar: Sidecar) -> None:
    """Write a sidecar whole or not at all.

    Raises
    ------
    BundleError
        If the bundle cannot be written.
    """
    path = folder_of(bundle) / f"{sidecar.name}.json"
    text = json.dumps(sidecar.to_dict(), indent=2, allow_nan=False) + "\n"
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> BundleError:
    return BundleError(
        f"{path}: got {error.strerror or error}, expected to write an engine there. "
        "Check permissions and free space, or copy the bundle to a folder of your own."
    )
