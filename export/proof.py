"""Proof of every graph, stage by stage, before a bundle is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from sgn_rt._types import Float, Masked, Positions, Separated, Signals
from sgn_rt.engines.base import Engine, MaskEngine, MasksAtOnce, WholeEngine
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import EngineError, ParityError
from sgn_rt.export.graphs import as_sgn, masks_module, network_module
from sgn_rt.export.network import Core
from sgn_rt.export.pair import load_graph
from sgn_rt.export.standard import standard_copy
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import (
    PLUGIN_NAMESPACE,
    SECOND_HALVES,
    Kind,
    PluginOp,
    Precision,
    Tensor,
)
from sgn_rt.model.stages import StageResult
from sgn_rt.model.transform import Transform
from sgn_rt.parity.measure import measure
from sgn_rt.parity.weights import shows_weights, weights
from sgn_rt.reference import Reference


def prove(
    bundle: Bundle, model: Reference, tell: Callable[[str], None]
) -> dict[str, list[StageResult]]:
    """Measure every stage of every graph of a bundle, and refuse what does not hold.

    A pair is measured as what it is, under the first's name.

    Returns
    -------
    dict
        Artifact -> stages.

    Raises
    ------
    ParityError
        Naming artifact, stage, figure and limit.
    """
    measured = {}
    for artifact in bundle.artifacts:
        if artifact.kind in SECOND_HALVES:
            continue
        try:
            results = measure_graph(bundle, artifact, model, tell)
        except EngineError as error:  # numbers that are not finite
            raise _unproved(bundle, artifact, str(error)) from error
        for result in results:
            if not result.passed:
                got = f"got {result.figure:.4g} {result.limit.unit}".rstrip()
                where = f" in {result.where}" if result.where else ""
                why = f"parity stage {result.stage}: {got}{where}, expected {result.limit}."
                raise _unproved(bundle, artifact, why)
        measured[artifact.name] = results
    return measured


def measure_graph(
    bundle: Bundle, artifact: Artifact, model: Reference, tell: Callable[[str], None]
) -> list[StageResult]:
    """Measure every stage of a graph.

    A float16 graph is measured twice, and the worse figure counts: as ONNX Runtime runs it on the
    CPU, which computes operators that it lacks in float16 in float32, and operator by operator in
    PyTorch, where every result is rounded.

    Raises
    ------
    EngineError
        If what it computes is not finite.
    """
    tell(f"proving {artifact.name}")
    results = measure(_engine(bundle, artifact), bundle.probe)
    if artifact.precision == Precision.FP16:
        tell(f"proving {artifact.name}, operator by operator")
        is_pair = artifact.kind == Kind.CORE and not bundle.is_whole
        engine: Engine
        if is_pair:
            engine = _RoundedPair(as_sgn(model))
        elif artifact.kind == Kind.CORE:
            engine = _RoundedMasks(model, artifact.kind)
        else:
            engine = _RoundedWhole(model, artifact.kind)
        rounded = measure(engine, bundle.probe)
        results = list(_worse(results, rounded))
    return [*results, weights(bundle, artifact)] if shows_weights(bundle) else results


def _unproved(bundle: Bundle, artifact: Artifact, why: str) -> ParityError:
    """What was measured, and where numbers are rounded the layer at which it begins."""
    where = _first_departure(bundle, artifact) if artifact.precision != Precision.FP32 else ""
    return ParityError(
        f"{artifact.name}: {why}{where} No bundle was written: "
        "check the checkpoint for extreme weights, or leave that precision out."
    )


def _first_departure(bundle: Bundle, artifact: Artifact) -> str:
    """A sentence that names the layer, or nothing: an export that fails fails all the same."""
    try:
        from sgn_rt.export.layer_result import first_departure
        from sgn_rt.export.layerwise import compare_layers

        first = first_departure(compare_layers(bundle, artifact))
    except Exception:  # whatever a graph that is wrong does to what looks at it
        return ""
    return "" if first is None else f" The first layer to depart from the checkpoint: {first}."


def _engine(bundle: Bundle, artifact: Artifact) -> Engine:
    """What runs an artifact on the CPU, as many of its stages open to view as there are."""
    if artifact.kind == Kind.CORE:
        return open_engine(f"onnxruntime:{artifact.name}", bundle)
    model = load_graph(bundle, artifact)
    if artifact.kind == Kind.WAVEFORM:
        whole: Engine = open_engine(f"onnxruntime:{artifact.name}", bundle)
        cuts = _cuts(artifact.kind, model.graph, bundle.config)
    else:
        cuts = _cuts(artifact.kind, model.graph, bundle.config)
        model = standard_copy(model, bundle.config)
        whole = _Copy(bundle, artifact, model)
    return whole if cuts is None else _Staged(bundle, model, cuts, whole)


def _worse(one: Iterable[StageResult], other: Iterable[StageResult]) -> Iterable[StageResult]:
    others = {result.stage: result for result in other}
    for result in one:
        rival = others.get(result.stage, result)
        worse = min if result.limit.at_least else max
        yield worse(result, rival, key=lambda r: r.figure)


class _Rounded(MaskEngine):
    """The module that a float16 graph is made from, in PyTorch: it rounds after every operator."""

    name = "float16, operator by operator"
    precision = Precision.FP16
    concurrency = 1
    detail = f"PyTorch {torch.__version__}, float16 on the CPU"

    def __init__(self, model: Reference, kind: Kind) -> None:
        super().__init__(model.config)
        self._module: Any = network_module(model, kind, Precision.FP16)


class _RoundedPair(_Rounded):
    """The modules of ``core`` and ``masks``."""

    def __init__(self, model: Reference) -> None:
        super().__init__(model, Kind.CORE)
        assert isinstance(self._module, Core)
        self._module.gives_assignment = True
        self._masks_of = masks_module(Precision.FP16)

    @property
    def shows_assignment(self) -> bool:
        return True

    def _signals(self, log_magnitude: Float) -> Signals:
        with torch.inference_mode():
            presence, embedding, _, _, assignment = self._module(torch.from_numpy(log_magnitude))
        return Signals(*(each[0].numpy() for each in (presence, embedding, assignment)))

    def _network(
        self, log_magnitude: Float, wanted: Positions | None
    ) -> Sequence[tuple[Float, Any]]:
        del wanted
        with torch.inference_mode():
            presence, _, guide, basis, _ = self._module(torch.from_numpy(log_magnitude))
        return [
            (presence[i].numpy(), (basis[i : i + 1], guide[i : i + 1])) for i in range(len(basis))
        ]

    def _mask(self, state: Any, category: int) -> Float:
        basis, guide = state
        with torch.inference_mode():
            masks = self._masks_of(basis, guide[:, category : category + 1])
        mask: Float = masks[0, 0].numpy()
        return mask


class _RoundedMasks(MasksAtOnce, _Rounded):
    """The module of a graph that makes masks in one go."""

    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        with torch.inference_mode():
            masks, presence, *_ = self._module.masks(
                torch.from_numpy(log_magnitude), torch.from_numpy(categories)
            )
        return Masked(masks.float().numpy(), presence.numpy())


class _RoundedWhole(WholeEngine, _RoundedMasks):
    """The module of a graph from mixture to sources."""

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        with torch.inference_mode():
            sources, presence, *_ = self._module(
                torch.from_numpy(mixture), torch.from_numpy(categories)
            )
        return Separated(sources.numpy(), presence.numpy())


class _Copy(WholeEngine):
    """The copy in standard operators of both graphs of ``plugin``, joined."""

    concurrency = 1

    def __init__(self, bundle: Bundle, artifact: Artifact, model: onnx.ModelProto) -> None:
        super().__init__(bundle.config)
        self.name, self.precision = artifact.name, artifact.precision
        self.detail = f"in standard operators, onnxruntime {onnxruntime.__version__}"
        self._session = _session(model)

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        inputs = {Tensor.MIXTURE.value: mixture, Tensor.CATEGORIES.value: categories}
        outputs = [Tensor.SOURCES.value, Tensor.PRESENCE.value]
        return Separated(*self._session.run(outputs, inputs))


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Names of the values at which a graph from mixture to sources comes apart."""

    log_magnitude: str
    masks: str
    spectrum: tuple[str, ...]
    """Real and imaginary part, or both in one."""


