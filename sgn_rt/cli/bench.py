"""``sgn-rt bench``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.scenarios import ALL, NETWORK, PRESENT, SIDE_BY_SIDE, WINDOW
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

MB = 1e6
Result = Mapping[str, Any]


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
    """Time the engines side by side: whole files, single windows, memory, cold start.

    Each is proved on the bundle's probes first: one that fails has no time. Exit code 1 if one
    fails, or one that is named is not here.
    """
    for named in engines:
        if named in ENGINES:
            expect_gpu_engine(named, device)
    plan = Plan(
        engines=engines,
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
        write_json(json_path, result)
    failed = [s for s in result["subjects"] if s["failure"] and (engines or not s["absent"])]
    return 1 if failed else 0


@contextmanager
def _step(title: str) -> Iterator[Tell]:
    if not sys.stderr.isatty():
        click.echo(f"{title} ...", err=True)
    with progress_bar(title) as tell:
        yield tell


def show(result: Result, out: Console) -> None:
    """Print a result of `sgn_rt.benchmarks.suite.run`."""
    _show_machine(result, out)
    _show_whole_files(result, out)
    _show_windows(result, out)
    _show_memory(result, out)
    _show_cold_start(result, out)
    _show_phases(result, out)


def _show_machine(result: Result, out: Console) -> None:
    machine = result["machine"]
    load = "" if machine["load"] is None else f", load {machine['load']:.1f} before"
    out.print(f"{machine['cpu']}, {machine['threads']} of {machine['cpus']} processors{load}")
    versions = [f"{name} {found}" for name, found in machine["packages"].items() if found]
    out.print(f"sgn-rt {machine['sgn-rt']}, Python {machine['python']}, {', '.join(versions)}")
    for subject in result["subjects"]:
        if subject["failure"] is None:
            out.print(f"{subject['name']}: {subject['detail']}")
        else:
            what = "not here" if subject["absent"] else "FAILED"
            out.print(f"{subject['name']}: {what}: {subject['failure']}")


def _spread(figures: Mapping[str, float] | None) -> str:
    if figures is None:
        return "-"
    return f"{figures['median']:.2f} ({figures['least']:.2f} to {figures['most']:.2f})"


def _show_whole_files(result: Result, out: Console) -> None:
    reference = result["reference"] or "no reference"
    out.print()
    out.print(
        f"{result['audio_s']:.0f} s of mono at 44.1 kHz, file to stems on disk; how many times "
        f"faster, as median (least to most) over the rounds"
    )
    rows = table("engine", "categories", "median s", "x real time", f"vs {reference}", "vs all",
                 "vs named")  # fmt: skip
    counts = {
        choice: "those present" if names is None else str(len(names))
        for choice, names in result["categories"].items()
    }
    for row in result["whole_files"].values():
        choice = counts[row["choice"]]
        if row["failure"] is None:
            rows.add_row(
                row["subject"], choice, f"{row['median']:.2f}", f"{row['times_real_time']:.0f}",
                _spread(row.get("to_reference")),
                "" if row["choice"] == ALL else _spread(row.get("to_all")),
                _spread(row.get("to_sounding")) if row["choice"] == PRESENT else "",
            )  # fmt: skip
        else:
            rows.add_row(row["subject"], choice, "-", "-", "-", "-", "-")
    out.print(rows)


def _show_windows(result: Result, out: Console) -> None:
    out.print()
    out.print("one window, all categories, ms: median / p95")
    rows = table("engine", "sound to sources", "network alone", "side by side, per window")
    for name, found in result["windows"].items():
        cells = [
            f"{1e3 * found[what]['median']:.1f} / {1e3 * found[what]['p95']:.1f}"
            if what in found
            else "-"
            for what in (WINDOW, NETWORK, SIDE_BY_SIDE)
        ]
        rows.add_row(name, *cells)
    out.print(rows)


def _show_memory(result: Result, out: Console) -> None:
    out.print()
    rows = table("engine", "sound", "loaded MB", "peak MB")
    length = f"{result['audio_s']:.0f} s"
    hour, found = result["hour"], result["hour_present"]
    entries = [(name, length, figures) for name, figures in result["memory"].items()]
    if hour is not None:
        entries.append((hour["subject"], "1 h", hour))
        entries.append((found["subject"], "1 h, those present", found))
    for name, sound, figures in entries:
        if "failure" in figures:
            rows.add_row(name, sound, "-", figures["failure"])
        else:
            loaded, peak = figures["loaded"] / MB, figures["peak"] / MB
            rows.add_row(name, sound, f"{loaded:.0f}", f"{peak:.0f}")
    out.print(rows)


def _show_cold_start(result: Result, out: Console) -> None:
    start = result["cold_start"]
    if start is None:
        return
    out.print()
    if "failure" in start:
        out.print(f"cold start: {start['failure']}")
        return
    steps = ", ".join(
        f"{name.replace('_', ' ')} {start[name]['median']:.2f}"
        for name in ("interpreter", "import", "open", "first_window")
    )
    out.print(f"cold start of {start['subject']}: {_spread(start['total'])} s ({steps})")


def _show_phases(result: Result, out: Console) -> None:
    phases = result["phases"]
    if phases is None:
        return
    total = sum(phases["cpu_s"].values())
    out.print()
    out.print(
        f"what limits {phases['subject']}: {phases['wall_s']:.2f} s on {phases['threads']} "
        f"processors, {100 * phases['busy']:.0f} % busy; their time by phase"
    )
    rows = table("phase", "s", "%", right="s")
    for name, seconds in phases["cpu_s"].items():
        rows.add_row(name, f"{seconds:.2f}", f"{100 * seconds / total:.0f}")
    out.print(rows)
