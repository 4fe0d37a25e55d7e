"""ONNX Runtime: the CPU's engine, and CUDA's and TensorRT's where onnxruntime-gpu brings them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgn_rt._optional import pip_command, require
from sgn_rt._types import Float, Masked, Positions, Separated
from sgn_rt.engines.base import Engine, MaskEngine, MasksAtOnce, WholeEngine, first_line
from sgn_rt.engines.confined import SECONDS_A_WINDOW, TimeLimit, expect_version, without_files
from sgn_rt.errors import EngineError, UnavailableError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import Kind, Precision, Tensor
from sgn_rt.model.export_command import export_command
from sgn_rt.model.graph_file import expect_described, expect_inside
from sgn_rt.tensorrt.bindings import Flavor, is_installed
from sgn_rt.tensorrt.device.factory import has_driver

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

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
"""Graphs by provider, the best first."""


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
        return artifact
    preferred = " or ".join(f"{kind}.{precision}" for kind, precision in PREFERENCE[provider])
    raise UnavailableError(
        f"onnxruntime ({provider}): got a bundle with {bundle.graphs}, expected "
        f"{wanted or preferred}. "
        f"Export them, e.g. `{export_command(bundle)}`, or choose another engine."
    )


class _Session:
    """An ONNX Runtime session on one provider, or an error: never another provider in its place."""

    def __init__(self, bundle: Bundle, artifact: Artifact, provider: str) -> None:
        ort = require(
            "onnxruntime",
            extra="cpu" if provider == CPU else "gpu",
            purpose=f"the onnxruntime engine on {provider}",
        )
        expect_version(ort, "cpu" if provider == CPU else "gpu")
        available = ort.get_available_providers()
        if provider not in available:
            raise UnavailableError(
                f"onnxruntime: provider: got only {', '.join(available)}, expected {provider}. "
                "Put onnxruntime-gpu and its CUDA libraries in the place of onnxruntime: "
                f"pip uninstall onnxruntime, then {pip_command('gpu')}"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 4
        # Whole windows run side by side, one thread each: better than threads inside of one.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        content = bundle.read(artifact.path)
        expect_inside(content, artifact.external, f"onnxruntime: {artifact.path}")
        expect_described(content, bundle, artifact, f"onnxruntime: {artifact.path}")
        held = [bundle.read(name) for name in artifact.external]
        if held:
            options.add_external_initializers_from_files_in_memory(
                list(artifact.external), held, [len(content) for content in held]
            )
        try:
            with without_files(options):
                self._session: Any = ort.InferenceSession(content, options, providers=[provider])
        except Exception as error:  # ONNX Runtime's exceptions have no common base but this
            raise EngineError(
                f"onnxruntime: {artifact.path}: got {first_line(error)}, expected a graph that "
                f"{provider} loads. Export the bundle again, or choose another engine."
            ) from error
        running = self._session.get_providers()
        if not running or running[0] != provider:
            # The providers are in the package; what they load belongs to the machine.
            missing = provider == TENSORRT and not is_installed(Flavor.TENSORRT)
            kind = UnavailableError if missing or not has_driver() else EngineError
            raise kind(
                f"onnxruntime: provider: got {', '.join(running)}, expected {provider}. "
                "Its libraries failed to load: check the CUDA installation, or choose another "
                "engine."
            )
        self._run_options, self._limit = ort.RunOptions, TimeLimit(SECONDS_A_WINDOW)
        self.version = str(ort.__version__)

    def run(self, outputs: Sequence[str], inputs: dict[str, Any]) -> list[Any]:
        """Run the part of the graph that the outputs need."""
        session = self._session
        if session is None:
            raise EngineError("onnxruntime: got a call after close, expected none. Open another.")
        options = self._run_options()
        options.only_execute_path_to_fetches = True
        windows = len(next(iter(inputs.values())))
        try:
            with self._limit.on(options, windows):
                results: list[Any] = session.run(list(outputs), inputs, options)
        except Exception as error:  # as above
            got = "no end, for minutes" if options.terminate else first_line(error)
            raise EngineError(
                f"onnxruntime: got {got}, expected a result. Choose another engine."
            ) from error
        return results

    def close(self) -> None:
        """Let go of the session; runs that are under way end first."""
        self._session = None


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

    def __init__(self, config: ModelConfig, session: _Session, masks: _Session) -> None:
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
    """The ``core`` graph of schema 1, which takes categories and gives their masks."""

    def __init__(self, config: ModelConfig, session: _Session) -> None:
        super().__init__(config)
        self.session = session

    def close(self) -> None:
        """Let go of the session."""
        self.session.close()

    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        inputs: dict[str, Any] = {
            Tensor.LOG_MAGNITUDE: log_magnitude,
            Tensor.CATEGORIES: categories,
        }
        if len(categories) == 0:
            (presence,) = self.session.run([Tensor.PRESENCE], inputs)
            plane = (self.config.frequency_bins, self.config.frames)
            return Masked(np.empty((len(log_magnitude), 0, *plane), np.float32), presence)
        return Masked(*self.session.run([Tensor.MASKS, Tensor.PRESENCE], inputs))


class _Waveform(WholeEngine):
    """The ``waveform`` graph."""

    def __init__(self, config: ModelConfig, session: _Session) -> None:
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


def _masks_session(bundle: Bundle, precision: Precision) -> _Session:
    """Of the graph that belongs to a core: on the CPU, as the inverse STFT behind it is there.

    Elsewhere the basis maps would go back to the device for every source.
    """
    artifact = bundle.find(Kind.MASKS, precision)
    assert artifact is not None, "no bundle opens without it"
    return _Session(bundle, artifact, CPU)


def open_onnxruntime(
    bundle: Bundle, *, name: str, provider: str, artifact: str | None, threads: int
) -> Engine:
    """An engine on one of ONNX Runtime's providers.

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
    session = _Session(bundle, chosen, provider)
    engine: _Core | _CoreAtOnce | _Waveform
    if chosen.kind == Kind.WAVEFORM:
        engine = _Waveform(bundle.config, session)
    elif bundle.schema == 1:
        engine = _CoreAtOnce(bundle.config, session)
    else:
        engine = _Core(bundle.config, session, _masks_session(bundle, chosen.precision))
    engine.name = name
    engine.detail = f"{chosen.name} on {provider}, onnxruntime {session.version}"
    if isinstance(engine, _Core) and provider != CPU:
        engine.detail += ", masks on the CPU"
    engine.precision = chosen.precision
    engine.concurrency = threads if provider == CPU else 1
    return engine