class _Staged(WholeEngine, MasksAtOnce):
    """A graph from mixture to sources, cut open: each stage is seen alone."""

    concurrency = 1

    def __init__(self, bundle: Bundle, model: onnx.ModelProto, cuts: _Cuts, whole: Engine) -> None:
        super().__init__(bundle.config)
        self.name, self.detail, self.precision = whole.name, whole.detail, whole.precision
        self._whole = whole
        self._cuts = cuts
        self._network_part = _part(
            model, [cuts.log_magnitude, Tensor.CATEGORIES], [cuts.masks, Tensor.PRESENCE]
        )
        self._analysis = _part(model, [Tensor.MIXTURE, Tensor.CATEGORIES], [cuts.masks])
        synthesis = _part(model, [cuts.masks, *cuts.spectrum], [Tensor.SOURCES])
        self.transform = _Synthesis(bundle, synthesis, cuts)

    def masks_of(self, mixture: Float, categories: Positions) -> Float:
        """As `MaskEngine.masks_of`, by the graph."""
        inputs = {Tensor.MIXTURE.value: mixture[None], Tensor.CATEGORIES.value: categories}
        masks: Float = self._analysis.run([self._cuts.masks], inputs)[0][0].astype(np.float32)
        return masks

    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        x = log_magnitude.astype(_input_type(self._network_part))
        inputs = {self._cuts.log_magnitude: x, Tensor.CATEGORIES.value: categories}
        if _takes(self._network_part, Tensor.MIXTURE):  # for its number of windows
            samples = self.config.window_samples
            inputs[Tensor.MIXTURE.value] = np.zeros((len(x), samples), np.float32)
        masks, presence = self._network_part.run([self._cuts.masks, Tensor.PRESENCE.value], inputs)
        return Masked(masks.astype(np.float32), presence)

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        return self._whole.separate(mixture, categories)


