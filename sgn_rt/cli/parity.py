"""``sgn-rt parity``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import click
from rich.text import Text

from sgn_rt.bundle import Bundle
from sgn_rt.cli.common import console, json_option, table, write_json, write_text
from sgn_rt.engines.factory import open_engine
from sgn_rt.errors import BundleError, EngineError
from sgn_rt.parity import StageResult, measure


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
                   "of the bundle on the CPU if left out.")  # fmt: skip
@json_option
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE",
              help="Also write the result as JUnit XML.")  # fmt: skip
def command(
    bundle: Path | None, engines: Sequence[str], json_path: Path | None, junit: Path | None
) -> int:
    """Compare engines with the reference, stage by stage, on the bundle's probes.

    Needs no PyTorch: the reference's answers travel in the bundle. Exit code 0 only if every stage
    of every engine holds, 1 if one does not.
    """
    opened = Bundle.open(bundle)
    specs = list(engines) or [f"onnxruntime:{artifact.name}" for artifact in opened.artifacts]
    if not specs:
        raise BundleError(
            f"{opened.root}: got a bundle without graphs, expected one to compare. "
            "Name --engine torch, or export the bundle again."
        )
    measured: dict[str, list[StageResult] | str] = {}
    for spec in specs:
        engine = open_engine(spec, opened)
        try:
            measured[spec] = measure(engine, opened.probe)
        except EngineError as error:
            measured[spec] = str(error)
    if str(json_path) != "-":
        show_stages(measured)
    if json_path is not None:
        write_json(json_path, {"bundle": opened.name, "engines": _as_json(measured)})
    if junit is not None:
        write_text(junit, _as_junit(opened.name, measured))
    return 0 if all(_holds(results) for results in measured.values()) else 1


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


def _as_junit(bundle: str, measured: Mapping[str, list[StageResult] | str]) -> str:
    cases = [(name, r) for name, results in measured.items()
             for r in ([results] if isinstance(results, str) else results)]  # fmt: skip
    failed = sum(isinstance(r, str) or not r.passed for _, r in cases)
    suite = ElementTree.Element(
        "testsuite", name=f"parity of {bundle}", tests=str(len(cases)), failures=str(failed)
    )
    for name, result in cases:
        stage = "run" if isinstance(result, str) else str(result.stage)
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=stage)
        if isinstance(result, str) or not result.passed:
            ElementTree.SubElement(case, "failure", message=str(result))
        else:
            ElementTree.SubElement(case, "system-out").text = str(result)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
