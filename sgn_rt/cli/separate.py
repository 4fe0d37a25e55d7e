"""``sgn-rt separate``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

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
from sgn_rt.cli.json_lines import JsonLines
from sgn_rt.cli.overview import PICTURE, Overview
from sgn_rt.cli.process import say
from sgn_rt.cli.ray_options import cluster_of, ray_options
from sgn_rt.cli.recordings import Told, outcomes, separating
from sgn_rt.cli.separation_report import show, show_line
from sgn_rt.cli.tally import Tally
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.errors import AudioError, ConfigError
from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.folders.desk import Work
from sgn_rt.serving.folders.entry import Status
from sgn_rt.serving.folders.inputs import is_many, list_inputs
from sgn_rt.serving.folders.one import TRIES
from sgn_rt.serving.folders.state import fingerprint_of
from sgn_rt.streaming.choices import Level, checked_level
from sgn_rt.streaming.thresholds import read_thresholds

_WANTED: Final = (
    "categories", "threshold", "residual", "format", "start_s", "duration_s", "level", "salvage",
)  # fmt: skip
"""Options that go to `Separator.separate_to`."""
_OPENING: Final = ("bundle", "engine", "parity", "threads", "check_every", "device")
"""Options that go to `Separator.open`."""


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
@click.option("--thresholds", "thresholds_path", type=click.Path(path_type=Path), metavar="FILE",
              help="JSON: category -> threshold, as `sgn-rt evaluate` recommends them; in the "
              "place of --threshold.")  # fmt: skip
@click.option(
    "--residual", is_flag=True, help="Also write what is left: stems and it add up to the input."
)
@click.option("--format", type=click.Choice(["wav", "flac"]), default="wav",
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
              help="Recordings at a time: worker processes on the CPU, threads on a GPU. If left "
              "out, named files are separated one by one, and of folders and manifests as many at "
              "a time as there are processors, or 4 on a GPU.")  # fmt: skip
@click.option("--pattern", "patterns", multiple=True, metavar="GLOB",
              help="What recordings in folders are called; may be repeated.")  # fmt: skip
@click.option("--tries", type=click.IntRange(min=1), metavar="N",
              help="Of folders, manifests and --jobs: failures until a recording is given up; "
              f"{TRIES} if left out.")  # fmt: skip
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
    *,
    thresholds_path: Path | None,
    skip_existing: bool,
    jobs: int | None,
    patterns: tuple[str, ...],
    tries: int | None,
    fresh: bool,
    json_path: Path | None,
    jsonl: Path | None,
    plot: bool,
    **more: Any,
) -> int:
    """Separate recordings into one file per category.

    Files, folders with all within, and manifests (.jsonl, an object a line: path, and of it alone
    categories, threshold, level, start_s, duration_s, output). Folders and manifests go on where an
    earlier run ended.

    Any format of libsndfile, with PyAV also m4a, webm and more; any sample rate and number of
    channels. Stems are of the input's very length, rate and channels. Of several inputs, one that
    fails keeps none of the others from being separated; the exit code is 2 then.
    """
    opening, options = _taken(more, _OPENING), _taken(more, _WANTED)
    if thresholds_path is not None:
        options["threshold"] = _thresholds(thresholds_path, options["threshold"])
    cluster = cluster_of(**more, jobs=jobs, device=opening["device"], threads=opening["threads"])
    named = cluster is None and not any(map(is_many, inputs))
    one_by_one = named and jobs is None
    _expect_use(named=named, one_by_one=one_by_one, tries=tries, fresh=fresh)
    _expect_distinct_files(json_path, jsonl)
    if plot:
        from sgn_rt.cli.plot import require_matplotlib

        require_matplotlib()
    listing = list_inputs(inputs, output, patterns)
    fingerprint = fingerprint_of(Bundle.open(opening["bundle"]), options)
    wanted = Work(
        output=output, options=options, fingerprint=None if one_by_one else fingerprint,
        tries=tries or TRIES, skip_existing=skip_existing, addition=Overview() if plot else None,
    )  # fmt: skip
    tables, single = "-" not in (str(json_path), str(jsonl)), named and len(listing) == 1
    kept: list[Told] = []  # a hundred thousand of them would take room, where nobody wants them
    with (
        _with_state(wanted, named=named, fresh=fresh) as work,
        nullcontext() if jsonl is None else JsonLines(jsonl) as lines,
        Tally(listing) as tally,
        separating(
            tally, opening, work, cluster=cluster, jobs=jobs, one_by_one=one_by_one
        ) as events,
    ):
        for told in outcomes(events, tally, work):
            _tell(told, tally, lines, tables=tables, named=named)
            if json_path is not None and told["status"] != Status.FAILED:
                kept.append(told)
    if tables and not single:
        tally.summary()
    if not named:
        tally.tell_faults()
    if json_path is not None:
        write_json(json_path, kept[0] if single else kept)
    return 2 if tally.counts[Status.FAILED] else 0


def _thresholds(path: Path, threshold: float | None) -> dict[str, float]:
    if threshold is not None:
        raise ConfigError(
            f"--threshold and --thresholds: got {threshold:g} and {path}, expected one of them. "
            "Leave one of them out."
        )
    return read_thresholds(path)


def _taken(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Take out some of the options of a command, which it need not know one by one."""
    return {name: options.pop(name) for name in names}


@contextmanager
def _with_state(work: Work, *, named: bool, fresh: bool) -> Iterator[Work]:
    """Where the state of a run is kept: of files that were named, only as long as it lasts."""
    if named and work.fingerprint is not None:
        with tempfile.TemporaryDirectory(prefix="sgn-rt-") as place:
            yield replace(work, state_place=Path(place))
        return
    if fresh and (state := work.state()) is not None:
        state.forget()
    yield work


def _tell(told: Told, tally: Tally, lines: JsonLines | None, *, tables: bool, named: bool) -> None:
    """Tell what became of a recording.

    Raises
    ------
    AudioError
        If it is the only one, and that fails or is digital silence: then there is nothing else to
        go on with.
    """
    single, path = named and tally.files == 1, told["input"]
    if single and told["status"] == Status.SILENT:
        error = (
            f"{path}: got digital silence, expected sound. Name --categories to have silent stems "
            "of it."
        )
        told = {**told, "status": str(Status.FAILED), "error": error}
    if lines is not None:
        lines.write(told)
    if told["status"] == Status.FAILED:
        if single:
            raise AudioError(told["error"])
        tried = "" if named else f" (try {told['tries']})"
        say("error", f"{tally.counter}{told['error']}{tried}")
    elif tables:
        (show if named else show_line)(f"{tally.counter}{path}", told)


def _expect_use(*, named: bool, one_by_one: bool, tries: int | None, fresh: bool) -> None:
    """Refuse what would do nothing."""
    if one_by_one and tries is not None:
        raise ConfigError(
            f"--tries: got {tries} for files that are separated one by one, expected a folder, a "
            "manifest or --jobs. Add one of them, or leave it out."
        )
    if named and fresh:
        raise ConfigError(
            "--fresh: got it for files alone, expected a folder or manifest, as files are "
            "separated anew in any case. Leave it out."
        )


def _expect_distinct_files(json_path: Path | None, jsonl: Path | None) -> None:
    if json_path is not None and json_path == jsonl:
        raise ConfigError(
            f"--json and --jsonl: got {json_path} for both, expected different places. Leave one "
            "of them out."
        )
