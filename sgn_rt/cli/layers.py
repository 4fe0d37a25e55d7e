"""``sgn-rt parity --layers``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from sgn_rt._optional import require
from sgn_rt.cli.common import console, progress_bar, table
from sgn_rt.errors import BundleError, EngineError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import Precision
from sgn_rt.tensorrt.bindings import Flavor, load
from sgn_rt.tensorrt.build.build_engines import BuildRequest, choose_artifacts
from sgn_rt.tensorrt.device.factory import open_device

if TYPE_CHECKING:
    from sgn_rt.export.layerwise import LayerResult, Run

WORST = 5
"""Layers of the least ratio that are shown where all hold."""


def measure_layers(bundle: Bundle, specs: Sequence[str]) -> dict[str, list[LayerResult]]:
    """Compare the layers of graphs on the CPU, or of engines, with float32.

    Parameters
    ----------
    bundle
        The model.
    specs
        ``onnxruntime:KIND.PRECISION``, ``tensorrt`` or ``tensorrt-rtx``, these with a graph or for
        the best one; every float16 graph where none are named.

    Raises
    ------
    BundleError
        If the bundle lacks a graph, or has none in float16 and none is named.
    DependencyError
        If the extra ``export`` is not installed.
    EngineError
        For any other engine, or one that does not run here.
    """
    require("polygraphy", extra="export", purpose="the comparison of layers")
    from sgn_rt.export.layerwise import compare_layers

    if not specs:
        specs = [f"onnxruntime:{a.name}" for a in bundle.artifacts if a.precision == Precision.FP16]
    if not specs:
        raise BundleError(
            f"{bundle.root}: got a bundle without a graph in fp16, expected one whose layers "
            "to compare. Name another with --engine onnxruntime:KIND.PRECISION, or export it."
        )
    # All of them first: what cannot be compared is told before the work, not after half of it.
    subjects = {spec: _subject(bundle, spec) for spec in specs}
    return {spec: compare_layers(bundle, *subject) for spec, subject in subjects.items()}


def _subject(bundle: Bundle, spec: str) -> tuple[Artifact, Run | None]:
    """The graph that a specification names, and what runs it; None for the CPU."""
    name, _, wanted = spec.partition(":")
    named = next((a for a in bundle.artifacts if a.name == wanted), None)
    if wanted and named is None:
        have = ", ".join(a.name for a in bundle.artifacts) or "no graph"
        raise BundleError(f"{spec}: got a bundle with {have}, expected {wanted}. Export it.")
    if name == "onnxruntime" and named is not None:
        return named, None
    if name not in tuple(Flavor):
        raise EngineError(
            f"--layers: got engine {spec!r}, expected onnxruntime:KIND.PRECISION, tensorrt or "
            "tensorrt-rtx. Name one of these, or leave --engine out for every graph in fp16."
        )
    from sgn_rt.export.engine_layers import engine_layers

    artifact = named or choose_artifacts(bundle, BuildRequest())[0]
    trt, device = load(Flavor(name)), open_device()
    with progress_bar(f"{artifact.name} with layers") as progress:
        return artifact, engine_layers(trt, device, bundle, artifact, progress)


def as_json(measured: Mapping[str, Sequence[LayerResult]]) -> dict[str, object]:
    """As JSON types: engine -> whether all hold, the first layer that departs, all layers."""
    return {
        name: {
            "passed": all(result.passed for result in results),
            "first_departure": next((r.layer for r in results if not r.passed), None),
            "layers": [result.to_dict() for result in results],
        }
        for name, results in measured.items()
    }


def show_layers(measured: Mapping[str, Sequence[LayerResult]]) -> None:
    """Print the first layer that departs with those before it, or the worst where all hold."""
    rows = table("engine", "layer", "operator", "shape", "SNR", "limit", "", right="SNR")
    for name, results in measured.items():
        for result in _telling(results):
            verdict = (
                Text("holds", style="green") if result.passed else Text("DEPARTS", style="red")
            )
            rows.add_row(
                name,
                result.layer,
                result.operator,
                "x".join(map(str, result.shape)),
                _decibels(result.snr),
                f"at least {result.limit:g} dB",
                verdict,
            )
    out = console()
    out.print(rows)
    for name, results in measured.items():
        departed = [result for result in results if not result.passed]
        if departed:
            out.print(
                f"{name}: {departed[0].layer} is the first of {len(results)} layers to depart from "
                f"float32, and {len(departed) - 1} behind it do, too"
            )
        else:
            out.print(f"{name}: all {len(results)} layers hold; shown are the worst")


def _telling(results: Sequence[LayerResult]) -> list[LayerResult]:
    """What is worth a line, in the graph's order."""
    first = next((i for i, result in enumerate(results) if not result.passed), None)
    if first is not None:
        return list(results[max(0, first - 3) : first + 3])
    worst = sorted(results, key=lambda result: result.snr)[:WORST]
    return [result for result in results if result in worst]


def _decibels(snr: float) -> str:
    if math.isnan(snr):
        return "not finite"
    return "equal" if snr == math.inf else f"{snr:.1f} dB"
