"""``sgn-rt parity --layers``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.text import Text

from sgn_rt._optional import require
from sgn_rt.cli.common import console, progress_bar, table
from sgn_rt.cli.parity_report import Comparison
from sgn_rt.errors import BundleError, EngineError
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import SECOND_HALVES
from sgn_rt.model.export_command import export_command
from sgn_rt.tensorrt.bindings import Flavor, load
from sgn_rt.tensorrt.build.build_engines import BuildRequest, choose_artifacts
from sgn_rt.tensorrt.device.factory import open_device

if TYPE_CHECKING:
    from sgn_rt.export.layer_result import LayerResult
    from sgn_rt.export.operators import Run

WORST = 5
"""Layers of the least ratio that are shown where all hold."""


def every_graph(bundle: Bundle, specs: Sequence[str]) -> list[str]:
    """What to compare: what is named, or every graph, on the CPU.

    Raises
    ------
    BundleError
        If nothing is named and the bundle has no graph.
    DependencyError
        If the extra ``export`` is not installed.
    """
    for module in ("torch", "onnx", "polygraphy"):
        require(module, extra="export", purpose="the comparison of layers")
    if specs:
        return list(dict.fromkeys(specs))
    if not bundle.artifacts:
        raise BundleError(
            f"{bundle.root}: got a bundle without a graph, expected one whose layers to compare. "
            "Export the bundle again."
        )
    # The layers of a pair's second graph are looked at behind those of the first.
    return [f"onnxruntime:{a.name}" for a in bundle.artifacts if a.kind not in SECOND_HALVES]


def compare_layers_of(bundle: Bundle, spec: str, device: int | None = None) -> Comparison:
    """Compare the layers of a graph on the CPU, or of an engine, with the checkpoint.

    Parameters
    ----------
    bundle
        The model.
    spec
        ``onnxruntime:KIND.PRECISION``, ``tensorrt`` or ``tensorrt-rtx``, these with a graph or for
        the best one.
    device
        Number of the GPU; None for the one that is current in this thread.

    Raises
    ------
    BundleError
        If the bundle lacks the graph, or a checkpoint to compare it with.
    EngineError
        For any other engine, or one that does not run here.
    """
    from sgn_rt.export.layerwise import compare_layers

    artifact, run = _subject(bundle, spec, device)
    results = compare_layers(bundle, artifact, run)
    first = next((result.layer for result in results if not result.passed), None)
    return Comparison(
        engine=spec,
        detail=f"{len(results)} layers of {artifact.name}",
        results={result.layer: result for result in results},
        figures={
            "first_departure": first,
            "layers": [result.to_dict() for result in results],
        },
    )


def _subject(bundle: Bundle, spec: str, ordinal: int | None) -> tuple[Artifact, Run | None]:
    """The graph that a specification names, and what runs it; None for the CPU."""
    name, _, wanted = spec.partition(":")
    named = next((a for a in bundle.artifacts if a.name == wanted), None)
    if wanted and named is None:
        raise BundleError(
            f"{spec}: got a bundle with {bundle.graphs}, expected {wanted}. Export it: "
            f"`{export_command(bundle)}`"
        )
    if name == "onnxruntime" and named is not None:
        return named, None
    if name not in tuple(Flavor):
        raise EngineError(
            f"--layers: got engine {spec!r}, expected onnxruntime:KIND.PRECISION, tensorrt or "
            "tensorrt-rtx. Name one of these, or leave --engine out for every graph."
        )
    from sgn_rt.export.engine_layers import engine_layers

    artifact = named or choose_artifacts(bundle, BuildRequest())[0]
    trt, device = load(Flavor(name)), open_device(ordinal)
    with progress_bar(f"{artifact.name} with layers") as progress:
        return artifact, engine_layers(trt, device, bundle, artifact, progress)


def show_layers(comparisons: Sequence[Comparison]) -> None:
    """Print the first layer that departs with those before it, or the worst where all hold."""
    rows = table("engine", "layer", "operator", "shape", "SNR", "limit", "", right="SNR")
    lines = []
    for comparison in comparisons:
        results = cast("list[LayerResult]", list(comparison.results.values()))
        for result in _telling(results):
            verdict = (
                Text("holds", style="green") if result.passed else Text("DEPARTS", style="red")
            )
            rows.add_row(
                comparison.engine,
                result.layer,
                result.operator,
                "x".join(map(str, result.shape)),
                _decibels(result.snr),
                f"at least {result.limit:g} dB",
                verdict,
            )
        lines.append(f"{comparison.engine}: {comparison.error or _summary(results)}")
    out = console()
    out.print(rows)
    for line in lines:
        out.print(line)


def _summary(results: Sequence[LayerResult]) -> str:
    departed = [result for result in results if not result.passed]
    if not departed:
        return f"all {len(results)} layers hold; shown are the worst"
    return (
        f"{departed[0].layer} is the first of {len(results)} layers to depart from the checkpoint, "
        f"and {len(departed) - 1} behind it do, too"
    )


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
