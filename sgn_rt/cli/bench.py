"""``sgn-rt bench``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from sgn_rt.benchmarks.harness import Tell
from sgn_rt.benchmarks.result import Result
from sgn_rt.benchmarks.scenarios import every
from sgn_rt.benchmarks.suite import Plan, run
from sgn_rt.benchmarks.suite import quick as smallest
from sgn_rt.checks.device.rates import limits_here
from sgn_rt.cli.bench_output import Output
from sgn_rt.cli.common import json_option, output_option, progress_bar, threads_option
from sgn_rt.cli.devices import device_option
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.engines.devices import Devices, checked_devices
from sgn_rt.engines.factory import ENGINES, expect_gpu_engine
from sgn_rt.errors import ConfigError
from sgn_rt.model.bundle import Bundle

_OF_A_RUN: Final = {
    "bundle", "rows", "scenarios", "networks", "minutes", "passes", "hour", "quick", "official",
    "keep", "device", "threads",
}  # fmt: skip
"""Parameters that say what is run: of a result that is read they say nothing."""


@click.command("bench")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--row", "--engine", "rows", multiple=True, metavar="NAME",
              help="What to time: an engine as in `sgn-rt separate`, or what somebody would take "
                   "instead, such as torch; may be repeated. Everything that runs here if left "
                   "out.")  # fmt: skip
@click.option("--scenario", "scenarios", multiple=True, type=click.Choice([*every.NAMES]),
              help="What to measure; may be repeated. Everything if left out.")  # fmt: skip
@click.option("--network", "networks", multiple=True, default=("published",), show_default=True,
              type=click.Choice(("published", "paper-scale")),
              help="That of the bundle, or one of the paper's size with random weights; may be "
                   "repeated.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(min=0.02, max=600), default=3.0,
              show_default=True, help="Length of the recording.")  # fmt: skip
@click.option("--passes", type=click.IntRange(min=1), default=3, show_default=True,
              help="How often everything is gone through: bounds are of passes, so that they hold "
                   "for another run, too, and are the closer the more there are.")  # fmt: skip
@click.option("--hour", is_flag=True, help="Also separate an hour, for its time and memory.")
@click.option(
    "--quick", is_flag=True, help="Only show that everything runs: seconds of sound, once."
)
@click.option("--official", is_flag=True,
              help="Put the load generator's scenarios to MLPerf's own rules: at least 10 minutes "
                   "for each row, scenario and round.")  # fmt: skip
@click.option("--loadgen-logs", "keep", metavar="FOLDER",
              type=click.Path(path_type=Path, file_okay=False),
              help="Keep the load generator's own files there; new or empty.")  # fmt: skip
@device_option
@threads_option
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="FILE",
              help="Run nothing: take what an earlier run has written with --json.")  # fmt: skip
@json_option
@output_option("--markdown", help="Also write the result as Markdown; - for stdout.")
@output_option("--html", "page", help="Also write it as one page with plots; - for stdout.")
@click.option("--history", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Keep the run there, beside all earlier ones, and draw the course of each "
                   "figure, as index.html.")  # fmt: skip
@click.option("--compare", type=click.Path(path_type=Path), metavar="OLD.json",
              help="An earlier run to compare with: each figure, and whether the difference is "
                   "more than chance.")  # fmt: skip
@click.option("--limit", type=click.FloatRange(min=0, max=99), metavar="PERCENT",
              help="Exit code 1 if a figure of --compare is worse by surely more than this.  "
                   "[default: 5]")  # fmt: skip
@verbosity_options
@click.pass_context
def command(
    context: click.Context,
    /,
    bundle: Path | None,
    source: Path | None,
    json_path: Path | None,
    markdown: Path | None,
    page: Path | None,
    history: Path | None,
    compare: Path | None,
    limit: float | None,
    **choices: Any,
) -> int:
    """Time the engines and what somebody would take instead, side by side, in many scenarios.

    Each is proved on the bundle's probes first: one that fails has no time. Exit code 1 if an
    engine fails, if a row that is named fails or is not here, or if a figure is worse than it was
    (--compare); 2 if nothing could be compared. --json is written after every scenario, so of a run
    that is interrupted there is what it has measured.
    """
    output = Output(json_path, markdown, page, history, compare, limit)
    if source is not None:
        _expect_no_run(context)
        result = output.read(source)
    else:
        result = _measured(bundle, output.keep, **choices)
    return max(output.write(result), _failures(result, named=choices["rows"]))


def _expect_no_run(context: click.Context) -> None:
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        if name in _OF_A_RUN and given:
            raise ConfigError(
                f"--from: got {parameter.opts[0]} beside it, expected nothing that says what to "
                "run: it has been. Leave one of both out."
            )


def _measured(
    bundle: Path | None,
    part: Callable[[Result], None],
    *,
    rows: tuple[str, ...],
    device: Devices,
    quick: bool,
    **choices: Any,
) -> Result:
    if quick and choices["official"]:
        raise ConfigError(
            "--official: got --quick beside it, expected one of both: MLPerf's rules take their "
            "time. Leave one out."
        )
    keep: Path | None = choices["keep"]
    if keep is not None and keep.is_dir() and any(keep.iterdir()):
        raise ConfigError(
            f"--loadgen-logs: got {str(keep)!r} with files in it, expected a folder that is new or "
            "empty: those of another run are not replaced. Name another one."
        )
    for named in rows:
        if named in ENGINES:
            expect_gpu_engine(named, device)
    plan = Plan(rows=rows, devices=checked_devices(device), **choices)
    chosen = smallest(plan) if quick else plan
    return run(Bundle.open(bundle), chosen, _step, gpu_limits=limits_here, part=part)


def _failures(result: Result, *, named: tuple[str, ...]) -> int:
    """1 if something failed that is ours or was asked for: what others do wrong is a finding."""
    failed = [
        row
        for row in result.rows
        if row.failure and (named or (row.kind == "engine" and not row.absent))
    ]
    return 1 if failed else 0


@contextmanager
def _step(title: str) -> Iterator[Tell]:
    if not sys.stderr.isatty():
        click.echo(f"{title} ...", err=True)
    with progress_bar(title) as tell:
        yield tell