class _Synthesis(Transform):
    """A graph's own synthesis in the place of SciPy's."""

    def __init__(self, bundle: Bundle, session: onnxruntime.InferenceSession, cuts: _Cuts) -> None:
        super().__init__(bundle.config)
        self._session, self._cuts = session, cuts
        self._mask_type = _input_type(session)
        self._ranks = {value.name: len(value.shape) for value in session.get_inputs()}

    def synthesize(self, spectrum: np.ndarray, mask: Float) -> Float:
        """As `Transform.synthesize`, by the graph."""
        frames = np.ascontiguousarray(spectrum.T)[None]
        parts = [frames.real.copy(), frames.imag.copy()]
        if len(self._cuts.spectrum) == 1:
            parts = [np.stack(parts, axis=-1)]
        elif self._ranks[self._cuts.spectrum[0]] > parts[0].ndim:
            parts = [part[..., None] for part in parts]
        feed = dict(zip(self._cuts.spectrum, parts, strict=True))
        feed[self._cuts.masks] = mask[None, None].astype(self._mask_type)
        if _takes(self._session, Tensor.MIXTURE):
            samples = self.config.window_samples
            feed[Tensor.MIXTURE.value] = np.zeros((1, samples), np.float32)
        if _takes(self._session, Tensor.CATEGORIES):
            feed[Tensor.CATEGORIES.value] = np.zeros(1, np.int64)
        source: Float = self._session.run([Tensor.SOURCES.value], feed)[0][0, 0]
        return source


