"""``sgn-rt explain``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sgn_rt.cli.common import (
    bundle_option,
    categories_option,
    console,
    engine_option,
    names_option,
    progress_bar,
    threads_option,
)
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.errors import CategoryError
from sgn_rt.explain.run import MOST_SECONDS, PAGE, Request, explain_to
from sgn_rt.explain.why import why
from sgn_rt.model.bundle import Bundle


@click.command("explain")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Page, pictures and arrays go to DIR/<input name>.explain/.")  # fmt: skip
@bundle_option
@engine_option
@categories_option("Categories to show; those that are heard if left out.")
@names_option("--labels", metavar="A,B", error=CategoryError,
              help="What truly sounds, to judge by; those of the stems beside NAME.mix.EXT if left "
              "out.")  # fmt: skip
@click.option("--start", "start_s", type=click.FloatRange(min=0.0), default=0.0, metavar="SECONDS",
              help="Begin there.")  # fmt: skip
@click.option("--duration", "duration_s", type=click.FloatRange(min=0.0, min_open=True),
              metavar="SECONDS", help=f"Take so much, at most {MOST_SECONDS:g} s.")  # fmt: skip
@threads_option
@verbosity_options
def command(
    file: Path,
    output: Path,
    *,
    bundle: Path | None,
    engine: str,
    categories: Sequence[str] | None,
    labels: Sequence[str] | None,
    start_s: float,
    duration_s: float | None,
    threads: int | None,
) -> None:
    """Show why a model hears what it hears in a recording.

    Writes one page to explore (index.html, needs nothing beside it), pictures, the reasons as text
    (why.md) and all arrays (explain.npz).
    """
    request = Request(
        path=file, categories=categories, labels=labels, start_s=start_s, duration_s=duration_s
    )
    with progress_bar("explaining") as tell:
        explanation, files = explain_to(
            request, output, Bundle.open(bundle), engine=engine, threads=threads,
            tell=tell,
        )  # fmt: skip
    said = console()
    for name, sentences in why(explanation).items():
        said.print(f"{name}:")
        for sentence in sentences:
            said.print(f"  {sentence}")
    said.print(f"{files[PAGE]}: open it in a browser")
