"""ONNX Runtime: the CPU's engine, and which graph runs on which of its providers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float, Masked, Positions, Separated, Signals
from sgn_rt.engines.base import Engine, MaskEngine, MasksAtOnce, WholeEngine
from sgn_rt.engines.onnxruntime_gpu import (
    BATCH,
    SIDE_BY_SIDE,
    OnGpu,
    alone_with,
    expect_float32,
    in_batches,
    providers_on,
)
from sgn_rt.engines.onnxruntime_session import CPU, CUDA, TENSORRT, Runs, Session, load_onnxruntime
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Kind, Precision, Tensor, partner
from sgn_rt.model.export_command import export_command
from sgn_rt.model.shapes import input_of
from sgn_rt.tensorrt.device.factory import current_ordinal

PREFERENCE = {
    # The FFT around the network is by far the fastest on the CPU; half precision is emulated there.
    CPU: ((Kind.CORE, Precision.FP32), (Kind.WAVEFORM, Precision.FP32)),
    # On a GPU everything stays on the device, in half precision where the bundle has it.
    CUDA: (
        (Kind.WAVEFORM, Precision.FP16),
        (Kind.WAVEFORM, Precision.FP32),
        (Kind.CORE, Precision.FP32),
    ),
    TENSORRT: ((Kind.WAVEFORM, Precision.FP16), (Kind.WAVEFORM, Precision.FP32)),
}  # fmt: skip
"""Graphs by provider, the best first; others run if they are named."""


def graphs_for(bundle: Bundle, provider: str) -> list[Artifact]:
    """A bundle's graphs that a provider is given, the best first."""
    found = [bundle.find(*choice) for choice in PREFERENCE[provider]]
    return [artifact for artifact in found if artifact is not None]


def choose_artifact(bundle: Bundle, provider: str, wanted: str | None) -> Artifact:
    """The graph to run: the one named, as ``kind.precision``, or the provider's best in the bundle.

    Raises
    ------
    UnavailableError
        If the bundle has it not.
    EngineError
        If ONNX Runtime cannot run it.
    """
    if wanted is None:
        found = graphs_for(bundle, provider)
    else:
        found = [artifact for artifact in bundle.artifacts if artifact.name == wanted]
    for artifact in found:
        if artifact.kind == Kind.MASKS:
            raise EngineError(
                f"onnxruntime ({provider}): got {artifact.name}, which makes masks of what the "
                f"core gives, expected core or waveform. Choose core.{artifact.precision}: it "
                "brings its masks along."
            )
        if artifact.kind in (Kind.PLUGIN, Kind.SYNTHESIS):
            raise EngineError(
                f"onnxruntime ({provider}): got {artifact.name}, a graph with the operations of "
                "sgn-rt's TensorRT plugins, expected core or waveform. Choose one of those, or "
                "build a TensorRT engine of it."
            )
        if wanted and provider == TENSORRT and artifact.kind != Kind.WAVEFORM:
            raise EngineError(
                f"onnxruntime ({provider}): got {artifact.name}, whose shapes it is not told, "
                f"expected waveform. Choose waveform.{artifact.precision}."
            )
        return artifact
    preferred = " or ".join(f"{kind}.{precision}" for kind, precision in PREFERENCE[provider])
    raise UnavailableError(
        f"onnxruntime ({provider}): got a bundle with {bundle.graphs}, expected "
        f"{wanted or preferred}. "
        f"Export them, e.g. `{export_command(bundle)}`, or choose another engine."
    )


class _Maps(NamedTuple):
    """What masks of a window are made of: basis maps [1, ..] and guide [1, C, K + 1]."""

    basis: NDArray[Any]
    guide: Float


