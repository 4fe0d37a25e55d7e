"""``sgn-rt parity``."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import click
from rich.text import Text

from sgn_rt.cli.common import console, output_option, table
from sgn_rt.cli.devices import Placed, device_option, expect_use, placed
from sgn_rt.cli.parity_report import Comparison, ParityReport, told
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.engines.devices import Devices, checked_devices
from sgn_rt.engines.factory import expect_gpu_engine, open_engine
from sgn_rt.errors import BundleError
from sgn_rt.model.bundle import OUTDATED, Artifact, Bundle
from sgn_rt.model.contract import SECOND_HALVES, Kind
from sgn_rt.model.stages import StageResult
from sgn_rt.parity.measure import measure
from sgn_rt.tensorrt.bindings import Flavor, is_installed
from sgn_rt.tensorrt.device.factory import find_device
from sgn_rt.tensorrt.engine_files import read_sidecars

log = logging.getLogger(__name__)

Compare = Callable[[Bundle, str, int | None], Comparison]
"""Compares an engine, by its name and the number of its GPU, with the reference; its time is taken
around it."""


def show_stages(measured: Mapping[str, Sequence[StageResult] | str]) -> None:
    """Print a table of stages, or what stopped an engine."""
    failed, holds = Text("FAILED", style="red"), Text("holds", style="green")
    rows = table("engine", "stage", "figure", "limit", "", right="figure")
    for name, results in measured.items():
        if isinstance(results, str):
            rows.add_row(name, "", "", results, failed)
            continue
        for result in results:
            figure = "exact" if math.isinf(result.figure) else f"{result.figure:.3g}"
            rows.add_row(
                name, result.stage, figure, str(result.limit), holds if result.passed else failed
            )
    console().print(rows)


@click.command("parity")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--engine", "engines", multiple=True, metavar="NAME",
              help="Engine to compare, as in `sgn-rt separate`; may be repeated. Every graph "
                   "of the bundle that runs here if left out.")  # fmt: skip
@click.option("--layers", is_flag=True,
              help="Compare layer by layer with the checkpoint, and name the first that departs: "
                   "every graph, or --engine onnxruntime:KIND.PRECISION, tensorrt or "
                   "tensorrt-rtx. Needs the extra export.")  # fmt: skip
@device_option
@output_option("--json", "json_path", checked=False,
               help="Also write the result as JSON; - for stdout.")  # fmt: skip
@output_option("--junit", checked=False, help="Also write the result as JUnit XML.")
@verbosity_options
def command(
    bundle: Path | None,
    engines: Sequence[str],
    layers: bool,
    device: Devices,
    json_path: Path | None,
    junit: Path | None,
) -> int:
    """Compare engines with the reference, stage by stage, on the bundle's probes.

    Needs no PyTorch: the reference's answers travel in the bundle. Exit code 0 only if every stage
    (or layer) of every engine holds, 1 if one does not, 2 if one cannot be compared. The files are
    written whatever happens.
    """
    for named in engines:
        expect_gpu_engine(named, device)
    devices = checked_devices(device)
    report = ParityReport(
        "the bundle that ships" if bundle is None else str(bundle), json_path, junit
    )
    with report.written():
        opened = Bundle.open(bundle)
        report.bundle = opened.name
        compare: Compare
        if layers:
            from sgn_rt.cli.layers import compare_layers_of, every_graph, show_layers

            specs, compare, show = every_graph(opened, engines), compare_layers_of, show_layers
        else:
            specs, compare, show = _specs(opened, engines, report), _compare_stages, _show_stages
        expect_use(device, specs)
        for comparison in _compared(opened, placed(specs, devices), compare):
            report.comparisons.append(comparison)
    if str(json_path) != "-":
        show([c for c in report.comparisons if c.skipped is None])
    return report.exit_code


def _specs(bundle: Bundle, engines: Sequence[str], report: ParityReport) -> list[str]:
    """Engines to compare; of a graph that nothing here runs the report says that it is left out."""
    if engines:
        return list(dict.fromkeys(engines))
    specs = []

    def leave_out(artifact: Artifact, why: str) -> None:
        report.comparisons.append(Comparison(engine=artifact.name, skipped=why))
        console(err=True).print(f"not compared: {why}")

    for artifact in bundle.outdated:
        leave_out(artifact, f"{artifact.name} was {OUTDATED}")
    for artifact in bundle.artifacts:
        if artifact.kind in SECOND_HALVES:
            continue  # its network brings it along
        spec = _runner(bundle, artifact)
        if spec is None:
            reason = "runs in TensorRT alone, which has no engine of it here"
            leave_out(artifact, f"{artifact.name} {reason}")
        else:
            specs.append(spec)
    if not specs:
        raise BundleError(
            f"{bundle.root}: got a bundle without a graph that the CPU runs, expected one to "
            "compare. Name --engine torch, or export the bundle again."
        )
    return specs


def _runner(bundle: Bundle, artifact: Artifact) -> str | None:
    """The engine that runs a graph here, with it: ONNX Runtime, or one that was built of it."""
    if artifact.kind != Kind.PLUGIN:
        return f"onnxruntime:{artifact.name}"
    built = {s.flavor for s in read_sidecars(bundle) if s.artifact == artifact.name}
    found = [flavor for flavor in Flavor if flavor in built and is_installed(flavor)]
    return f"{found[0]}:{artifact.name}" if found and find_device() is not None else None


def _compared(bundle: Bundle, engines: Iterable[Placed], compare: Compare) -> Iterator[Comparison]:
    """Each engine, one after the other; what keeps one from being compared keeps no other."""
    for title, spec, device in engines:
        start = time.perf_counter()
        try:
            found = compare(bundle, spec, device)
        except Exception as error:  # of whatever library: the others are compared all the same
            log.debug("comparison of %s", title, exc_info=True)
            found = Comparison(engine=title, error=told(error))
            click.echo(f"sgn-rt: error: {title}: {' '.join(told(error).split())}", err=True)
        yield replace(found, engine=title, seconds=time.perf_counter() - start)


def _compare_stages(bundle: Bundle, spec: str, device: int | None) -> Comparison:
    engine = open_engine(spec, bundle, device=device)
    results = {str(result.stage): result for result in measure(engine, bundle.probe)}
    return Comparison(
        engine=spec,
        detail=engine.detail,
        results=results,
        figures={"stages": {stage: result.to_dict() for stage, result in results.items()}},
    )


def _show_stages(comparisons: Sequence[Comparison]) -> None:
    show_stages(
        {
            c.engine: c.error or cast("list[StageResult]", list(c.results.values()))
            for c in comparisons
        }
    )
