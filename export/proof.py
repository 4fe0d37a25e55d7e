"""Proof of every graph, stage by stage, before a bundle is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import onnx
import onnxruntime
import torch

from sgn_rt._types import Float, Positions
from sgn_rt.bundle import Artifact, Bundle
from sgn_rt.contract import Kind, Precision, Tensor
from sgn_rt.dsp import Transform
from sgn_rt.engines.base import Engine, Masked, MaskEngine, Separated
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import ParityError
from sgn_rt.export.graphs import export_module
from sgn_rt.parity import StageResult, measure
from sgn_rt.reference import Sgn


def prove(bundle: Bundle, model: Sgn, tell: Callable[[str], None]) -> dict[str, list[StageResult]]:
    """Measure every stage of every graph of a bundle.

    A float16 graph is measured twice, and the worse figure counts: as ONNX Runtime runs it on the
    CPU, which computes operators that it lacks in float16 in float32, and operator by operator in
    PyTorch, where every result is rounded.

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
        tell(f"proving {artifact.name}")
        engine = open_engine(f"onnxruntime:{artifact.name}", bundle)
        if artifact.kind == Kind.WAVEFORM:
            engine = _Staged(bundle, artifact, engine)
        results = measure(engine, bundle.probe)
        if artifact.precision == Precision.FP16:
            tell(f"proving {artifact.name}, operator by operator")
            rounded = measure(_Rounded(model, artifact.kind), bundle.probe)
            results = list(_worse(results, rounded))
        for result in results:
            if not result.passed:
                raise ParityError(
                    f"{artifact.name}: parity stage {result.stage}: got {result.figure:.4g} "
                    f"{result.limit.unit}, expected {result.limit}. No bundle was written: "
                    "check the checkpoint for extreme weights, or leave that precision out."
                )
        measured[artifact.name] = results
    return measured


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

    def __init__(self, model: Sgn, kind: Kind) -> None:
        super().__init__(model.config)
        self._network = export_module(model, Kind.CORE, Precision.FP16)
        self._whole = export_module(model, kind, Precision.FP16) if kind != Kind.CORE else None
        self.detail = f"PyTorch {torch.__version__}, float16 on the CPU"

    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        with torch.inference_mode():
            masks, presence, _ = self._network(
                torch.from_numpy(log_magnitude), torch.from_numpy(categories)
            )
        return Masked(masks.numpy(), presence.numpy())

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        if self._whole is None:
            return super()._separate(mixture, categories)
        with torch.inference_mode():
            sources, presence, _ = self._whole(
                torch.from_numpy(mixture), torch.from_numpy(categories)
            )
        return Separated(sources.numpy(), presence.numpy())


class _Staged(MaskEngine):
    """A ``waveform`` graph cut open at log-magnitude and masks: each stage is seen alone."""

    concurrency = 1

    def __init__(self, bundle: Bundle, artifact: Artifact, whole: Engine) -> None:
        super().__init__(bundle.config)
        self.name, self.detail, self.precision = whole.name, whole.detail, whole.precision
        self._whole = whole
        model = onnx.load_model(bundle.root / artifact.path)
        cuts = _cuts(model.graph)
        self._names = cuts
        self._network = _part(model, [cuts[0], Tensor.CATEGORIES], [cuts[1], Tensor.PRESENCE])
        self.transform = _Synthesis(bundle, _part(model, cuts[1:], [Tensor.SOURCES]), cuts)

    def _masks(self, log_magnitude: Float, categories: Positions) -> Masked:
        inputs = {self._names[0]: log_magnitude, Tensor.CATEGORIES.value: categories}
        masks, presence = self._network.run([self._names[1], Tensor.PRESENCE.value], inputs)
        return Masked(masks, presence)

    def _separate(self, mixture: Float, categories: Positions) -> Separated:
        return self._whole.separate(mixture, categories)


class _Synthesis(Transform):
    """A graph's own synthesis in the place of SciPy's."""

    def __init__(
        self, bundle: Bundle, session: onnxruntime.InferenceSession, cuts: list[str]
    ) -> None:
        super().__init__(bundle.config)
        self._session, self._cuts = session, cuts

    def synthesize(self, spectrum: np.ndarray, mask: Float) -> Float:
        """As `Transform.synthesize`, by the graph."""
        frames = np.ascontiguousarray(spectrum.T)[None]
        parts = (mask[None, None], frames.real.copy(), frames.imag.copy())
        feed = dict(zip(self._cuts[1:], parts, strict=True))
        source: Float = self._session.run([Tensor.SOURCES.value], feed)[0][0, 0]
        return source


def _cuts(graph: onnx.GraphProto) -> list[str]:
    """Names, in a ``waveform`` graph, of log-magnitude, masks, real and imaginary part."""
    made_by = {name: node for node in graph.node for name in node.output}

    def reader(of: str) -> onnx.NodeProto:
        node: onnx.NodeProto = next(node for node in graph.node if of in node.input)
        return node

    log_magnitude = next(name for name in reader("input_scale").input if name != "input_scale")
    masks = made_by[reader("istft.unwarp").input[0]].input[0]  # behind a transposition
    real, imaginary = reader(reader("stft.matrix").output[0]).output
    return [log_magnitude, masks, real, imaginary]


def _part(
    model: onnx.ModelProto, inputs: list[str], outputs: list[str]
) -> onnxruntime.InferenceSession:
    part = onnx.utils.Extractor(model).extract_model([*map(str, inputs)], [*map(str, outputs)])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        part.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
