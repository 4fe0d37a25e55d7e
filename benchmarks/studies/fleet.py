"""How many live streams a GPU, or a fleet of them, holds: the hub's scheduler on a simulated clock.

``python -P -m sgn_rt.benchmarks.studies.fleet`` simulates one GPU window by window and a fleet over
a day; ``--write docs`` writes the tables of ``scaling.md``, its pictures and ``scaling.json``. No
GPU is needed, and none was measured: service times are a model's, and the page says which.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sgn_rt._atomic import write_whole
from sgn_rt.benchmarks.studies.simulation import plots, report, study
from sgn_rt.benchmarks.studies.simulation.study import Study
from sgn_rt.model.bundle import Bundle

PAGE: Final = "scaling.md"
FIGURES: Final = "scaling.json"


@click.command()
@click.option("--write", type=click.Path(path_type=Path, file_okay=False, exists=True),
              metavar="FOLDER", help="Of scaling.md; None: tables to the terminal.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A small card, a short day: shows that it runs.")
@click.option("--deadline", default=0.2, show_default=True, type=click.FloatRange(min=0.001),
              help="Seconds: lateness at the 99th percentile.")  # fmt: skip
@click.option("--batch", default=8, show_default=True, type=click.IntRange(min=1),
              help="Most windows in a call.")  # fmt: skip
@click.option("--lanes", default=2, show_default=True, type=click.IntRange(min=1),
              help="Calls at a time.")  # fmt: skip
@click.option("--sources", default=1, show_default=True, type=click.IntRange(min=1),
              help="Categories of a stream.")  # fmt: skip
@click.option("--price", type=click.FloatRange(min=0.0), help="Of a GPU-hour, in any currency.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
def main(
    write: Path | None,
    quick: bool,
    deadline: float,
    batch: int,
    lanes: int,
    sources: int,
    price: float | None,
    seed: int,
) -> None:
    """Simulate live streams on a GPU and on a fleet."""
    if write is not None:
        plots.require_matplotlib()
        page = _page(write / PAGE)
    plain = Study()
    chosen = replace(
        plain,
        model=replace(plain.model, batch=batch, lanes=lanes, sources=sources),
        trial=replace(plain.trial, deadline_s=deadline, seed=seed),
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=1.0)
        result = study.run(
            Bundle.open().config,
            study.quick(chosen) if quick else chosen,
            lambda what, share: shown.update(task, description=what, completed=share),
        )
    text = report.render(result, price)
    if write is None:
        click.echo(text)
        return
    pictures = plots.draw(result)
    for name, png in pictures.items():
        write_whole(write / name, png)
    write_whole(write / FIGURES, json.dumps(result, indent=1).encode() + b"\n")
    write_whole(write / PAGE, report.between(page, text).encode())
    click.echo(f"wrote {', '.join(str(write / name) for name in (PAGE, FIGURES, *pictures))}")


def _page(path: Path) -> str:
    """The page's text, before any work."""
    page = path.read_text(encoding="utf-8") if path.is_file() else ""
    if report.BEGIN not in page or report.END not in page:
        raise click.UsageError(
            f"--write: got {path.parent}, expected a folder with a {path.name} in which "
            f"{report.BEGIN} and {report.END} say where the tables go. Give the project's docs."
        )
    return page


if __name__ == "__main__":
    main()
