"""``sgn-rt parity``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import click
from rich.text import Text

from sgn_rt.cli.common import console, json_option, table, write_json, write_text
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import BundleError, EngineError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind
from sgn_rt.model.stages import StageResult
from sgn_rt.parity.measure import measure


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
                   "of the bundle that the CPU runs if left out.")  # fmt: skip
@click.option("--layers", is_flag=True,
              help="Compare layer by layer with float32 instead, and name the first that departs: "
                   "every graph in fp16, or --engine onnxruntime:KIND.PRECISION, tensorrt or "
                   "tensorrt-rtx. Needs the extra export.")  # fmt: skip
@json_option
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE",
              help="Also write the result as JUnit XML.")  # fmt: skip
def command(
    bundle: Path | None,
    engines: Sequence[str],
    layers: bool,
    json_path: Path | None,
    junit: Path | None,
) -> int:
    """Compare engines with the reference, stage by stage, on the bundle's probes.

    Needs no PyTorch: the reference's answers travel in the bundle. Exit code 0 only if every stage
    (or layer) of every engine holds, 1 if one does not.
    """
    opened = Bundle.open(bundle)
    if layers:
        return _layers(opened, engines, json_path, junit)
    measured = _stages(opened, engines)
    if str(json_path) != "-":
        show_stages(measured)
    if json_path is not None:
        write_json(json_path, {"bundle": opened.name, "engines": _as_json(measured)})
    if junit is not None:
        write_text(junit, _as_junit(opened.name, _cases(measured)))
    return 0 if all(_holds(results) for results in measured.values()) else 1


def _stages(bundle: Bundle, engines: Sequence[str]) -> dict[str, list[StageResult] | str]:
    """Every stage of every engine, or what stopped it."""
    specs = list(engines)
    if not specs:
        specs = [f"onnxruntime:{a.name}" for a in bundle.artifacts if a.kind != Kind.PLUGIN]
        skipped = ", ".join(a.name for a in bundle.artifacts if a.kind == Kind.PLUGIN)
        if skipped:
            console(err=True).print(f"not compared: {skipped}, which only TensorRT runs")
    if not specs:
        raise BundleError(
            f"{bundle.root}: got a bundle without a graph that the CPU runs, expected one to "
            "compare. Name --engine torch, or export the bundle again."
        )
    measured: dict[str, list[StageResult] | str] = {}
    for spec in specs:
        engine = open_engine(spec, bundle)
        try:
            measured[spec] = measure(engine, bundle.probe)
        except EngineError as error:
            measured[spec] = str(error)
    return measured


def _layers(
    bundle: Bundle, engines: Sequence[str], json_path: Path | None, junit: Path | None
) -> int:
    from sgn_rt.cli.layers import as_json, measure_layers, show_layers

    measured = measure_layers(bundle, engines)
    if str(json_path) != "-":
        show_layers(measured)
    if json_path is not None:
        write_json(json_path, {"bundle": bundle.name, "engines": as_json(measured)})
    if junit is not None:
        write_text(junit, _as_junit(bundle.name, [
            Case(name, result.layer, result.passed, str(result))
            for name, results in measured.items() for result in results
        ]))  # fmt: skip
    return 0 if all(result.passed for results in measured.values() for result in results) else 1


def _holds(results: Sequence[StageResult] | str) -> bool:
    return not isinstance(results, str) and all(result.passed for result in results)


def _as_json(measured: Mapping[str, list[StageResult] | str]) -> dict[str, object]:
    return {
        name: {"passed": False, "error": results}
        if isinstance(results, str)
        else {
            "passed": _holds(results),
            "stages": {result.stage: result.to_dict() for result in results},
        }
        for name, results in measured.items()
    }


class Case(NamedTuple):
    """A test case of a JUnit report."""

    engine: str
    name: str
    passed: bool
    text: str


def _cases(measured: Mapping[str, list[StageResult] | str]) -> Iterator[Case]:
    for name, results in measured.items():
        if isinstance(results, str):
            yield Case(name, "run", False, results)
            continue
        for result in results:
            yield Case(name, str(result.stage), result.passed, str(result))


def _as_junit(bundle: str, cases: Iterable[Case]) -> str:
    cases = list(cases)
    failed = sum(not case.passed for case in cases)
    suite = ElementTree.Element(
        "testsuite", name=f"parity of {bundle}", tests=str(len(cases)), failures=str(failed)
    )
    for case in cases:
        element = ElementTree.SubElement(suite, "testcase", classname=case.engine, name=case.name)
        if case.passed:
            ElementTree.SubElement(element, "system-out").text = case.text
        else:
            ElementTree.SubElement(element, "failure", message=case.text)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
