"""The one place that knows every engine: names, order of preference, how each is opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sgn_rt._processors import available_cpus
from sgn_rt.engines.base import Engine, first_line
from sgn_rt.engines.onnxruntime import graphs_for, open_onnxruntime
from sgn_rt.engines.onnxruntime_session import CPU, CUDA, TENSORRT
from sgn_rt.engines.several import SeveralEngines
from sgn_rt.engines.tensorrt import graphs_to_build, open_tensorrt
from sgn_rt.engines.torch import TorchEngine
from sgn_rt.errors import ConfigError, EngineError, SgnError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.tensorrt.bindings import Flavor
from sgn_rt.tensorrt.run.options import RunOptions

PROVIDERS = {
    "onnxruntime-tensorrt": TENSORRT,
    "onnxruntime-cuda": CUDA,
    "onnxruntime": CPU,
}
ENGINES = (*(str(flavor) for flavor in Flavor), *PROVIDERS, "torch")
"""Every engine, in the order in which ``auto`` tries them."""


def candidates(
    engines: Iterable[str], bundle: Bundle, asked_for: str | None = None
) -> Iterator[str]:
    """What to try, best first: each engine on its best graph, then on others that serve it.

    Parameters
    ----------
    engines
        Names, in order of preference.
    bundle
        The model.
    asked_for
        The engine that comes before all others, with its graphs; None for none.
    """
    names = list(engines)
    if asked_for is not None:
        names = [asked_for, *(name for name in names if name != asked_for)]
    for name in names:
        yield name
        graphs: Sequence[Artifact] = ()
        if name in PROVIDERS:
            graphs = graphs_for(bundle, PROVIDERS[name])
        elif name in tuple(Flavor):
            graphs = graphs_to_build(bundle)
        yield from (f"{name}:{artifact.name}" for artifact in graphs[1:])


def runs_on_gpu(spec: str) -> bool:
    """Whether an engine of `ENGINES`, with or without its graph, is a GPU's."""
    name = spec.partition(":")[0]
    return name in tuple(Flavor) or PROVIDERS.get(name, CPU) != CPU


def open_engine(
    spec: str,
    bundle: Bundle,
    threads: int | None = None,
    *,
    device: int | None = None,
    gpu: RunOptions | None = None,
) -> Engine:
    """Open an engine.

    Parameters
    ----------
    spec
        One of `ENGINES`; for all but ``torch`` also ``name:kind.precision``, to choose the graph.
    bundle
        The model.
    threads
        Processors to use on the CPU; None for all that the process may use.
    device
        Number of the GPU; None for the one that is current in this thread.
    gpu
        How TensorRT uses the GPU; None for what is well chosen.

    Raises
    ------
    ConfigError
        If a GPU is named for an engine of the CPU.
    DependencyError, UnavailableError
        If it is not here: a package that it needs, a GPU, or what it runs in the bundle.
    SgnError
        If there is no such engine, or it is here and does not start.
    """
    name, _, artifact = spec.partition(":")
    if name not in ENGINES or (artifact and name == "torch"):
        raise EngineError(
            f"engine: got {spec!r}, expected auto, {', '.join(ENGINES)}, or one of them "
            "with a graph, as in onnxruntime:waveform.fp32. Choose one of them."
        )
    expect_gpu_engine(spec, device)
    try:
        if name == "torch":
            return TorchEngine(bundle)
        if name in tuple(Flavor):
            return open_tensorrt(
                bundle,
                name=spec,
                flavor=Flavor(name),
                artifact=artifact or None,
                options=gpu,
                ordinal=device,
            )
        return open_onnxruntime(
            bundle,
            name=spec,
            provider=PROVIDERS[name],
            artifact=artifact or None,
            threads=threads or available_cpus(),
            device=device,
        )
    except SgnError:
        raise
    except Exception as error:  # whatever it is, another engine can take over
        raise EngineError(
            f"{spec}: got {type(error).__name__}: {first_line(error)}, expected it to start. "
            "Choose another engine, and report this."
        ) from error


def expect_gpu_engine(spec: str, device: object) -> None:
    """Refuse a GPU for an engine that has no use for it.

    Raises
    ------
    ConfigError
        If one is named, and the engine is the CPU's.
    """
    if device is not None and not runs_on_gpu(spec):
        names = ", ".join(name for name in ENGINES if runs_on_gpu(name))
        raise ConfigError(
            f"device: got {device!r:.60} for {spec}, which runs on the CPU, expected an engine of "
            f"a GPU: {names}. Leave the device out, or choose one of them."
        )


def open_on(
    spec: str,
    bundle: Bundle,
    threads: int | None,
    devices: Sequence[int],
    *,
    gpu: RunOptions | None = None,
    replaces: bool = True,
) -> Engine:
    """Open an engine on each of some GPUs, as one engine.

    Parameters
    ----------
    spec, bundle, threads, gpu
        As `open_engine`.
    devices
        Numbers of the GPUs, at least one.
    replaces
        Whether it is opened without a GPU on which it does not start, and goes on without one that
        fails later; else that is an error.

    Raises
    ------
    SgnError
        As `open_engine`, if it starts on none, or if ``replaces`` is not wanted.
    """
    opened: dict[int, Engine] = {}
    failed: dict[int, SgnError] = {}
    for device in devices:
        try:
            opened[device] = open_engine(spec, bundle, threads, device=device, gpu=gpu)
        except SgnError as error:
            failed[device] = error
    if failed and not (opened and replaces):
        for engine in opened.values():
            engine.close()
        raise next(iter(failed.values()))
    if len(devices) == 1:
        return opened[devices[0]]
    lost = [
        f"{spec} does not start on GPU {device}, as {error}" for device, error in failed.items()
    ]
    return SeveralEngines(spec, opened, lost=lost, replaces=replaces)
