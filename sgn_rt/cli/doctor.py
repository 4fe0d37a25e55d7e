"""``sgn-rt doctor``."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.text import Text

from sgn_rt import __version__
from sgn_rt._processors import available_cpus
from sgn_rt.cli.common import console, json_option, output_option, table, write_json, write_text
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.cli.versions import versions
from sgn_rt.engines.factory import ENGINES, open_engine
from sgn_rt.errors import SgnError
from sgn_rt.model.bundle import Bundle
from sgn_rt.parity.measure import measure

if TYPE_CHECKING:
    from sgn_rt.checks.gpu_checks import World


@click.command("doctor")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@json_option
@output_option("--gpu-report",
               help="Instead, run all checks that need a GPU; a report to send back.")  # fmt: skip
@verbosity_options
def command(bundle: Path | None, json_path: Path | None, gpu_report: Path | None) -> int:
    """Show what this machine can run: every engine is opened, proved and timed on a real window.

    Exit code 0 if at least one engine runs and holds parity; with --gpu-report, if all checks hold.
    """
    opened = Bundle.open(bundle)
    if gpu_report is not None:
        return _report_gpu(opened, gpu_report)
    engines = {name: _examine(name, opened) for name in ENGINES}
    packages = versions()
    if json_path is not None:
        machine = {"platform": platform.platform(), "cpus": available_cpus()}
        report = {"sgn-rt": __version__, **machine, "packages": packages, "engines": engines}
        write_json(json_path, report)
    if str(json_path) != "-":
        _show(packages, engines)
    return 0 if any(engine["usable"] for engine in engines.values()) else 1


def _report_gpu(bundle: Bundle, path: Path) -> int:
    from sgn_rt.checks.gpu_checks import CHECKS
    from sgn_rt.checks.gpu_report import gpu_report

    progress = console(err=True)
    # Of a check that needs packages which are not there nothing can be said.
    layers = {} if find_spec("polygraphy") is None else {"layers": _check_layers}
    text, passed = gpu_report(bundle, progress.print, CHECKS | layers)
    write_text(path, text)
    if str(path) != "-":
        console().print(text, end="")
    return 0 if passed else 1


def _check_layers(world: World) -> Mapping[str, Any]:
    from sgn_rt.export.engine_layers import check_layers

    return check_layers(world.bundle, world.trt, world.device)


def _examine(name: str, bundle: Bundle) -> dict[str, Any]:
    try:
        engine = open_engine(name, bundle)
        results = measure(engine, bundle.probe, quick=True)
        window, everything = bundle.probe.mixture[:1], np.arange(len(bundle.config.categories))
        start = time.perf_counter()
        engine.separate(window, everything)
        elapsed = time.perf_counter() - start
    except SgnError as error:
        return {"usable": False, "reason": str(error)}
    failed = [str(result) for result in results if not result.passed]
    return {
        "usable": not failed,
        "reason": f"parity: {'; '.join(failed)}" if failed else None,
        "detail": engine.detail,
        "window_s": None if failed else elapsed,
        "parity": {result.stage: result.to_dict() for result in results},
    }


def _show(packages: dict[str, str | None], engines: dict[str, dict[str, Any]]) -> None:
    out = console()
    out.print(
        f"sgn-rt {__version__}, Python {platform.python_version()}, {platform.platform()}, "
        f"{available_cpus()} processors"
    )
    out.print(", ".join(f"{name} {version or '-'}" for name, version in packages.items()))
    rows = table("engine", "", "one window, all categories", "")
    for name, found in engines.items():
        if found["usable"]:
            stages = found["parity"].items()
            parity = ", ".join(f"{k} {v['figure']} {v['unit']}".strip() for k, v in stages)
            row = (Text("runs", style="green"), f"{1e3 * found['window_s']:.0f} ms")
            rows.add_row(name, *row, f"{found['detail']}; parity: {parity}")
        else:
            rows.add_row(name, Text("no", style="dim"), "", found["reason"])
    out.print(rows)
