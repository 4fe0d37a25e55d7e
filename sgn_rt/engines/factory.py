"""The one place that knows every engine: names, order of preference, how each is opened."""

from __future__ import annotations

from sgn_rt.engines.base import Engine, available_cpus
from sgn_rt.engines.onnxruntime import CPU, CUDA, TENSORRT, open_onnxruntime
from sgn_rt.engines.tensorrt import open_tensorrt
from sgn_rt.engines.torch import TorchEngine
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.tensorrt.bindings import Flavor

PROVIDERS = {
    "onnxruntime-tensorrt": TENSORRT,
    "onnxruntime-cuda": CUDA,
    "onnxruntime": CPU,
}
ENGINES = (*(str(flavor) for flavor in Flavor), *PROVIDERS, "torch")
"""Every engine, in the order in which ``auto`` tries them."""


def open_engine(spec: str, bundle: Bundle, threads: int | None = None) -> Engine:
    """Open an engine.

    Parameters
    ----------
    spec
        One of `ENGINES`; for all but ``torch`` also ``name:kind.precision``, to choose the graph.
    bundle
        The model.
    threads
        Processors to use on the CPU; None for all that the process may use.

    Raises
    ------
    DependencyError
        If a package that it needs is not installed.
    EngineError
        If there is no such engine, or it cannot start here.
    """
    name, _, artifact = spec.partition(":")
    if name not in ENGINES or (artifact and name == "torch"):
        raise EngineError(
            f"engine: got {spec!r}, expected auto, {', '.join(ENGINES)}, or one of them "
            "with a graph, as in onnxruntime:waveform.fp32. Choose one of them."
        )
    if name == "torch":
        return TorchEngine(bundle)
    if name in tuple(Flavor):
        return open_tensorrt(bundle, name=spec, flavor=Flavor(name), artifact=artifact or None)
    return open_onnxruntime(
        bundle,
        name=spec,
        provider=PROVIDERS[name],
        artifact=artifact or None,
        threads=threads or available_cpus(),
    )