class _Core(MaskEngine):
    """The graphs ``core`` and ``masks``, SciPy's FFT around them.

    Both take one window at a time, and masks are made one by one: a source is the same to the bit
    whatever stands beside it, on any processor. It costs nothing (0.15 ms a mask, published
    network), and what goes from one graph into the other is never copied.
    """

    def __init__(self, config: ModelConfig, session: Runs, masks: Runs) -> None:
        super().__init__(config)
        self.session, self.masks_session = session, masks

    def close(self) -> None:
        """Let go of both sessions."""
        self.session.close()
        self.masks_session.close()

    def _network(
        self, log_magnitude: Float, wanted: Positions | None
    ) -> Sequence[tuple[Float, _Maps | Float]]:
        windows = [log_magnitude[i : i + 1] for i in range(len(log_magnitude))]
        if wanted is not None and len(wanted) == 0:
            # No decoder; a mask that is wanted all the same takes the network again.
            return [(self._run(window, Tensor.PRESENCE)[0][0], window) for window in windows]
        rows: list[tuple[Float, _Maps | Float]] = []
        for window in windows:
            presence, *maps = self._run(window, Tensor.PRESENCE, Tensor.BASIS, Tensor.GUIDE)
            rows.append((presence[0], _Maps(*maps)))
        return rows

    @property
    def shows_assignment(self) -> bool:
        """As `MaskEngine.shows_assignment`: of graphs that were exported so, by ONNX Runtime."""
        session = self.session
        return isinstance(session, Session) and Tensor.ASSIGNMENT in session.outputs

    def _signals(self, log_magnitude: Float) -> Signals:
        if not self.shows_assignment:
            return super()._signals(log_magnitude)
        outputs = (Tensor.PRESENCE, Tensor.EMBEDDING, Tensor.ASSIGNMENT)
        return Signals(*(each[0] for each in self._run(log_magnitude, *outputs)))

    def _run(self, window: Float, *outputs: Tensor) -> list[Any]:
        return self.session.run(outputs, {Tensor.LOG_MAGNITUDE: window})

    def _mask(self, state: _Maps | Float, category: int) -> Float:
        if not isinstance(state, _Maps):
            state = _Maps(*self._run(state, Tensor.BASIS, Tensor.GUIDE))
        guide = state.guide[:, category : category + 1]
        inputs: dict[str, Any] = {Tensor.BASIS: state.basis, Tensor.GUIDE: guide}
        (masks,) = self.masks_session.run([Tensor.MASKS], inputs)
        mask: Float = masks[0, 0]
        return mask


class _CoreAtOnce(MasksAtOnce):
    """A ``core`` graph that takes categories and gives their masks.

    Of a network that makes masks in one go, or of schema 1.
    """

    def __init__(self, config: ModelConfig, session: Runs) -> None:
        super().__init__(config)
        self.session, self._input = session, input_of(config)

    def close(self) -> None:
        """Let go of the session."""
        self.session.close()

    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        inputs: dict[str, Any] = {
            self._input: log_magnitude,
            Tensor.CATEGORIES: categories,
        }
        if len(categories) == 0:
            (presence,) = self.session.run([Tensor.PRESENCE], inputs)
            shape = (len(log_magnitude), 0, *self.config.mask_shape)
            return Masked(np.empty(shape, np.float32), presence)
        return Masked(*self.session.run([Tensor.MASKS, Tensor.PRESENCE], inputs))


class _Waveform(WholeEngine):
    """The ``waveform`` graph."""

    def __init__(self, config: ModelConfig, session: Runs) -> None:
        super().__init__(config)
        self.session = session

    def close(self) -> None:
        """Let go of the session."""
        self.session.close()

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        inputs: dict[str, Any] = {Tensor.MIXTURE: mixture, Tensor.CATEGORIES: categories}
        if len(categories) == 0:
            (presence,) = self.session.run([Tensor.PRESENCE], inputs)
            return Separated(np.empty((len(mixture), 0, mixture.shape[1]), np.float32), presence)
        return Separated(*self.session.run([Tensor.SOURCES, Tensor.PRESENCE], inputs))


class _CoreOnGpu(_Core):
    """The ``core`` graph on a GPU, many windows to a call; masks and FFT stay on the CPU."""

    batch = BATCH
    concurrency = SIDE_BY_SIDE

    def _network(
        self, log_magnitude: Float, wanted: Positions | None
    ) -> Sequence[tuple[Float, _Maps | Float]]:
        del wanted  # the decoder is what the GPU is for
        outputs = (Tensor.PRESENCE, Tensor.BASIS, Tensor.GUIDE)
        rows = in_batches(self.session, log_magnitude, outputs)
        return [(presence[0], _Maps(*maps)) for presence, *maps in rows]


