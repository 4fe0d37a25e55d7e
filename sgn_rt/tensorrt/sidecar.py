"""What stands beside an engine: built for which machine, from what, proved or not.

Engines are products of one machine, so they are no part of the bundle's manifest: they lie in
``engines/`` as ``NAME.engine`` with ``NAME.json``. The sidecar is compared with the machine, and
the engine's hash with the sidecar, before a byte of the engine is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, TypeVar

from sgn_rt.model.bundle import OUTDATED
from sgn_rt.model.contract import Kind, Precision, Tensor, networks_of
from sgn_rt.model.stages import checked_parity
from sgn_rt.tensorrt.bindings import Flavor, version_numbers, version_text
from sgn_rt.tensorrt.build.engine_summary import Figure
from sgn_rt.tensorrt.profiles import Profiles, profiles_from_json, profiles_to_json

SIDECAR_SCHEMA: Final = 2
"""What a build writes. 1 had one profile, and whole engines of ``plugin``."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


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
        Input -> shapes, for live streams first, where there are two (`profiles_for`).
    hardware_compatible, version_compatible, workspace_bytes, optimization_level, aux_streams
        Options of its build; None where TensorRT's own choice was left to it.
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
    is_whole
        Whether it is of a network that makes masks in one go (`ModelConfig.is_whole`).
    """

    name: str
    flavor: Flavor
    version: tuple[int, ...]
    gpus: tuple[str, ...]
    gpu_name: str | None
    kind: Kind
    precision: Precision
    graph_sha256: str
    profiles: Profiles
    hardware_compatible: bool
    version_compatible: bool
    workspace_bytes: int | None
    optimization_level: int | None = None
    aux_streams: int | None = None
    figure: Figure
    plugin: PluginLibrary | None
    sha256: str
    size: int
    generator: str
    proof: Mapping[str, Any] | None
    is_whole: bool = False

    @property
    def artifact(self) -> str:
        """Kind and precision, as `sgn_rt.model.bundle.Artifact.name`."""
        return f"{self.kind}.{self.precision}"

    @property
    def is_outdated(self) -> bool:
        """Whether it is of a ``plugin`` graph from before that was cut in two."""
        is_cut = not self.is_whole
        return is_cut and self.kind == Kind.PLUGIN and Tensor.CATEGORIES in self.profiles[0]

    @property
    def max_batch(self) -> int:
        """Windows that it takes at a time."""
        return next(
            shapes.largest[0]
            for name, shapes in self.profiles[-1].items()
            if name != Tensor.CATEGORIES
        )

    @property
    def max_sources(self) -> int | None:
        """Categories that it takes at a time; None for a network, which makes no sources."""
        categories = self.profiles[-1].get(Tensor.CATEGORIES)
        return None if categories is None else categories.largest[0]

    @property
    def build_command(self) -> str:
        """What builds it again; of a synthesis, its network with it."""
        kind, precision = next(
            iter(networks_of(self.kind, self.precision)), (self.kind, self.precision)
        )
        return f"sgn-rt build BUNDLE --flavor {self.flavor} --kind {kind} --precision {precision}"

    def mismatch(self, machine: Machine) -> str | None:
        """Why it cannot run on a machine, with the command that helps; None if it can."""
        if self.is_outdated:
            return (
                f"engine {self.name}: built of a graph that was {OUTDATED}. Then run "
                f"`{self.build_command}`"
            )
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

    def foreign_timings(self, machine: Machine) -> str | None:
        """What to tell where it runs, but its kernels were chosen on another GPU; None if not.

        GPUs of one compute capability differ in size and memory, as L4 and RTX 4090 do, or H100 and
        H200. TensorRT for RTX times nothing when it builds.
        """
        if self.flavor == Flavor.RTX or self.gpu_name in (None, machine.gpu_name):
            return None
        return (
            f"engine {self.name}: got kernels chosen by their times on {self.gpu_name}, expected "
            f"{machine.gpu_name}: it is right, and may be slow. Run `{self.build_command}`"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {
            "version": version_text(self.version),
            "gpus": list(self.gpus),
            "profiles": profiles_to_json(self.profiles),
            "figure": self.figure.to_dict(),
            "plugin": None if self.plugin is None else asdict(self.plugin),
        }
        del values["name"]
        if not self.is_whole:
            del values["is_whole"]
        return {"schema": SIDECAR_SCHEMA} | values

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any]) -> Sidecar:
        """From `to_dict`; KeyError, TypeError or ValueError for anything else."""
        schema = values["schema"]
        if schema not in (1, SIDECAR_SCHEMA):
            raise ValueError(f"schema {schema}, not {SIDECAR_SCHEMA}")
        old, is_whole = schema == 1, values.get("is_whole") is True
        plugin = values["plugin"]
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
            is_whole=is_whole,
            # Whole engines, as all were then, have the inputs of a waveform's.
            profiles=profiles_from_json(
                Kind.WAVEFORM if old or is_whole else kind,
                [values["profiles"]] if old else values["profiles"],
            ),
            hardware_compatible=_of(bool, values["hardware_compatible"]),
            version_compatible=_of(bool, values["version_compatible"]),
            workspace_bytes=_number_or_none(values["workspace_bytes"]),
            optimization_level=None if old else _number_or_none(values["optimization_level"]),
            aux_streams=None if old else _number_or_none(values["aux_streams"]),
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


def _number_or_none(value: object) -> int | None:
    return None if value is None else _of(int, value)


def _sha256(value: object) -> str:
    if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
        raise ValueError(f"{value!r:.100} instead of a SHA-256")
    return value


def _proof(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values) | {
        "gpu": _of(str, values["gpu"]),
        "stages": checked_parity(values["stages"]),
    }


def engine_name(artifact: str, flavor: Flavor, gpus: tuple[str, ...]) -> str:
    """File name of an engine without suffix, e.g. ``waveform.fp16.tensorrt-rtx.sm89-sm120``."""
    return f"{artifact}.{flavor}.{'-'.join(gpus)}"


def _number(gpu: str) -> int:
    return int(gpu.removeprefix("sm"))
