"""The weights of a graph against the checkpoint's: what no ear tells, this does (`Stage.WEIGHTS`).

A graph's weights are data. Each follows from the checkpoint by a recipe that takes no PyTorch, so
each is compared by itself, number by number: no error is too small, and none is hidden behind
another. It is the graph's file that is looked at, not what an engine has made of it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.engines.base import Engine
from sgn_rt.errors import BundleError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT
from sgn_rt.model.graph_constants import Constant, constants_of
from sgn_rt.model.graph_file import expect_inside
from sgn_rt.model.safetensors_file import header_of
from sgn_rt.model.sgn_config import SgnConfig
from sgn_rt.model.stages import Stage, StageResult, limit_for
from sgn_rt.model.weight_recipes import WeightRecipes
from sgn_rt.parity.measure import measure

_TYPES: Final[dict[str, np.dtype[Any]]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
"""Of a checkpoint's weights; its counters are of others."""


def measure_with_weights(engine: Engine, bundle: Bundle) -> list[StageResult]:
    """As `measure`, and the weights of the graph that an engine runs.

    Raises
    ------
    EngineError
        If the engine fails on a probe.
    BundleError
        If the graph does not read.
    """
    return [*measure(engine, bundle.probe), *weights_of(engine, bundle)]


def weights_of(engine: Engine, bundle: Bundle) -> list[StageResult]:
    """The stage of the graph that an engine runs; none without a graph, or without a checkpoint.

    Raises
    ------
    BundleError
        If the graph does not read.
    """
    graphs = [a for a in bundle.artifacts if a.name == engine.graph and shows_weights(bundle)]
    return [weights(bundle, artifact) for artifact in graphs]


def shows_weights(bundle: Bundle) -> bool:
    """Whether the weights of a bundle's graphs are known: those of an SGN with its checkpoint."""
    return bundle.has_checkpoint and isinstance(bundle.config, SgnConfig)


def weights(bundle: Bundle, artifact: Artifact) -> StageResult:
    """Compare the weights of a graph with those of the checkpoint beside it.

    Returns
    -------
    StageResult
        Largest difference, as `difference`, and whose it is.

    Raises
    ------
    BundleError
        If the graph does not read, or the checkpoint is of another network.
    """
    graph = bundle.read(artifact.path)
    what = f"{bundle.root / artifact.path}"
    expect_inside(graph, artifact.external, what)
    try:
        held = constants_of(graph, {name: bundle.read(name) for name in artifact.external})
    except (ValueError, KeyError) as error:
        raise BundleError(
            f"{what}: got a graph whose weights do not read ({error}), expected those that the "
            "exporter writes. Export the bundle again."
        ) from error
    try:
        return result_of(held, recipes_of(bundle), artifact)
    except (KeyError, ValueError) as error:
        raise BundleError(
            f"{bundle.root / BUNDLE_CHECKPOINT}: got tensors of another network ({error}), "
            "expected those of the bundle's configuration. Export the bundle again."
        ) from error


def recipes_of(bundle: Bundle) -> WeightRecipes:
    """What the weights of a bundle's graphs are, by its checkpoint."""
    content = bundle.read(BUNDLE_CHECKPOINT)
    header = header_of(io.BytesIO(content), bundle.root / BUNDLE_CHECKPOINT)
    tensors = {
        name: np.frombuffer(content, _TYPES[e.dtype], math.prod(e.shape), e.offset)
        .reshape(e.shape)
        .astype(np.float32)
        for name, e in header.tensors.items()
        if e.dtype in _TYPES
    }
    assert isinstance(bundle.config, SgnConfig), "no other network's recipes are known"
    return WeightRecipes(bundle.config, tensors)


def result_of(
    held: Mapping[str, Constant], right: WeightRecipes, artifact: Artifact
) -> StageResult:
    """The stage, of what a graph holds: the weight that is furthest off, or the first it lacks."""
    where, figure = "", 0.0
    for name, found in _compared(held, right):
        # A comparison with nan is false: the first that is not a number stays.
        if not found <= figure and not math.isnan(figure):
            where, figure = name, found
    limit = limit_for(Stage.WEIGHTS, artifact.precision, right.config.log_epsilon)
    return StageResult(stage=Stage.WEIGHTS, figure=figure, limit=limit, where=where)


def _compared(held: Mapping[str, Constant], right: WeightRecipes) -> Iterator[tuple[str, float]]:
    known: dict[str, list[Constant]] = {}
    for output, constant in held.items():
        # One that layers share is dequantised for each, under its name and the layer's, which stand
        # in the names of its integers and steps, too.
        name = output.partition(":")[0]
        if name in right and (name == output or constant.scale is not None):
            known.setdefault(name, []).append(constant)
    for name, constants in known.items():
        yield name, float(np.max([difference(c, _fitted(right, name, c)) for c in constants]))
    lacking = [
        forms[0][0]
        for forms in right.forms
        if not any(all(name in known for name in form) for form in forms)
    ]
    if lacking:
        # Of several weights of equal values the exporter keeps one.
        kept = {_key(right.value(name)) for name in known}
        yield from ((name, math.inf) for name in lacking if _key(right.value(name)) not in kept)


def _key(value: Float) -> tuple[tuple[int, ...], bytes]:
    return value.shape, value.tobytes()


def _fitted(right: WeightRecipes, name: str, given: Constant) -> Float:
    """What is right of a weight; of the basis maps with the maps of zeros that a graph may add."""
    value = right.value(name)
    last = f"decoder.{len(right.config.encoder_channels) - 1}.conv."
    if name.startswith(last) and given.value.ndim == value.ndim:
        axis = min(1, value.ndim - 1)
        more = [(0, 0)] * value.ndim
        more[axis] = (0, max(0, given.value.shape[axis] - value.shape[axis]))
        value = np.pad(value, more)
    return value


def difference(given: Constant, right: Float) -> float:
    """Largest difference of a weight from what is right, beyond what its number format rounds.

    Parameters
    ----------
    given
        The graph's: float32, float16, or integers in steps, of which other stages tell how coarse
        they are.
    right
        float32.

    Returns
    -------
    float
        In units of the last place that the right number has in float32: 0 for one that is rounded
        correctly; inf for another shape, nan for what is not finite.
    """
    if given.value.shape != right.shape:
        return math.inf
    if not right.size:
        return 0.0
    wanted: NDArray[Any] = right
    allowed: NDArray[Any] = np.zeros(())
    with np.errstate(all="ignore"):
        if given.scale is not None:
            wanted = right.astype(given.scale.dtype)
            allowed = 0.5 * given.scale.astype(np.float64)
        elif given.value.dtype == np.float16:
            allowed = 0.5 * np.spacing(np.abs(right.astype(np.float16))).astype(np.float64)
        apart = np.abs(given.value.astype(np.float64) - wanted)
        beyond: NDArray[Any] = np.maximum(apart - allowed, 0.0)
        # An unit of the last place is never finer than that of a normal number.
        unit = np.spacing(np.maximum(np.abs(right), np.finfo(np.float32).tiny))
        return float(np.max(beyond / unit))
