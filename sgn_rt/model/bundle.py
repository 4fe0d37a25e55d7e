"""The bundle: a folder, the unit that is shipped. Hashes are verified before anything is parsed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final

from sgn_rt.errors import BundleError, CheckpointError, ConfigError
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contained import open_contained
from sgn_rt.model.contract import (
    BUNDLE_CHECKPOINT,
    BUNDLE_MANIFEST,
    BUNDLE_PROBE,
    BUNDLE_SCHEMA,
    BUNDLE_SCHEMAS,
    Kind,
    Precision,
    exists,
)
from sgn_rt.model.manifest import DIGEST_KEY, digest_of
from sgn_rt.model.probe import Probe
from sgn_rt.model.safetensors_file import header_of
from sgn_rt.model.sgn_config import config_of_checkpoint
from sgn_rt.model.shapes import kinds_of, partner_of
from sgn_rt.model.stages import checked_parity

_MANIFEST_LIMIT = 16 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
OUTDATED: Final = "exported before it was cut in two: export it again"
"""Of a graph that this version no longer runs, for people."""
_PLUGIN_CUT = 3
"""The schema that cut ``plugin`` into network and synthesis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file of a bundle as the manifest lists it.

    Attributes
    ----------
    path
        Relative to the bundle.
    sha256
        Of its content, lower-case hexadecimal digits.
    size
        Bytes.
    """

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A graph of a bundle.

    Attributes
    ----------
    path
        Its file, relative to the bundle.
    kind, precision
        What it computes, and in which number format.
    opset
        ONNX operator set.
    external
        Files of the bundle that hold its weights; empty where it holds them itself.
    parity
        Stage -> measured figure, limit and unit, from the export.
    """

    path: str
    kind: Kind
    precision: Precision
    opset: int
    external: tuple[str, ...]
    parity: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """Kind and precision, e.g. ``core.fp32``."""
        return f"{self.kind}.{self.precision}"


def _expect(where: Path, what: str, ok: bool, got: object, expected: str) -> None:
    if not ok:
        raise BundleError(
            f"{where}: {what}: got {got!r:.200}, expected {expected}. Export the bundle again."
        )


def _text(where: Path, manifest: Mapping[str, Any], key: str, default: str) -> str:
    """A text that people are shown: nothing in it commands their terminal."""
    value = manifest.get(key, default)
    shown = isinstance(value, str) and value.isprintable()
    _expect(where, key, shown or value is default, value, "a text of printable characters")
    return str(value)


def _file_record(where: Path, path: object, entry: object) -> FileRecord:
    _expect(where, "file name", isinstance(path, str) and bool(path), path, "a relative path")
    assert isinstance(path, str)
    parts = path.split("/")
    inside = path.isprintable() and not (set("\\:") & set(path) or {"", ".", ".."} & set(parts))
    _expect(where, "file name", inside, path, "a relative path inside the bundle")
    _expect(where, path, isinstance(entry, dict), entry, "an object with sha256 and bytes")
    assert isinstance(entry, dict)
    sha256, size = entry.get("sha256"), entry.get("bytes")
    ok = isinstance(sha256, str) and _SHA256.fullmatch(sha256) is not None
    _expect(where, f"{path}: sha256", ok, sha256, "64 lower-case hexadecimal digits")
    _expect(
        where, f"{path}: bytes", type(size) is int and 0 <= size < 1 << 63, size, "a size in bytes"
    )
    return FileRecord(path=path, sha256=str(sha256), size=int(str(size)))


