"""``sgn-rt bench``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.result import Ratio, Result
from sgn_rt.benchmarks.suite import Plan, run
from sgn_rt.benchmarks.suite import quick as smallest
from sgn_rt.cli.common import (
    console,
    json_option,
    progress_bar,
    table,
    threads_option,
    write_json,
)
from sgn_rt.cli.devices import device_option
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.engines.devices import Devices, checked_devices
from sgn_rt.engines.factory import ENGINES, expect_gpu_engine
from sgn_rt.model.bundle import Bundle


@click.command("bench")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@json_option
@click.option("--engine", "engines", multiple=True, metavar="NAME",
              help="What to time, as in `sgn-rt separate`, or plain-export; may be repeated. "
                   "Everything that runs here if left out.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(min=0.02, max=600), default=3.0,
              show_default=True, help="Length of the recording.")  # fmt: skip
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True,
              help="Rounds; in each everything runs once.")  # fmt: skip
@click.option("--hour", is_flag=True, help="Also separate an hour, for its memory.")
@click.option(
    "--quick", is_flag=True, help="Only show that everything runs: seconds of sound, once."
)
@device_option
@threads_option
@verbosity_options
def command(
    bundle: Path | None,
    json_path: Path | None,
    engines: tuple[str, ...],
    minutes: float,
    repeats: int,
    hour: bool,
    quick: bool,
    device: Devices,
    threads: int | None,
) -> int:
    """Time the engines side by side: files, live streams, lengths, sources, batches.

    Each is proved on the bundle's probes first: one that fails has no time. Exit code 1 if one
    fails, or one that is named is not here.
    """
    for named in engines:
        if named in ENGINES:
            expect_gpu_engine(named, device)
    plan = Plan(
        rows=engines,
        minutes=minutes,
        repeats=repeats,
        hour=hour,
        threads=threads,
        devices=checked_devices(device),
    )
    result = run(Bundle.open(bundle), smallest(plan) if quick else plan, _step)
    if str(json_path) != "-":
        show(result, console())
    if json_path is not None:
        write_json(json_path, result.to_dict())
    failed = [row for row in result.rows if row.failure and (engines or not row.absent)]
    return 1 if failed else 0


@contextmanager
def _step(title: str) -> Iterator[Tell]:
    if not sys.stderr.isatty():
        click.echo(f"{title} ...", err=True)
    with progress_bar(title) as tell:
        yield tell


def show(result: Result, out: Console) -> None:
    """Print a result of `sgn_rt.benchmarks.suite.run`."""
    machine = result.machine
    load = "" if machine["load"] is None else f", load {machine['load']:.1f} before"
    out.print(f"{machine['cpu']}, {machine['threads']} of {machine['cpus']} processors{load}")
    versions = [f"{name} {found}" for name, found in machine["packages"].items() if found]
    out.print(f"sgn-rt {machine['sgn-rt']}, Python {machine['python']}, {', '.join(versions)}")
    for row in result.rows:
        if row.failure is None:
            out.print(f"{row.name}: {row.detail}")
        else:
            out.print(f"{row.name}: {'not here' if row.absent else 'FAILED'}: {row.failure}")
    _show_figures(result, out)
    for limits in result.limits:
        out.print(f"{limits.row}: {limits.words}")


def _show_figures(result: Result, out: Console) -> None:
    ratios: dict[tuple[str, ...], Ratio] = {
        (each.scenario, each.case, each.network, each.row, each.name): each
        for each in result.ratios
    }
    rows = table("scenario", "case", "engine", "figure", "median", "interval", "better by")
    for figure in result.figures:
        value, interval = f"{figure.value:.4g} {figure.unit}", _interval(figure.interval)
        ratio = ratios.get(figure.key)
        rows.add_row(
            figure.scenario, figure.case, figure.row, figure.name,
            value if figure.failure is None else figure.failure, interval,
            "" if ratio is None else f"{ratio.value:.2f} {_interval(ratio.interval)}",
        )  # fmt: skip
    out.print(rows)


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"({bounds[0]:.4g} to {bounds[1]:.4g})"
