"""A model repository for Triton written from a bundle, whole or not at all.

README.md              the lines that serve it
sgn-rt-triton.json     every file that was written, with its SHA-256
models/                what tritonserver is given
bundle/                what the models of the Python backend open
plugins/               the plugin library, where engines need it
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import sgn_rt
from sgn_rt._atomic import whole_folder
from sgn_rt.errors import BundleError, ConfigError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contained import open_contained
from sgn_rt.model.contract import BUNDLE_MANIFEST, Kind
from sgn_rt.serving.triton import configs, wire
from sgn_rt.serving.triton.configs import Config, Serving
from sgn_rt.serving.triton.environment import BUNDLE_FOLDER
from sgn_rt.serving.triton.model_folders import ModelFolders
from sgn_rt.serving.triton.plans import write_plans
from sgn_rt.serving.triton.readme import readme
from sgn_rt.tensorrt.engine_files import ENGINES_FOLDER, folder_of, read_sidecars

RECORD: Final = "sgn-rt-triton.json"
_SCHEMA: Final = 1
_GRAPHS: Final = (Kind.CORE, Kind.MASKS, Kind.WAVEFORM)
"""Those of standard operators, which ONNX Runtime runs."""
_MODEL: Final = '''"""{what}: what it does is in the package."""

from {module} import {name} as TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


class Part(StrEnum):
    """What a repository may hold."""

    WINDOWS = wire.WINDOWS
    LIVE = wire.LIVE
    ONNX = "onnx"
    TENSORRT = "tensorrt"


def write_repository(
    bundle: Bundle,
    target: Path,
    *,
    parts: Sequence[Part] | None = None,
    serving: Serving | None = None,
    plugins: Path | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a model repository.

    Parameters
    ----------
    bundle
        The model.
    target
        Folder; made if missing, and else replaced where that is wanted.
    parts
        What it holds; None for all that the bundle has.
    serving
        How models are served; None for what is well chosen.
    plugins
        The plugin library that registers itself, for TensorRT engines that have plugins.
    overwrite
        Replace what an earlier call wrote there, if nobody has changed it since.

    Returns
    -------
    list of str
        Names of the models.

    Raises
    ------
    BundleError
        If the folder is there and not to be replaced, or cannot be written; for a damaged bundle.
    ConfigError
        For a part that the bundle does not have.
    EngineError
        For an engine that is not whole, or engines of one graph that do not go together.
    """
    chosen = _chosen(bundle, parts)
    served = serving or Serving()
    _expect_free(target, overwrite)
    try:
        with whole_folder(target) as work:
            made = ModelFolders(work, bundle, served)
            if Part.WINDOWS in chosen:
                _add_python(made, configs.windows_config(bundle, served), "WindowsModel")
            if Part.LIVE in chosen:
                _add_python(made, configs.live_config(bundle, served), "LiveModel")
            if Part.ONNX in chosen:
                _add_graphs(made)
            library = None
            if Part.TENSORRT in chosen:
                library = write_plans(made, plugins)
            is_python = bool({Part.WINDOWS, Part.LIVE} & set(chosen))
            if is_python:
                _copy_bundle(bundle, work / BUNDLE_FOLDER)
            text = readme(bundle, made.models, served, library=library, is_python=is_python)
            (work / "README.md").write_text(text, encoding="utf-8")
            _write_record(work, made)
    except OSError as error:
        raise BundleError(
            f"{target}: got {error.strerror or error}, expected to write a model repository. "
            "Check permissions and free space."
        ) from error
    return made.models


def _chosen(bundle: Bundle, parts: Sequence[Part] | None) -> list[Part]:
    there = [Part.WINDOWS, Part.LIVE]
    if any(artifact.kind in _GRAPHS for artifact in bundle.artifacts):
        there.append(Part.ONNX)
    if any(sidecar.flavor == "tensorrt" for sidecar in read_sidecars(bundle)):
        there.append(Part.TENSORRT)
    if parts is None:
        return there
    missing = [part for part in parts if part not in there]
    if missing or not parts:
        raise ConfigError(
            f"models: got {', '.join(missing) or 'none'}, expected some of {', '.join(there)}: "
            "the bundle has these. Build engines with `sgn-rt build BUNDLE --flavor tensorrt`, "
            "or choose others."
        )
    return list(parts)


def _add_python(made: ModelFolders, config: Config, name: str) -> None:
    module = f"sgn_rt.serving.triton.{config['name']}_model"
    text = _MODEL.format(what=f"The model {config['name']}", module=module, name=name)
    made.add(config, {"model.py": text.encode()})


def _add_graphs(made: ModelFolders) -> None:
    for artifact in made.bundle.artifacts:
        if artifact.kind not in _GRAPHS:
            continue
        name = configs.model_name(artifact.kind, artifact.precision, "onnx")
        config = configs.graph_config(name, made.graph(artifact), made.serving)
        weights = {path: made.bundle.read(path) for path in artifact.external}
        made.add(config, {"model.onnx": made.content(artifact), **weights})


def _copy_bundle(bundle: Bundle, target: Path) -> None:
    """The bundle as it was opened, its engines with it."""
    target.mkdir()
    with open_contained(bundle.root, BUNDLE_MANIFEST) as file:
        contents = {BUNDLE_MANIFEST: file.read()}
    for name in bundle.files:
        contents[name] = bundle.read(name)
    for path in sorted(folder_of(bundle).glob("*")):
        if path.suffix in (".json", ".engine"):
            with open_contained(bundle.root, f"{ENGINES_FOLDER}/{path.name}") as file:
                contents[f"{ENGINES_FOLDER}/{path.name}"] = file.read()
    for name, content in contents.items():
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _files(root: Path) -> Iterator[Path]:
    """Files of a repository; what Python keeps of a model's text is nobody's."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if each != "__pycache__")
        yield from (Path(folder, name) for name in sorted(names))


def _hashes(root: Path) -> dict[str, str]:
    found = {}
    for path in _files(root):
        if path.name != RECORD:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(root).as_posix()] = digest
    return found


def _write_record(root: Path, made: ModelFolders) -> None:
    record: dict[str, Any] = {
        "schema": _SCHEMA,
        "generator": f"sgn-rt {sgn_rt.__version__}",
        "model": made.bundle.identity,
        "models": made.models,
        "files": _hashes(root),
    }
    (root / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _expect_free(target: Path, overwrite: bool) -> None:
    """Nothing is replaced but what this module wrote, and as it wrote it."""
    if not target.exists() and not target.is_symlink():
        return
    if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
        return
    try:
        files = json.loads((target / RECORD).read_text(encoding="utf-8"))["files"]
        found = _hashes(target)
    except (OSError, ValueError, KeyError, TypeError):
        files = None
    if target.is_symlink() or not isinstance(files, dict):
        raise BundleError(
            f"{target}: got something that is no model repository of sgn-rt, expected no such "
            "folder. Name another one."
        )
    changed = sorted({name for name, _ in files.items() ^ found.items()})
    if changed:
        raise BundleError(
            f"{target}: got files that were changed since it was written ({changed[0]!r}), "
            "expected it as it was. Move it away, or name another folder."
        )
    if not overwrite:
        raise BundleError(
            f"{target}: got a model repository there already, expected no such folder. "
            "Name another folder, or pass --overwrite."
        )