def open_onnxruntime(
    bundle: Bundle,
    *,
    name: str,
    provider: str,
    artifact: str | None,
    threads: int,
    device: int | None = None,
) -> Engine:
    """An engine on one of ONNX Runtime's providers.

    Parameters
    ----------
    bundle
        The model.
    name
        As the engine is chosen.
    provider
        ONNX Runtime's name of it.
    artifact
        ``kind.precision`` of the graph; None for the provider's best.
    threads
        Processors to use, on the CPU.
    device
        Number of the GPU; None for the one that is current in this thread.

    Raises
    ------
    DependencyError
        If ONNX Runtime is not installed.
    UnavailableError
        If the provider is not there, or the bundle has no graph for it.
    BundleError, EngineError
        If a graph is there and does not load.
    """
    chosen = choose_artifact(bundle, provider, artifact)
    if provider == CPU:
        engine, version = _on_cpu(bundle, chosen)
        engine.concurrency = threads
        engine.detail = f"{chosen.name} on {provider}, onnxruntime {version}"
    else:
        ordinal = current_ordinal() if device is None else device
        engine, version = _on_gpu(bundle, chosen, provider, ordinal)
        engine.detail = f"{chosen.name} on {provider} of GPU {ordinal}, onnxruntime {version}"
        if isinstance(engine, MaskEngine):
            engine.detail += ", masks on the CPU"
    engine.name, engine.graph, engine.precision = name, chosen.name, chosen.precision
    return engine


def _on_cpu(bundle: Bundle, chosen: Artifact) -> tuple[Engine, str]:
    ort = load_onnxruntime(CPU)
    engine = on_graphs(bundle, chosen, lambda graph: Session(ort, bundle, graph, [(CPU, {})]))
    return engine, str(ort.__version__)


def on_graphs(bundle: Bundle, chosen: Artifact, open_graph: Callable[[Artifact], Runs]) -> Engine:
    """The engine of a network's graph and of the one that it goes with, whatever runs them.

    Parameters
    ----------
    bundle, chosen
        The model, and its graph: ``core`` or ``waveform``.
    open_graph
        What runs a graph of the bundle.
    """
    session = open_graph(chosen)
    if chosen.kind == Kind.WAVEFORM:
        return _Waveform(bundle.config, session)
    if bundle.is_whole:
        return _CoreAtOnce(bundle.config, session)
    return _Core(bundle.config, session, open_graph(_masks_of(bundle, chosen)))


def _on_gpu(bundle: Bundle, chosen: Artifact, provider: str, ordinal: int) -> tuple[Engine, str]:
    ort = load_onnxruntime(provider)
    expect_float32(provider)
    providers = providers_on(provider, bundle, chosen, ordinal)
    with alone_with(providers):
        session = Session(ort, bundle, chosen, providers)
    if chosen.kind == Kind.WAVEFORM:
        return OnGpu(bundle.config, session, ordinal), session.version
    if bundle.is_whole:
        engine = _CoreAtOnce(bundle.config, session)
        engine.concurrency = 1
        return engine, session.version
    masks = _masks_session(bundle, chosen)
    return _CoreOnGpu(bundle.config, session, masks), session.version


def _masks_session(bundle: Bundle, core: Artifact) -> Session:
    """Of the graph that belongs to a core: on the CPU, as the inverse STFT behind it is there.

    Elsewhere the basis maps would go back to the device for every source.
    """
    return Session(load_onnxruntime(CPU), bundle, _masks_of(bundle, core), [(CPU, {})])


def _masks_of(bundle: Bundle, core: Artifact) -> Artifact:
    masks = partner(core.kind, core.precision)
    artifact = None if masks is None else bundle.find(*masks)
    assert artifact is not None, "no bundle opens without it"
    return artifact