def _takes(session: onnxruntime.InferenceSession, name: Tensor) -> bool:
    return any(value.name == name for value in session.get_inputs())


def _input_type(session: onnxruntime.InferenceSession) -> type[np.floating]:
    """Of a session's first input."""
    half = session.get_inputs()[0].type == "tensor(float16)"
    return np.float16 if half else np.float32


def _waveform_cuts(graph: onnx.GraphProto) -> _Cuts:
    made_by = {name: node for node in graph.node for name in node.output}

    def reader(of: str) -> onnx.NodeProto:
        node: onnx.NodeProto = next(node for node in graph.node if of in node.input)
        return node

    log_magnitude = next(name for name in reader("input_scale").input if name != "input_scale")
    masks = made_by[reader("istft.unwarp").input[0]].input[0]  # behind a transposition
    return _Cuts(log_magnitude, masks, tuple(reader(reader("stft.matrix").output[0]).output))


def _plugin_cuts(graph: onnx.GraphProto) -> _Cuts:
    stft, istft = (
        next(node for node in graph.node if (node.domain, node.op_type) == (PLUGIN_NAMESPACE, op))
        for op in (PluginOp.STFT, PluginOp.ISTFT)
    )
    return _Cuts(stft.output[1], istft.input[1], (istft.input[0],))


def _cuts(kind: Kind, graph: onnx.GraphProto, config: ModelConfig) -> _Cuts | None:
    """Of a graph from mixture to sources; None where it is seen as a whole alone."""
    if config.is_whole:
        return _module_cuts(graph, config)
    return _waveform_cuts(graph) if kind == Kind.WAVEFORM else _plugin_cuts(graph)


def _module_cuts(graph: onnx.GraphProto, config: ModelConfig) -> _Cuts | None:
    """Where the transforms, which stand in modules of their own, meet a user's network.

    None where an optimisation has joined an operator of the one with one of the other.
    """
    shapes = {
        value.name: [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in graph.value_info
        if value.type.tensor_type.elem_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }
    made_by = {n: _scope(node) for node in graph.node for n in node.output if n in shapes}
    read_by: dict[str, set[str]] = defaultdict(set)
    for node in graph.node:
        for name in node.input:
            read_by[name].add(_scope(node))
    of_stft = [name for name, scope in made_by.items() if scope == "stft"]
    spectrum = tuple(name for name in of_stft if "istft" in read_by[name])
    given = [name for name in of_stft if read_by[name] - {"stft", "istft"}]
    masks = [n for n, scope in made_by.items() if scope == "network" and "istft" in read_by[n]]
    plane = [1, config.frequency_bins, config.frames]
    if [shapes[name][1:] for name in given] != [plane]:
        return None
    if [shapes[name][2:] for name in masks] != [[*config.mask_shape]]:
        return None
    return _Cuts(given[0], masks[0], spectrum) if spectrum else None


def _scope(node: onnx.NodeProto) -> str:
    scope = node.name.partition("/")[0].partition(".")[0]
    return scope if scope in ("stft", "istft") else "network"


def _part(
    model: onnx.ModelProto, inputs: list[str], outputs: list[str]
) -> onnxruntime.InferenceSession:
    names = [*map(str, inputs)]
    extractor = onnx.utils.Extractor(model)
    part = extractor.extract_model(names, [*map(str, outputs)])
    # A user's network may look at the shape of what lies before the cut.
    read = {name for node in part.graph.node for name in node.input}
    shapes = [str(n) for n in (Tensor.MIXTURE, Tensor.CATEGORIES) if n in read and n not in names]
    if shapes:
        part = extractor.extract_model([*names, *shapes], [*map(str, outputs)])
    return _session(part)


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        # What ONNX Runtime 1.32 makes of float16 around int8 is off by several times what int8
        # rounds (masks of the published network: 0.064 in the place of 0.016).
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
