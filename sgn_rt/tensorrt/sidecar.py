"""What stands beside an engine: built for which machine, from what, proved or not.

Engines are products of one machine, so they are no part of the bundle's manifest: they lie in
``engines/`` as ``NAME.engine`` with ``NAME.json``. The sidecar is compared with the machine, and
the engine's hash with the sidecar, before a byte of the engine is parsed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from sgn_rt._atomic import write_whole
from sgn_rt.errors import BundleError, EngineError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contained import open_contained
from sgn_rt.model.contract import GRAPH_INPUTS, Kind, Precision, Tensor, axes_of
from sgn_rt.model.stages import checked_parity
from sgn_rt.tensorrt.bindings import Flavor, version_numbers, version_text
from sgn_rt.tensorrt.build.engine_summary import Figure

SIDECAR_SCHEMA: Final = 1
ENGINES_FOLDER: Final = "engines"
_LIMIT: Final = 1 << 20
_LARGEST: Final = (1 << 31) - 1
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Smallest, best and largest shape of an input."""

    smallest: tuple[int, ...]
    best: tuple[int, ...]
    largest: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = list(zip(self.smallest, self.best, self.largest, strict=True))
        if not all(1 <= low <= best <= high <= _LARGEST for low, best, high in sizes):
            raise ValueError(f"a profile of {sizes!r:.100}, not 1 <= smallest <= best <= largest")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginLibrary:
    """The plugin library that an engine was built with."""

    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What an engine has to fit.

    Attributes
    ----------
    flavor, version
        TensorRT's.
    gpu
        Compute capability, e.g. ``"sm89"``.
    gpu_name
        As the driver calls it.
    """

    flavor: Flavor
    version: tuple[int, ...]
    gpu: str
    gpu_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """Description of an engine.

    Attributes
    ----------
    name
        Of the engine: file names without suffix.
    flavor, version
        TensorRT that built it.
    gpus
        Compute capabilities that it runs on.
    gpu_name
        The GPU that it was built on; None where it was built without one.
    kind, precision
        Of its graph.
    graph_sha256
        Hash of the graph that it was built from (`graph_digest`).
    profiles
        Input -> shapes.
    hardware_compatible, version_compatible, workspace_bytes
        Options of its build; no limit of workspace where None.
    figure
        What it consists of.
    plugin
        The plugin library; None where its graph has no plugins.
    sha256, size
        Of the engine, size in bytes.
    generator
        The sgn-rt that built it.
    proof
        Stage -> measured figure, limit and unit, with the GPU's name under ``gpu``; None until it
        has passed parity on a GPU.
    """

    name: str
    flavor: Flavor
    version: tuple[int, ...]
    gpus: tuple[str, ...]
    gpu_name: str | None
    kind: Kind
    precision: Precision
    graph_sha256: str
    profiles: Mapping[str, Profile]
    hardware_compatible: bool
    version_compatible: bool
    workspace_bytes: int | None
    figure: Figure
    plugin: PluginLibrary | None
    sha256: str
    size: int
    generator: str
    proof: Mapping[str, Any] | None

    @property
    def artifact(self) -> str:
        """Kind and precision, as `sgn_rt.model.bundle.Artifact.name`."""
        return f"{self.kind}.{self.precision}"

    @property
    def build_command(self) -> str:
        """What builds it again."""
        return (
            f"sgn-rt build BUNDLE --flavor {self.flavor} --kind {self.kind} "
            f"--precision {self.precision}"
        )

    def mismatch(self, machine: Machine) -> str | None:
        """Why it cannot run on a machine, with the command that helps; None if it can."""
        old = self.version_compatible and self.version < machine.version
        version_fits = self.flavor == machine.flavor and (self.version == machine.version or old)
        later = self.hardware_compatible and _number(machine.gpu) >= _number("sm80")
        if version_fits and (machine.gpu in self.gpus or later):
            return None
        command = self.build_command.replace(
            f"--flavor {self.flavor}", f"--flavor {machine.flavor}"
        )
        if machine.flavor == Flavor.RTX:
            command += f" --gpu {machine.gpu}"
        return (
            f"engine {self.name}: built for {','.join(self.gpus)} / {self.flavor} "
            f"{version_text(self.version)}, this is {machine.gpu} / {machine.flavor} "
            f"{version_text(machine.version)}. Run `{command}`"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {
            "version": version_text(self.version),
            "gpus": list(self.gpus),
            "profiles": {
                name: {key: list(shape) for key, shape in asdict(profile).items()}
                for name, profile in self.profiles.items()
            },
            "figure": self.figure.to_dict(),
            "plugin": None if self.plugin is None else asdict(self.plugin),
        }
        del values["name"]
        return {"schema": SIDECAR_SCHEMA} | values

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any]) -> Sidecar:
        """From `to_dict`; KeyError, TypeError or ValueError for anything else."""
        if values["schema"] != SIDECAR_SCHEMA:
            raise ValueError(f"schema {values['schema']}, not {SIDECAR_SCHEMA}")
        plugin = values["plugin"]
        workspace = values["workspace_bytes"]
        built_on = values["gpu_name"]
        kind = Kind(values["kind"])
        return cls(
            name=name,
            flavor=Flavor(values["flavor"]),
            version=version_numbers(str(values["version"])),
            gpus=tuple(map(str, values["gpus"])),
            gpu_name=None if built_on is None else str(built_on),
            kind=kind,
            precision=Precision(values["precision"]),
            graph_sha256=_sha256(values["graph_sha256"]),
            profiles=_profiles(kind, values["profiles"]),
            hardware_compatible=_of(bool, values["hardware_compatible"]),
            version_compatible=_of(bool, values["version_compatible"]),
            workspace_bytes=None if workspace is None else _of(int, workspace),
            figure=Figure.from_dict(values["figure"]),
            plugin=None if plugin is None else PluginLibrary(**plugin),
            sha256=_sha256(values["sha256"]),
            size=_of(int, values["size"]),
            generator=str(values["generator"]),
            proof=None if values["proof"] is None else _proof(values["proof"]),
        )


T = TypeVar("T")


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r:.100} instead of {kind.__name__}")
    return value


def _sha256(value: object) -> str:
    if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
        raise ValueError(f"{value!r:.100} instead of a SHA-256")
    return value


def _profiles(kind: Kind, values: Mapping[str, Any]) -> dict[str, Profile]:
    """Of the inputs that engines of this kind have, each of its number of axes."""
    profiles = {
        str(name): Profile(**{k: tuple(_of(int, n) for n in v) for k, v in profile.items()})
        for name, profile in values.items()
    }
    axes = {str(name): len(axes_of(kind, name)) for name in GRAPH_INPUTS[kind]}
    found = {name: len(profile.largest) for name, profile in profiles.items()}
    if Tensor.MIXTURE not in GRAPH_INPUTS[kind] or found != axes:
        raise ValueError(f"profiles of {found!r:.100} for a graph of kind {kind}")
    return profiles


def _proof(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values) | {
        "gpu": _of(str, values["gpu"]),
        "stages": checked_parity(values["stages"]),
    }


def engine_name(artifact: str, flavor: Flavor, gpus: tuple[str, ...]) -> str:
    """File name of an engine without suffix, e.g. ``waveform.fp16.tensorrt-rtx.sm89-sm120``."""
    return f"{artifact}.{flavor}.{'-'.join(gpus)}"


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
        path.with_name(f"{sidecar.name}.json").unlink(missing_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error
    write_sidecar(bundle, sidecar)
    return path


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


def _number(gpu: str) -> int:
    return int(gpu.removeprefix("sm"))


def _unwritable(path: Path, error: OSError) -> BundleError:
    return BundleError(
        f"{path}: got {error.strerror or error}, expected to write an engine there. "
        "Check permissions and free space, or copy the bundle to a folder of your own."
    )
