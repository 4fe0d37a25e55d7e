"""From a graph to an engine, for a named GPU.

TensorRT says None or False where it fails: each is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sgn_rt.errors import ConfigError, EngineError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import Kind, Precision, Tensor, type_of
from sgn_rt.model.graph_file import expect_described, expect_inside
from sgn_rt.tensorrt.bindings import TensorRT, deserialize, load_plugins
from sgn_rt.tensorrt.build.callbacks import (
    Log,
    Progress,
    ProgressTree,
    ignore,
    make_logger,
    make_monitor,
)
from sgn_rt.tensorrt.build.engine_summary import (
    Figure,
    Layer,
    Memory,
    figure_of,
    layers_from_inspector,
    layers_from_log,
    memory_from_log,
)
from sgn_rt.tensorrt.build.options import BuildOptions
from sgn_rt.tensorrt.profiles import Profiles, profiles_for

if TYPE_CHECKING:
    import tensorrt as api

RTX_DEFAULT_GPUS: Final = ("sm80", "sm86", "sm89", "sm120")
"""What TensorRT for RTX builds for where no GPU is named and none is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A serialised engine and what it consists of."""

    content: bytes
    profiles: Profiles
    figure: Figure
    timing_cache: bytes | None = field(default=None, repr=False)


def build_engine(
    trt: TensorRT,
    bundle: Bundle,
    artifact: Artifact,
    options: BuildOptions,
    plugins: Path | None = None,
    progress: Progress = ignore,
    *,
    graph: bytes | None = None,
) -> Built:
    """Build an engine of one of a bundle's graphs.

    Parameters
    ----------
    trt
        What builds. Full TensorRT needs the GPU that the engine is for; for RTX none.
    bundle, artifact
        The graph.
    options
        Checked against flavour and model.
    plugins
        Plugin library; None for a graph of standard operators.
    progress
        Told how much is done; an exception that it raises ends the build.
    graph
        A variant of the graph, from mixture and categories to other outputs, as ONNX; None for the
        one in the bundle.

    Raises
    ------
    ConfigError
        For options that cannot be.
    BundleError
        If the graph refers to files that the manifest does not name.
    EngineError
        If TensorRT refuses the graph or fails; with its own reason.
    """
    options.check(trt, bundle.config)
    log, tree = Log(), ProgressTree(progress)
    try:
        # These refer to each other in C++: the builder goes last.
        return _build(trt, bundle, artifact, options, plugins, graph, log, tree)
    except (TypeError, RuntimeError) as error:
        if isinstance(error, EngineError | ConfigError):
            raise
        # Bindings raise these where a factory gives nullptr, e.g. a builder without a GPU.
        raise _failed(trt, artifact, f"{error} ({log.reason})") from error


def _build(
    trt: TensorRT,
    bundle: Bundle,
    artifact: Artifact,
    options: BuildOptions,
    plugins: Path | None,
    graph: bytes | None,
    log: Log,
    tree: ProgressTree,
) -> Built:
    module = trt.module
    logger = make_logger(module, log)
    builder: api.Builder = _there(module.Builder(logger), trt, artifact, log, "a builder")
    if plugins is not None:
        load_plugins(trt, builder.get_plugin_registry(), plugins)
    strongly_typed = 1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network: api.INetworkDefinition = _there(
        builder.create_network(strongly_typed), trt, artifact, log, "a network"
    )
    _parse(trt, bundle, artifact, graph, network, logger, log)
    if graph is None and artifact.kind == Kind.PLUGIN:
        _lay_out_basis(module, network, artifact.precision)
    names = [network.get_layer(i) for i in range(network.num_layers)]
    parsed = [(str(layer.name), str(layer.type.name)) for layer in names]

    config: api.IBuilderConfig = _there(
        builder.create_builder_config(), trt, artifact, log, "a configuration"
    )
    monitor = make_monitor(module, tree)
    config.progress_monitor = monitor
    config.profiling_verbosity = module.ProfilingVerbosity.DETAILED
    config.clear_flag(module.BuilderFlag.TF32)  # rounds float32 products to 10 bits: no parity
    cache = _configure(trt, config, options, log)
    most = options.max_sources or len(bundle.config.categories)
    # A variant is of both halves of a pair (`sgn_rt.export.pair`): it has a waveform's inputs.
    kind = artifact.kind if graph is None else Kind.WAVEFORM
    profiles = profiles_for(kind, bundle.config, options.max_batch, most)
    for each in profiles:
        profile: api.IOptimizationProfile = _there(
            builder.create_optimization_profile(), trt, artifact, log, "a profile"
        )
        for name, shapes in each.items():
            sizes = (module.Dims(s) for s in (shapes.smallest, shapes.best, shapes.largest))
            profile.set_shape(name, *sizes)
        if config.add_optimization_profile(profile) < 0:
            raise _failed(trt, artifact, f"the profile {each} refused ({log.reason})")
    plan = builder.build_serialized_network(network, config)
    tree.reraise()
    if plan is None:
        raise _failed(trt, artifact, f"for {', '.join(options.gpus)}: {log.reason}")
    content = bytes(plan)
    layers, memory = _told(trt, content, options, plugins, logger, log)
    figure = figure_of(layers, parsed, memory, len(profiles))
    timings = None if cache is None else bytes(cache.serialize())
    return Built(content=content, profiles=profiles, figure=figure, timing_cache=timings)


def _parse(
    trt: TensorRT,
    bundle: Bundle,
    artifact: Artifact,
    graph: bytes | None,
    network: Any,
    logger: Any,
    log: Log,
) -> None:
    parser: api.OnnxParser = _there(
        trt.module.OnnxParser(network, logger), trt, artifact, log, "a parser"
    )
    content = bundle.read(artifact.path) if graph is None else graph
    # The parser reads such files itself: those of the bundle alone, verified here once more.
    expect_inside(content, artifact.external, f"{trt}: {artifact.path}")
    if graph is None:
        expect_described(content, bundle, artifact, f"{trt}: {artifact.path}")
    for name in artifact.external:
        bundle.read(name)
    if not parser.parse(content, str(bundle.root / artifact.path)):
        reasons = [str(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise _failed(trt, artifact, " / ".join(reasons) or log.reason)


def _lay_out_basis(module: Any, network: Any, precision: Precision) -> None:
    """Have basis maps come out channels last, as the last convolution makes them.

    A kernel that copied them would otherwise end the network: the largest tensor that there is.
    """
    is_half = type_of(Kind.PLUGIN, Tensor.BASIS, precision) == "float16"
    layout = module.TensorFormat.HWC8 if is_half else module.TensorFormat.HWC
    for index in range(network.num_outputs):
        tensor = network.get_output(index)
        if tensor.name == Tensor.BASIS:
            tensor.allowed_formats = 1 << int(layout)


def _told(
    trt: TensorRT,
    content: bytes,
    options: BuildOptions,
    plugins: Path | None,
    logger: Any,
    log: Log,
) -> tuple[list[Layer], Memory]:
    """What the engine consists of, and the memory that it takes.

    TensorRT for RTX lists it in its log. Full TensorRT's log is in no form that is documented; the
    engine and its inspector tell it, on the GPU, which is there as it was built on it.
    """
    layers, memory = layers_from_log(log.messages), memory_from_log(log.messages)
    if layers or trt.is_rtx:
        return layers, memory
    runtime: api.Runtime = trt.module.Runtime(logger)
    engine: api.ICudaEngine | None = deserialize(
        trt, runtime, content, plugins, host_code=options.version_compatible
    )
    if engine is None:
        return [], memory  # the engine is whole without: its parity says whether it is right
    activation = [
        int(engine.get_device_memory_size_for_profile_v2(index))
        for index in range(engine.num_optimization_profiles)
    ]
    memory = replace(memory, activation=tuple(activation))
    inspector: Any = engine.create_engine_inspector()
    if inspector is None:
        return [], memory
    text = inspector.get_engine_information(trt.module.LayerInformationFormat.JSON)
    return layers_from_inspector(text), memory


def _configure(trt: TensorRT, config: Any, options: BuildOptions, log: Log) -> Any | None:
    """Set what the user chose; the timing cache, if there is one."""
    module = trt.module
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.aux_streams is not None:
        config.max_aux_streams = options.aux_streams
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if trt.is_rtx:
        set_targets(trt, config, options.gpus)
        return None
    if options.hardware_compatible:
        config.hardware_compatibility_level = module.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.version_compatible:
        config.set_flag(module.BuilderFlag.VERSION_COMPATIBLE)
    if options.timing_cache is None:
        return None
    path = options.timing_cache
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise EngineError(
            f"{path}: got a timing cache that {trt} does not take ({log.reason}), expected one of "
            "this GPU and "
            "version. Delete it, or name another."
        )
    return cache


def set_targets(trt: TensorRT, config: Any, gpus: tuple[str, ...]) -> None:
    """Say which GPUs TensorRT for RTX builds for.

    Raises
    ------
    ConfigError
        For one that it does not know.
    """
    config.num_compute_capabilities = len(gpus)
    for index, gpu in enumerate(gpus):
        if not config.set_compute_capability(_capability(trt, gpu), index):
            raise ConfigError(f"gpu: got {gpu}, refused by {trt}, expected another. Name another.")


def rtx_gpus(trt: TensorRT) -> tuple[str, ...]:
    """Compute capabilities that TensorRT for RTX can be asked for, e.g. ``("sm75", "sm80")``."""
    names = [name.lower() for name in dir(trt.module.ComputeCapability)]
    gpus = [name for name in names if name.startswith("sm") and name[2:].isdigit()]
    return tuple(sorted(gpus, key=lambda name: int(name[2:])))


def _capability(trt: TensorRT, gpu: str) -> Any:
    known = rtx_gpus(trt)
    if gpu not in known:
        raise ConfigError(
            f"gpu: got {gpu!r}, expected one of {', '.join(known)}. Choose from these."
        )
    return getattr(trt.module.ComputeCapability, gpu.upper())


def _there(value: Any | None, trt: TensorRT, artifact: Artifact, log: Log, what: str) -> Any:
    if value is None:
        raise _failed(trt, artifact, f"no {what.split()[-1]} ({log.reason})")
    return value


def _failed(trt: TensorRT, artifact: Artifact, got: str) -> EngineError:
    advice = (
        "Name other GPUs or the other precision, or export the bundle again."
        if trt.is_rtx
        else "Full TensorRT builds on the GPU that the engine is for: check `nvidia-smi`, or take "
        "--flavor tensorrt-rtx, which needs none."
    )
    return EngineError(f"{trt}: {artifact.name}: got {got}, expected an engine. {advice}")
