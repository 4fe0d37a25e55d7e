"""``sgn-rt build``: which engines, for which GPUs; built, proved where possible, recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import sgn_rt
from sgn_rt._atomic import write_named
from sgn_rt.errors import BundleError, ConfigError, EngineError, ParityError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import ENGINE_KINDS, Kind, Precision, networks_of
from sgn_rt.model.export_command import export_command
from sgn_rt.model.shapes import partner_of
from sgn_rt.model.stages import StageResult
from sgn_rt.tensorrt.bindings import TensorRT
from sgn_rt.tensorrt.build.builder import RTX_DEFAULT_GPUS, Built, build_engine, rtx_gpus
from sgn_rt.tensorrt.build.callbacks import Progress, ignore
from sgn_rt.tensorrt.build.options import BuildOptions
from sgn_rt.tensorrt.device.protocol import Device
from sgn_rt.tensorrt.engine_files import (
    Half,
    graph_digest,
    read_sidecars,
    write_halves,
    write_sidecar,
)
from sgn_rt.tensorrt.plugins.library import has_plugins, plugin_library
from sgn_rt.tensorrt.sidecar import Sidecar, engine_name
from sgn_rt.tensorrt.trust import trust

Tell = Callable[[str], Progress]
"""Told what is built next; gives what its progress is told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build; fields as the options of ``sgn-rt build``.

    Attributes
    ----------
    kind
        None for the best that the bundle has.
    precisions
        One engine for each.
    gpus
        One engine for each; none for the one that is here, or RTX's default where none is.
    options
        Of every build; its ``gpus`` are not looked at.
    """

    kind: Kind | None = None
    precisions: Sequence[Precision] = (Precision.FP16,)
    gpus: Sequence[str] = ()
    options: BuildOptions = field(default_factory=lambda: BuildOptions(gpus=()))


def choose_gpus(trt: TensorRT, named: Sequence[str], device: Device | None) -> tuple[str, ...]:
    """The compute capabilities to build for.

    Raises
    ------
    ConfigError
        For one that is named with full TensorRT and is not here, or that RTX does not know.
    EngineError
        If full TensorRT has no GPU to build on.
    """
    if trt.is_rtx:
        known = rtx_gpus(trt)
        here = () if device is None else (device.capability,)
        gpus = tuple(dict.fromkeys(named)) or here or RTX_DEFAULT_GPUS
        for gpu in gpus:
            if gpu not in known:
                raise ConfigError(
                    f"gpu: got {gpu!r}, expected one of {', '.join(known)}, which {trt} knows. "
                    "Choose from these, or take --flavor tensorrt on the machine with that GPU."
                )
        return gpus
    if device is None:
        raise EngineError(
            f"{trt}: got no GPU, expected the one that the engine is for. Build on the machine "
            "that "
            "runs it, or take --flavor tensorrt-rtx, which builds without."
        )
    if tuple(named) not in ((), (device.capability,)):
        raise ConfigError(
            f"gpu: got {','.join(named)}, expected {device.capability}, which is here: full "
            "TensorRT "
            "builds for nothing else. Leave --gpu out, or take --flavor tensorrt-rtx."
        )
    return (device.capability,)


def choose_artifacts(bundle: Bundle, request: BuildRequest) -> list[Artifact]:
    """The graphs to build from.

    Raises
    ------
    BundleError
        If the bundle lacks one.
    ConfigError
        For a kind that engines are not made of, or no precision.
    """
    if not request.precisions:
        raise ConfigError(
            f"precisions: got none, expected at least one of {', '.join(Precision)}. Name one."
        )
    if request.kind not in (None, *ENGINE_KINDS):
        raise ConfigError(
            f"kind: got {request.kind}, expected {' or '.join(ENGINE_KINDS)}: engines go from "
            "sound to sound. Choose one of these."
        )
    chosen = []
    for precision in request.precisions:
        kinds = ENGINE_KINDS if request.kind is None else (request.kind,)
        found = [a for kind in kinds if (a := bundle.find(kind, precision)) is not None]
        if not found:
            raise BundleError(
                f"{bundle.root}: got a bundle with {bundle.graphs}, expected "
                f"{' or '.join(f'{kind}.{precision}' for kind in kinds)} to build from. "
                f"Export it: `{export_command(bundle)}`"
            )
        chosen.append(found[0])
    return chosen


def _silent(title: str) -> Progress:
    del title
    return ignore


def build_into(
    bundle: Bundle,
    trt: TensorRT,
    request: BuildRequest,
    *,
    device: Device | None = None,
    prover: Callable[[Sequence[Half]], list[StageResult]] | None = None,
    tell: Tell = _silent,
    builder: Callable[..., Built] = build_engine,
) -> list[Sidecar]:
    """Build engines into a bundle, and prove those that can run here; of a pair always both.

    Parameters
    ----------
    bundle, trt, request
        What, with what, and how.
    device
        The GPU that is here; None where none is.
    prover
        Measures parity of an engine on that GPU, of a pair as one; None to record it as unproved.
    tell
        Told each engine's name, and its progress.
    builder
        As `sgn_rt.tensorrt.build.builder.build_engine`.

    Returns
    -------
    list
        What was written, in order.

    Raises
    ------
    BundleError, ConfigError, EngineError, PluginError
        For what cannot be built or written.
    ParityError
        If an engine fails parity on the GPU that is here; it is then not recorded.
    """
    gpus = choose_gpus(trt, request.gpus, device)
    written = []
    for artifact in choose_artifacts(bundle, request):
        for gpu in gpus:
            options = replace(request.options, gpus=(gpu,))
            halves = build_halves(
                bundle, trt, artifact, options, device=device, tell=tell, builder=builder
            )
            first, content = halves[0]
            if first.gpu_name is not None and prover is not None:
                halves[0] = proved(first, prover(halves), first.gpu_name), content
            for sidecar, _ in halves:
                trust(sidecar)
            write_halves(bundle, halves)
            written += [sidecar for sidecar, _ in halves]
    return written


def build_halves(
    bundle: Bundle,
    trt: TensorRT,
    artifact: Artifact,
    options: BuildOptions,
    *,
    device: Device | None = None,
    tell: Tell = _silent,
    builder: Callable[..., Built] = build_engine,
) -> list[Half]:
    """The engine of a graph, and the one that it needs beside it; as `build_one`.

    A synthesis serves several networks: it takes what the largest of them does.
    """
    graphs = [artifact]
    second = partner_of(bundle.config, artifact.kind, artifact.precision)
    if second is not None:
        found = bundle.find(*second)
        assert found is not None, "no bundle opens without it"
        graphs.append(found)
    halves = []
    for graph in graphs:
        name = engine_name(graph.name, trt.flavor, options.gpus)
        if graph is not artifact:
            options = _for_all(bundle, artifact, graph, name, options)
        halves.append(
            build_one(
                bundle, trt, graph, options, device=device, progress=tell(name), builder=builder
            )
        )
    return halves


def _for_all(
    bundle: Bundle, artifact: Artifact, second: Artifact, name: str, options: BuildOptions
) -> BuildOptions:
    """Options under which a synthesis also serves the engines of other networks in the bundle."""
    others = {f"{k}.{p}" for k, p in networks_of(second.kind, second.precision)} - {artifact.name}
    sidecars = read_sidecars(bundle)
    if not any(sidecar.artifact in others for sidecar in sidecars):
        return options
    known = len(bundle.config.categories)
    before = [sidecar for sidecar in sidecars if sidecar.name == name]
    batches = [options.max_batch, *(sidecar.max_batch for sidecar in before)]
    sources = [options.max_sources or known, *(sidecar.max_sources or 1 for sidecar in before)]
    return replace(options, max_batch=max(batches), max_sources=min(known, max(sources)))


def build_one(
    bundle: Bundle,
    trt: TensorRT,
    artifact: Artifact,
    options: BuildOptions,
    *,
    device: Device | None = None,
    progress: Progress = ignore,
    builder: Callable[..., Built] = build_engine,
) -> tuple[Sidecar, bytes]:
    """An engine of one graph for one GPU, unproved; nothing is written but the timing cache.

    Parameters and errors are those of `build_into`.
    """
    (gpu,) = options.gpus
    library = plugin_library() if has_plugins(artifact.kind) else None
    path = None if library is None else library.path
    built = builder(trt, bundle, artifact, options, plugins=path, progress=progress)
    _keep_timings(options.timing_cache, built.timing_cache)
    sidecar = Sidecar(
        name=engine_name(artifact.name, trt.flavor, options.gpus),
        flavor=trt.flavor,
        version=trt.version,
        gpus=options.gpus,
        gpu_name=None if device is None or gpu != device.capability else device.name,
        kind=artifact.kind,
        precision=artifact.precision,
        graph_sha256=graph_digest(bundle, artifact),
        profiles=built.profiles,
        hardware_compatible=options.hardware_compatible,
        version_compatible=options.version_compatible,
        workspace_bytes=options.workspace_bytes,
        optimization_level=options.optimization_level,
        aux_streams=options.aux_streams,
        figure=built.figure,
        plugin=None if library is None else library.record,
        sha256=hashlib.sha256(built.content).hexdigest(),
        size=len(built.content),
        generator=f"sgn-rt {sgn_rt.__version__}",
        proof=None,
        is_whole=bundle.config.is_whole,
    )
    return sidecar, built.content


def proved(sidecar: Sidecar, results: Sequence[StageResult], gpu_name: str) -> Sidecar:
    """The sidecar with what was measured.

    Raises
    ------
    ParityError
        Naming the first stage beyond its limit.
    """
    for result in results:
        if not result.passed:
            raise ParityError(
                f"engine {sidecar.name}: parity stage {result.stage}: got {result.figure:.4g} "
                f"{result.limit.unit}, expected {result.limit}. It was not recorded: build the "
                "other "
                "precision, and report this."
            )
    stages = {str(result.stage): result.to_dict() for result in results}
    return replace(sidecar, proof={"gpu": gpu_name, "stages": stages})


def record_proof(
    bundle: Bundle, sidecar: Sidecar, results: Sequence[StageResult], gpu_name: str
) -> bool:
    """Write down a start-up probe that has passed; False where the bundle cannot be written."""
    try:
        write_sidecar(bundle, proved(sidecar, results, gpu_name))
    except BundleError:
        return False
    return True


def _keep_timings(path: Path | None, content: bytes | None) -> None:
    if path is None or content is None:
        return
    try:
        write_named(path, content)
    except OSError as error:
        raise BundleError(
            f"{path}: got {error.strerror or error}, expected to write the timing cache. "
            "Name another file, or check permissions."
        ) from error
