"""``sgn-rt separate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click
from rich.text import Text

from sgn_rt._atomic import write_whole
from sgn_rt.cli.common import (
    bundle_option,
    categories_option,
    check_option,
    console,
    engine_option,
    json_option,
    parity_option,
    progress_bar,
    table,
    threads_option,
    write_json,
)
from sgn_rt.errors import AudioError, SgnError
from sgn_rt.report import SeparationFiles
from sgn_rt.separator import Separator


@click.command("separate")
@click.argument(
    "inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT..."
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Stems go to DIR/<input name>/<category>.<format>.")  # fmt: skip
@bundle_option
@engine_option
@categories_option("Categories wanted; all that are present if left out.")
@click.option("--threshold", type=click.FloatRange(0.0, 1.0), default=0.5, show_default=True,
              help="Presence from which a category counts as present.")  # fmt: skip
@click.option(
    "--residual", is_flag=True, help="Also write what is left: stems and it add up to the input."
)
@click.option("--format", "audio_format", type=click.Choice(["wav", "flac"]), default="wav",
              show_default=True, help="wav: float32, never clips; flac: 24 bit.")  # fmt: skip
@json_option
@click.option("--plot", is_flag=True, help="Also draw DIR/<input name>/overview.png.")
@parity_option
@check_option
@threads_option
def command(
    inputs: Sequence[Path],
    output: Path,
    bundle: Path | None,
    engine: str,
    categories: list[str] | None,
    threshold: float,
    residual: bool,
    audio_format: Literal["wav", "flac"],
    json_path: Path | None,
    plot: bool,
    parity: Literal["fallback", "raise", "off"],
    check_every: int | None,
    threads: int | None,
) -> int:
    """Separate recordings into one file per category.

    Any format of libsndfile, any sample rate and number of channels; stems are of the input's very
    length, rate and channels.
    """
    _expect_distinct(inputs)
    if plot:
        from sgn_rt.cli.plot import require_matplotlib

        require_matplotlib()
    results: list[dict[str, Any]] = []
    failures = 0
    with Separator.open(
        bundle, engine, parity, threads=threads, check_every=check_every
    ) as separator:
        for path in inputs:
            checked = separator.checked_windows
            try:
                with progress_bar(path.name) as progress:
                    files = separator.separate_to(
                        path, output, categories, threshold=threshold, residual=residual,
                        format=audio_format, progress=progress,
                    )  # fmt: skip
                if files.peak == 0.0 and categories is None:
                    raise AudioError(
                        f"{path}: got digital silence, expected sound. "
                        "Name --categories to have silent stems of it."
                    )
                if plot and files.stems:
                    _draw(path, files, separator, threshold)
            except SgnError as error:
                if len(inputs) == 1:
                    raise
                click.echo(f"sgn-rt: error: {error}", err=True)
                failures += 1
                continue
            if str(json_path) != "-":
                _show(path, files, threshold)
            results.append(_as_json(path, files, separator, checked))
    if json_path is not None:
        write_json(json_path, results[0] if len(inputs) == 1 else results)
    return 2 if failures else 0


def _expect_distinct(inputs: Sequence[Path]) -> None:
    stems = [path.stem for path in inputs]
    for path in inputs:
        if stems.count(path.stem) > 1:
            raise AudioError(
                f"inputs: got several called {path.stem!r}, expected distinct names, as stems go "
                "to a folder of that name. Separate them into different folders."
            )


def _draw(path: Path, files: SeparationFiles, separator: Separator, threshold: float) -> None:
    """Add a picture to the stems; a recording of which there are none gets none."""
    from sgn_rt.cli.plot import as_png, draw_overview

    figure = draw_overview(
        path,
        files,
        model=separator.bundle.name,
        highest_hz=separator.config.sample_rate / 2,
        thresholds=dict.fromkeys(files.presence, threshold),
    )
    write_whole(next(iter(files.stems.values())).parent / "overview.png", as_png(figure))


def _show(path: Path, files: SeparationFiles, threshold: float) -> None:
    out = console()
    seconds = files.samples / files.sample_rate
    out.print(
        f"{path}  {seconds:.1f} s, {files.sample_rate} Hz, {files.channels} ch  ->  "
        f"{files.timings.separate:.2f} s on {files.engine} "
        f"({1 / files.real_time_factor:.0f}x real time)"
    )
    rows = table("category", "presence", "", "stem", right="presence")
    for name, presence in sorted(files.presence.items(), key=lambda item: -item[1]):
        stem = files.stems.get(name)
        if stem is not None or presence >= 0.1:
            bar = "#" * round(20 * presence)
            rows.add_row(
                name,
                f"{presence:.2f}",
                bar,
                str(stem) if stem else Text("not written", style="dim"),
            )
    if "residual" in files.stems:
        rows.add_row("residual", "", "", str(files.stems["residual"]))
    out.print(rows)
    if not files.stems:
        likeliest = max(files.presence, key=files.presence.__getitem__)
        out.print(
            f"No category reaches the threshold of {threshold:g}; the likeliest is {likeliest} "
            f"({files.presence[likeliest]:.2f}). Lower --threshold, or name --categories."
        )
    if files.clipped:
        out.print(f"Clipped at full scale: {', '.join(files.clipped)}. --format wav does not clip.")


def _as_json(
    path: Path, files: SeparationFiles, separator: Separator, checked: int
) -> dict[str, Any]:
    """What is told of a file; ``checked`` windows had been before it."""
    told = files.to_dict()
    told["engine"]["detail"] = separator.engine.detail
    return {
        "input": str(path),
        "model": separator.bundle.name,
        "model_sample_rate": separator.config.sample_rate,
        **told,
        "parity": {result.stage: result.to_dict() for result in separator.parity},
        "checked_windows": separator.checked_windows - checked,
    }