def _artifact(where: Path, entry: object, files: Mapping[str, FileRecord]) -> Artifact:
    _expect(where, "artifacts", isinstance(entry, dict), entry, "objects")
    assert isinstance(entry, dict)
    path = entry.get("path")
    known = isinstance(path, str) and path in files
    _expect(where, "artifact path", known, path, "one of the files listed")
    try:
        artifact = Artifact(
            path=str(path),
            kind=Kind(entry["kind"]),
            precision=Precision(entry["precision"]),
            opset=int(entry["opset"]),
            external=tuple(entry["external"]),
            parity=checked_parity(entry["parity"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(
            f"{where}: artifact {path}: got an entry that does not parse ({error!r}), expected "
            "kind, precision, opset, external and parity. Export the bundle again."
        ) from error
    there_is = exists(artifact.kind, artifact.precision)
    _expect(where, artifact.path, there_is, artifact.name, "a kind that exists in that precision")
    for name in artifact.external:
        known = isinstance(name, str) and name in files
        _expect(where, f"{path}: external", known, name, "one of the files listed")
    names = list(artifact.external)
    _expect(where, f"{path}: external", len(set(names)) == len(names), names, "each file once")
    return artifact


def _checked_digest(where: Path, manifest: Mapping[str, Any]) -> str:
    """The manifest is as it was written: what is in no file is under no hash but this one."""
    try:
        found, expected = manifest.get(DIGEST_KEY), digest_of(manifest)
    except RecursionError as error:
        raise BundleError(
            f"{where}: {BUNDLE_MANIFEST}: got values within values without end, expected a "
            "manifest. Export the bundle again."
        ) from error
    if found != expected:
        raise BundleError(
            f"{where}: {BUNDLE_MANIFEST}: got {DIGEST_KEY} {found!r}, expected {expected}, that of "
            "its content. The manifest was changed: copy or export the bundle again."
        )
    return expected


def _check_pairs(where: Path, artifacts: Sequence[Artifact], config: ModelConfig) -> None:
    """No network without the graph that makes masks, or sources, of what it gives."""
    there = {(artifact.kind, artifact.precision) for artifact in artifacts}
    for artifact in artifacts:
        known = artifact.kind in kinds_of(config)
        _expect(where, "artifacts", known, artifact.name, f"graphs of {config.FORMAT}")
        second = partner_of(config, artifact.kind, artifact.precision)
        whole = second is None or second in there
        _expect(where, "artifacts", whole, artifact.name, f"{'.'.join(second or ())}, too")


class Bundle:
    """A model as it ships: configuration, graphs, probes and checkpoint, all a run needs to know.

    Use `open`. Immutable.

    Attributes
    ----------
    root
        The folder.
    schema, digest
        Version of the format; digest of the manifest (`sgn_rt.model.manifest`), None in schema 1.
    name, licence, generator
        What the exporter wrote down of the model and of itself.
    config
        The model's configuration.
    files
        Every file of the bundle but the manifest.
    artifacts
        The graphs.
    outdated
        Graphs that no engine of this version runs: ``plugin`` of schemas 1 and 2, which was whole.
    """

    def __init__(self, root: Path, manifest: Mapping[str, Any]) -> None:
        self.root = root
        schema = manifest.get("schema")
        if type(schema) is int and schema > BUNDLE_SCHEMA:
            raise BundleError(
                f"{root}: bundle schema: got {schema}, expected at most {BUNDLE_SCHEMA}. "
                "It was written by a newer sgn-rt: upgrade this one, or export the bundle again."
            )
        known = type(schema) is int and schema in BUNDLE_SCHEMAS
        _expect(root, "bundle schema", known, schema, " or ".join(map(str, BUNDLE_SCHEMAS)))
        self.schema = int(str(schema))
        self.digest: str | None = None
        if self.schema > 1:
            self.digest = _checked_digest(root, manifest)
        for key, kind in (("files", dict), ("artifacts", list), ("config", dict)):
            value = manifest.get(key)
            _expect(root, key, isinstance(value, kind), type(value).__name__, kind.__name__)
        self.name = _text(root, manifest, "name", root.name)
        self.licence = _text(root, manifest, "licence", "unspecified")
        self.generator = _text(root, manifest, "generator", "unknown")
        try:
            self.config = ModelConfig.from_dict(manifest["config"])
        except ConfigError as error:
            raise BundleError(f"{root}: {error}") from error
        self.files: dict[str, FileRecord] = {
            record.path: record
            for record in (_file_record(root, *item) for item in manifest["files"].items())
        }
        artifacts = [_artifact(root, entry, self.files) for entry in manifest["artifacts"]]
        old = {Kind.PLUGIN} if self.schema < _PLUGIN_CUT else set()
        self.artifacts = tuple(a for a in artifacts if a.kind not in old)
        self.outdated = tuple(a for a in artifacts if a.kind in old)
        if self.schema > 1:
            _check_pairs(root, self.artifacts, self.config)

    @classmethod
    def open(cls, folder: str | Path | None = None) -> Bundle:
        """Open a bundle and verify every file of it.

        Parameters
        ----------
        folder
            The bundle's folder; None for the one that ships with the package.

        Raises
        ------
        BundleError
            If it is no bundle, of a newer schema, damaged or edited, names a file outside of
            itself, or says another configuration than its checkpoint.
        """
        root = Path(folder) if folder is not None else embedded()
        path = root / BUNDLE_MANIFEST
        try:
            with open_contained(root, BUNDLE_MANIFEST) as file:
                text = file.read(_MANIFEST_LIMIT)
        except OSError as error:
            raise BundleError(
                f"{root}: got no readable {BUNDLE_MANIFEST} ({error.strerror}), expected a bundle. "
                "Name a folder that `sgn-rt export` wrote."
            ) from error
        try:
            manifest = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(
                f"{path}: got text that is not JSON ({error}), expected a manifest. "
                "Export the bundle again."
            ) from error
        _expect(root, BUNDLE_MANIFEST, isinstance(manifest, dict), type(manifest).__name__, "dict")
        bundle = cls(root, manifest)
        for name in bundle.files:
            with bundle._open(name) as file:
                # file_digest wants a file that is raw or buffered, as typeshed does not know.
                digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
            bundle._check(name, digest.hexdigest())
        if bundle.has_checkpoint:
            bundle._check_config()
        return bundle

    def _check_config(self) -> None:
        """The configuration is that of the weights: another would run, and give noise."""
        path = self.root / BUNDLE_CHECKPOINT
        try:
            with self._open(BUNDLE_CHECKPOINT) as file:
                config = config_of_checkpoint(path, header_of(file, path))
        except CheckpointError as error:
            raise BundleError(f"{self.root}: {error}") from error
        if config == self.config:
            return
        mine, theirs = self.config.to_dict(), {} if config is None else config.to_dict()
        names = sorted(key for key in mine | theirs if mine.get(key) != theirs.get(key))
        got, expected = (
            ", ".join(f"{name} {values.get(name)!r:.100}" for name in names)
            for values in (mine, theirs)
        )
        raise BundleError(
            f"{self.root}: configuration: got {got}, expected {expected}, as in "
            f"{BUNDLE_CHECKPOINT}. The manifest was changed: copy or export the bundle again."
        )

    def _open(self, name: str) -> BinaryIO:
        record = self.files[name]
        path = self.root / name
        try:
            file = open_contained(self.root, name)
        except OSError as error:
            raise BundleError(
                f"{path}: got no readable file ({error.strerror}), expected one of {record.size} "
                "bytes. Copy or export the bundle again."
            ) from error
        size = os.fstat(file.fileno()).st_size
        if size != record.size:
            file.close()
            raise BundleError(
                f"{path}: got {size} bytes, expected {record.size}. "
                "The file is damaged: copy or export the bundle again."
            )
        return file

    def _check(self, name: str, digest: str) -> None:
        expected = self.files[name].sha256
        if digest != expected:
            raise BundleError(
                f"{self.root / name}: got SHA-256 {digest}, expected {expected}. The file is not "
                "the one that was exported: copy or export the bundle again."
            )

    def read(self, name: str) -> bytes:
        """The verified content of the file ``name`` of `files`: what is parsed is what was hashed.

        Raises
        ------
        BundleError
            If the bundle lists no such file, or it has changed.
        """
        if name not in self.files:
            raise BundleError(
                f"{self.root}: {name}: got a bundle without it, expected one of "
                f"{', '.join(sorted(self.files))}. Export the bundle again."
            )
        with self._open(name) as file:
            content = file.read(self.files[name].size + 1)  # it may still be growing
        self._check(name, hashlib.sha256(content).hexdigest())
        return content

    def __repr__(self) -> str:
        return f"<Bundle {self.name!r}: {self.graphs} in {str(self.root)!r}>"

    @property
    def graphs(self) -> str:
        """Its graphs by name, for messages; those that are outdated as such."""
        names = [artifact.name for artifact in self.artifacts]
        names += [f"{artifact.name} ({OUTDATED})" for artifact in self.outdated]
        return ", ".join(names) or "no graph"

    def find(self, kind: Kind, precision: Precision) -> Artifact | None:
        """The graph of that kind and precision, if the bundle has one."""
        for artifact in self.artifacts:
            if (artifact.kind, artifact.precision) == (kind, precision):
                return artifact
        return None

    @property
    def identity(self) -> str:
        """SHA-256 of what the model is: its configuration and every file, wherever it lies."""
        files = {name: record.sha256 for name, record in self.files.items()}
        text = json.dumps([self.config.to_dict(), files], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def is_whole(self) -> bool:
        """Whether its networks make masks in one go: a user's own, and those of schema 1."""
        return self.schema == 1 or self.config.is_whole

    @property
    def has_checkpoint(self) -> bool:
        """Whether the bundle carries the weights that the PyTorch reference runs on."""
        return BUNDLE_CHECKPOINT in self.files

    @cached_property
    def probe(self) -> Probe:
        """Golden windows and what the reference says of them."""
        return Probe.from_bytes(self.read(BUNDLE_PROBE), self.config, self.root / BUNDLE_PROBE)


def embedded() -> Path:
    """Folder of the bundle that ships with the package."""
    return Path(__file__).parents[1] / "data" / "instruments"
