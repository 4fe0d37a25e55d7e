"""``sgn-rt separate``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

import click

from sgn_rt.cli.batch import PICTURE, JsonLines, Overview, Status, Wanted, run_batch
from sgn_rt.cli.common import (
    bundle_option,
    categories_option,
    check_option,
    engine_option,
    json_option,
    output_option,
    parity_option,
    threads_option,
    write_json,
)
from sgn_rt.cli.devices import device_option
from sgn_rt.cli.folders import Source, by_cluster, by_crew, crew_for, separate_listing
from sgn_rt.cli.ray_options import cluster_of, ray_options
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.engines.devices import Devices
from sgn_rt.errors import AudioError, ConfigError
from sgn_rt.model.bundle import Bundle
from sgn_rt.separator import Separator
from sgn_rt.serving.cluster.plan import Pool
from sgn_rt.serving.folders.desk import Work
from sgn_rt.serving.folders.inputs import Listing, is_many, list_inputs
from sgn_rt.serving.folders.one import TRIES
from sgn_rt.serving.folders.state import fingerprint_of
from sgn_rt.streaming.choices import Level, checked_level


def _level(context: click.Context, parameter: click.Parameter, text: str) -> Level:
    del context, parameter
    level: Any = text
    with suppress(ValueError):
        level = float(text)
    return checked_level(level)


@click.command("separate")
@click.argument(
    "inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT..."
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Stems go to DIR/<input name>/<category>.<format>.")  # fmt: skip
@bundle_option
@engine_option
@categories_option("Categories wanted; all that are present if left out.")
@click.option("--threshold", type=click.FloatRange(0.0, 1.0), metavar="PRESENCE",
              help="From which a category may count as present, 0 to 1; the model's own, or 0.5, "
              "if left out.")  # fmt: skip
@click.option(
    "--residual", is_flag=True, help="Also write what is left: stems and it add up to the input."
)
@click.option("--format", "audio_format", type=click.Choice(["wav", "flac"]), default="wav",
              show_default=True, help="wav: float32, never clips; flac: 24 bit.")  # fmt: skip
@click.option("--start", "start_s", type=click.FloatRange(min=0.0), default=0.0, metavar="SECONDS",
              help="Begin there.")  # fmt: skip
@click.option("--duration", "duration_s", type=click.FloatRange(min=0.0, min_open=True),
              metavar="SECONDS", help="Take so much; all that follows if left out.")  # fmt: skip
@click.option("--level", callback=_level, default="auto", show_default=True,
              metavar="auto|off|DB",
              help="Gain before the network, undone in the stems: to the levels that the model was "
              "trained on, none, or so many dB.")  # fmt: skip
@click.option("--salvage", is_flag=True,
              help="Read damaged files as far as they go, and say what is missing.")  # fmt: skip
@click.option("--skip-existing", is_flag=True,
              help="Leave out inputs whose stems are there, whole and of the same model and "
              "options.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), metavar="N",
              help="Of folders and manifests: worker processes on the CPU, recordings at a time on "
              "a GPU; processors, or 4, if left out.")  # fmt: skip
@click.option("--pattern", "patterns", multiple=True, metavar="GLOB",
              help="What recordings in folders are called; may be repeated.")  # fmt: skip
@click.option("--tries", type=click.IntRange(min=1), default=TRIES, show_default=True, metavar="N",
              help="Of folders and manifests: failures until one is given up.")  # fmt: skip
@click.option("--fresh", is_flag=True,
              help="Do not go on where an earlier run of a folder or manifest ended.")  # fmt: skip
@ray_options
@json_option
@output_option("--jsonl", help="Also write a line of JSON for each input when it is done, also of "
               "those that fail; - for stdout.")  # fmt: skip
@click.option("--plot", is_flag=True, help=f"Also draw DIR/<input name>/{PICTURE}.")
@parity_option
@check_option
@device_option
@threads_option
@verbosity_options
def command(
    inputs: Sequence[Path],
    output: Path,
    bundle: Path | None,
    engine: str,
    categories: list[str] | None,
    threshold: float | None,
    residual: bool,
    audio_format: Literal["wav", "flac"],
    start_s: float,
    duration_s: float | None,
    level: Level,
    salvage: bool,
    skip_existing: bool,
    jobs: int | None,
    patterns: tuple[str, ...],
    tries: int,
    fresh: bool,
    ray_address: str | None,
    ray_actors: Pool | None,
    cpus_per_actor: int | None,
    json_path: Path | None,
    jsonl: Path | None,
    plot: bool,
    parity: Literal["fallback", "raise", "off"],
    check_every: int | None,
    device: Devices,
    threads: int | None,
) -> int:
    """Separate recordings into one file per category.

    Files, folders with all within, and manifests (.jsonl, an object a line: path, and of it alone
    categories, threshold, level, start_s, duration_s, output). Folders and manifests go on where an
    earlier run ended.

    Any format of libsndfile, with PyAV also m4a, webm and more; any sample rate and number of
    channels. Stems are of the input's very length, rate and channels. Of several inputs, one that
    fails keeps none of the others from being separated; the exit code is 2 then.
    """
    cluster = cluster_of(
        ray_address, ray_actors, cpus_per_actor, device=device, jobs=jobs, threads=threads
    )
    listing = None
    if cluster is not None or any(map(is_many, inputs)):
        listing = list_inputs(inputs, output, patterns)
    else:
        _expect_inputs(inputs)
    _expect_distinct_files(json_path, jsonl)
    if plot:
        from sgn_rt.cli.plot import require_matplotlib

        require_matplotlib()
    options: dict[str, Any] = {
        "categories": categories,
        "threshold": threshold,
        "residual": residual,
        "format": audio_format,
        "start_s": start_s,
        "duration_s": duration_s,
        "level": level,
        "salvage": salvage,
    }
    wanted = Wanted(output=output, options=options, plot=plot, skip_existing=skip_existing)
    opening: dict[str, Any] = {
        "bundle": bundle,
        "engine": engine,
        "parity": parity,
        "threads": threads,
        "check_every": check_every,
        "device": device,
    }
    tables = "-" not in (str(json_path), str(jsonl))
    made_lines = nullcontext() if jsonl is None else JsonLines(jsonl)

    def work_of(model: Bundle) -> Work:
        work = Work(
            output=output,
            options=options,
            fingerprint=fingerprint_of(model, options),
            tries=tries,
            skip_existing=skip_existing,
            addition=Overview() if plot else None,
        )
        if fresh and (state := work.state()) is not None:
            state.forget()
        return work

    if cluster is not None and listing is not None:
        work = work_of(Bundle.open(bundle))
        with made_lines as lines:
            source = by_cluster(opening, work, cluster)
            return _many(source, listing, work, lines, json_path, tables=tables)
    with Separator.open(**opening) as separator, made_lines as lines:
        if listing is not None:
            work = work_of(separator.bundle)
            source = by_crew(crew_for(separator, opening, work, jobs), work)
            return _many(source, listing, work, lines, json_path, tables=tables)
        outcomes = run_batch(separator, inputs, wanted, lines, tables=tables)
    if json_path is not None:
        done = [each.to_dict() for each in outcomes if each.status is not Status.FAILED]
        write_json(json_path, done if len(inputs) > 1 else done[0])
    return 2 if any(each.status is Status.FAILED for each in outcomes) else 0


def _many(
    source: Source, listing: Listing, work: Work, lines: JsonLines | None, json_path: Path | None,
    *, tables: bool,
) -> int:  # fmt: skip
    """Separate what is listed; the exit code."""
    rows: list[Any] = []
    keep = _ignore if json_path is None else rows.append
    whole = separate_listing(source, listing, work, lines, tables=tables, keep=keep)
    if json_path is not None:
        write_json(json_path, [row for row in rows if row["status"] != "failed"])
    return 0 if whole else 2


def _ignore(row: object) -> None:
    del row  # a hundred thousand of them would take room


def _expect_inputs(inputs: Sequence[Path]) -> None:
    names = [path.name for path in inputs]
    for path in inputs:
        if names.count(path.name) > 1:
            raise AudioError(
                f"inputs: got several called {path.name!r}, expected distinct names, as stems go "
                "to a folder of that name. Separate them into different folders."
            )


def _expect_distinct_files(json_path: Path | None, jsonl: Path | None) -> None:
    if json_path is not None and json_path == jsonl:
        raise ConfigError(
            f"--json and --jsonl: got {json_path} for both, expected different places. Leave one "
            "of them out."
        )
