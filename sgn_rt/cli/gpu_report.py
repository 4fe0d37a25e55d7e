"""``sgn-rt doctor --gpu-report``: what it takes from the command line, and the exporter to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from sgn_rt._atomic import cache_root
from sgn_rt.checks.check import Check, Group, Part, Place
from sgn_rt.checks.machine import code_digest, describe
from sgn_rt.checks.parts import GROUPS
from sgn_rt.checks.report import Report, chosen, run_checks
from sgn_rt.checks.runner import ProcessRunner
from sgn_rt.checks.tensorrt.world import World
from sgn_rt.cli.common import console, write_json
from sgn_rt.cli.process import printable
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Kind, Precision


def report_gpu(
    bundle: Bundle, path: Path, json_path: Path | None, names: list[str] | None, *, again: bool
) -> int:
    """Run the checks and write the page: the command's exit code.

    Raises
    ------
    ConfigError
        For a name that is no part, group or check.
    """
    to_stdout = str(path) == "-"
    checks = chosen(_groups(), names)
    report = Report(None if to_stdout else path, describe(bundle), again=again)
    runner = ProcessRunner(Place(bundle=bundle.root, export=_export))
    run_checks(checks, runner, report, tell=console(err=True).print)
    if json_path is not None:
        write_json(json_path, report.to_dict())
    if str(json_path) != "-":
        click.echo(printable(report.text), nl=False)  # a page of its own lines, not wrapped
    return 0 if report.held else 1


def _groups() -> list[Group]:
    """The groups of checks, with those that take the exporter, beside which they lie."""
    layers = Check(name="layers", run=_check_layers, limit_s=180.0)
    # Of a check that needs packages which are not there nothing can be said.
    more = () if find_spec("polygraphy") is None else (layers,)
    return [
        replace(group, checks=(*group.checks, *more)) if group.part == Part.TENSORRT else group
        for group in GROUPS
    ]


def _check_layers(world: World) -> Mapping[str, Any]:
    from sgn_rt.export.engine_layers import check_layers

    return check_layers(world.bundle, world.trt, world.device)


def _export(bundle: Path, kinds: Sequence[Kind]) -> Path:
    """Graphs of a bundle's checkpoint, in the user's cache; exported once."""
    from sgn_rt.export.writer import export_bundle

    opened = Bundle.open(bundle)
    name = f"{opened.identity[:12]}-{code_digest()}-{'-'.join(kinds)}"
    folder = cache_root() / "gpu-report" / name
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        export_bundle(
            bundle / BUNDLE_CHECKPOINT, folder, kinds=kinds, name=opened.name,
            precisions=(Precision.FP32, Precision.FP16),
        )  # fmt: skip
    return folder
