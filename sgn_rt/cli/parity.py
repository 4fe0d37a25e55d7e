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

from sgn_rt._optional import require
from sgn_rt.cli.common import console, output_option, table
from sgn_rt.cli.devices import Placed, device_option, expect_use, placed
from sgn_rt.cli.parity_actions import tell_actions
from sgn_rt.cli.parity_music import Subject, changes_between, comparison_on
from sgn_rt.cli.parity_page import as_markdown, as_page, changes
from sgn_rt.cli.parity_report import Comparison, ParityReport, told
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.engines.devices import Devices, checked_devices
from sgn_rt.engines.factory import expect_gpu_engine, open_engine
from sgn_rt.errors import BundleError, ConfigError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.stages import StageResult
from sgn_rt.parity.subjects import subjects
from sgn_rt.parity.weights import measure_with_weights

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
            verdict = holds if result.passed else failed
            stage = f"{result.stage} of {result.where}" if result.where else str(result.stage)
            rows.add_row(name, stage, figure, str(result.limit), verdict)
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
@click.option("--music", type=click.Path(path_type=Path), metavar="DIR",
              help="Compare on all of this music, window by window, with PyTorch: NAME.mix.EXT "
                   "with NAME.<category>.EXT for stems, or any recordings.")  # fmt: skip
@click.option("--against", metavar="ENGINE|FILE",
              help="What is right: an engine, or a checkpoint (.safetensors).")  # fmt: skip
@click.option("--bundle-diff", nargs=2, type=click.Path(path_type=Path), metavar="OLD NEW",
              help="Tell what differs between two bundles, and compare the engines of NEW with "
                   "OLD's answers.")  # fmt: skip
@device_option
@output_option("--json", "json_path", checked=False,
               help="Also write the result as JSON; - for stdout.")  # fmt: skip
@output_option("--junit", checked=False, help="Also write the result as JUnit XML.")
@output_option("--markdown", checked=False, help="Also write the result as Markdown.")
@output_option("--html", "page", checked=False,
               help="Also write a page with the worst window of each stage: reference, engine and "
                    "difference as spectrograms. Needs the extra plot.")  # fmt: skip
@verbosity_options
def command(
    bundle: Path | None,
    engines: Sequence[str],
    layers: bool,
    music: Path | None,
    against: str | None,
    bundle_diff: tuple[Path, Path] | None,
    device: Devices,
    json_path: Path | None,
    junit: Path | None,
    markdown: Path | None,
    page: Path | None,
) -> int:
    """Compare engines with the reference, stage by stage, on the bundle's probes.

    Needs no PyTorch: the reference's answers travel in the bundle. Exit code 0 only if every stage
    (or layer) of every engine holds, 1 if one does not, 2 if one cannot be compared. The files are
    written whatever happens; where GITHUB_ACTIONS is set, failures are annotations, too.
    """
    windows = music is not None or against is not None or bundle_diff is not None
    if layers and (windows or page is not None):
        raise ConfigError(
            "--layers: got it with --music, --against, --bundle-diff or --html, expected it alone. "
            "Leave one of them out."
        )
    if bundle_diff is not None and bundle is not None:
        raise ConfigError(
            f"--bundle-diff: got a bundle beside it, {bundle}, expected the two alone. "
            "Leave it out."
        )
    if page is not None:
        require("matplotlib", extra="plot", purpose="--html")
    for named in engines:
        expect_gpu_engine(named, device)
    devices = checked_devices(device)
    old, bundle = bundle_diff or (None, bundle)
    named_so = "the bundle that ships" if bundle is None else str(bundle)
    report = ParityReport(
        named_so, json_path, junit, ((markdown, as_markdown), (page, as_page)), tell_actions
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
        if windows or page is not None:
            subject = Subject(
                music=music, against=against, old=None if old is None else Bundle.open(old)
            )
            report.against = against or ("" if old is None else str(old))
            if subject.old is not None:
                report.changes = changes_between(subject.old, opened)
            compare = comparison_on(opened, subject)
        expect_use(device, specs)
        for comparison in _compared(opened, placed(specs, devices), compare):
            report.comparisons.append(comparison)
    if "-" not in map(str, (json_path, junit, markdown, page)):
        for line in changes(report):
            console().print(line)
        show([c for c in report.comparisons if c.skipped is None])
    return report.exit_code


def _specs(bundle: Bundle, engines: Sequence[str], report: ParityReport) -> list[str]:
    """Engines to compare; of a graph that nothing here runs the report says that it is left out."""
    if engines:
        return list(dict.fromkeys(engines))
    specs, left_out = subjects(bundle)
    for graph, why in left_out.items():
        report.comparisons.append(Comparison(engine=graph, skipped=why))
        console(err=True).print(f"not compared: {why}")
    if not specs:
        raise BundleError(
            f"{bundle.root}: got a bundle without a graph that the CPU runs, expected one to "
            "compare. Name --engine torch, or export the bundle again."
        )
    return specs


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
    results = {str(result.stage): result for result in measure_with_weights(engine, bundle)}
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
