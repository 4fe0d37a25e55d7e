"""``sgn-rt doctor``."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.text import Text

from sgn_rt import __version__
from sgn_rt._processors import available_cpus
from sgn_rt.cli.common import (
    console,
    json_option,
    names_option,
    output_option,
    table,
    write_json,
)
from sgn_rt.cli.devices import Placed, device_option, placed
from sgn_rt.cli.gpu_window import moved_by_a_window, show_moved
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.cli.versions import versions
from sgn_rt.engines.devices import Devices, checked_devices
from sgn_rt.engines.factory import ENGINES, open_engine
from sgn_rt.errors import ConfigError, SgnError
from sgn_rt.model.bundle import Bundle
from sgn_rt.parity.measure import measure
from sgn_rt.tensorrt.device.factory import look_for_device


@click.command("doctor")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@json_option
@output_option("--gpu-report",
               help="Instead, run all checks that need a GPU; a report to send back. FILE.json "
                    "beside it is the same as JSON, which the next run goes on from.")  # fmt: skip
@names_option("--gpu-part", "gpu_parts", metavar="A,B",
              help="Of the GPU's checks only these: device (without TensorRT), onnxruntime, "
                   "tensorrt, tensorrt-rtx, or single ones, e.g. device/graphs.")  # fmt: skip
@click.option("--again", is_flag=True, help="Run what an earlier GPU report has, too.")
@device_option
@verbosity_options
def command(
    bundle: Path | None,
    json_path: Path | None,
    gpu_report: Path | None,
    gpu_parts: list[str] | None,
    again: bool,
    device: Devices,
) -> int:
    """Show what this machine can run: every engine is opened, proved and timed on a real window.

    Exit code 0 if at least one engine runs and holds parity; with --gpu-report, if something was
    checked on a GPU and all of it held.
    """
    if gpu_report is not None:
        if device is not None:
            raise ConfigError(
                "--device: got it with --gpu-report, expected it without: that is of the GPU in "
                "use. Set CUDA_VISIBLE_DEVICES to choose another."
            )
        from sgn_rt.cli.gpu_report import report_gpu

        return report_gpu(Bundle.open(bundle), gpu_report, json_path, gpu_parts, again=again)
    for option, given in (("--gpu-part", gpu_parts), ("--again", again)):
        if given:
            raise ConfigError(
                f"{option}: got it without --gpu-report, expected both. Name the report's file."
            )
    opened = Bundle.open(bundle)
    devices = checked_devices(device)
    engines = {each.title: _examine(each, opened) for each in placed(ENGINES, devices)}
    packages, moved = versions(), moved_by_a_window(opened.config)
    gpus = [_gpu(number) for number in devices or (None,)]
    if json_path is not None:
        machine = {"platform": platform.platform(), "cpus": available_cpus(), "gpus": gpus}
        report = {"sgn-rt": __version__, **machine, "packages": packages, "engines": engines}
        write_json(json_path, report | {"gpu_window": moved})
    if str(json_path) != "-":
        _show(packages, gpus, engines)
        show_moved(moved, console())
    return 0 if any(engine["usable"] for engine in engines.values()) else 1


def _examine(each: Placed, bundle: Bundle) -> dict[str, Any]:
    try:
        engine = open_engine(each.spec, bundle, device=each.device)
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


def _gpu(number: int | None) -> str:
    """A GPU, or the one in use; or why there is none."""
    found = look_for_device(number)
    if isinstance(found, str):
        return f"no GPU: {found}"
    return f"{found.name}, {found.capability}, through {found.layer}"


def _show(
    packages: dict[str, str | None], gpus: Sequence[str], engines: dict[str, dict[str, Any]]
) -> None:
    out = console()
    out.print(
        f"sgn-rt {__version__}, Python {platform.python_version()}, {platform.platform()}, "
        f"{available_cpus()} processors"
    )
    out.print(", ".join(f"{name} {version or '-'}" for name, version in packages.items()))
    for gpu in gpus:
        out.print(gpu)
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
