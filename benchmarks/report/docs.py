"""Put a result's figures into a page, between its marks: the last step of ``make bench``.

``python -P -m sgn_rt.benchmarks.report.docs RESULT.json docs/benchmarks.md [--again SECOND.json]``
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from sgn_rt._atomic import write_whole
from sgn_rt.benchmarks.report.comparison import LIMIT, compare
from sgn_rt.benchmarks.report.files import read_result
from sgn_rt.benchmarks.report.markdown import as_markdown
from sgn_rt.benchmarks.report.verdict import verdict
from sgn_rt.benchmarks.result import CONFIDENCE, Result
from sgn_rt.errors import SgnError
from sgn_rt.pages.parts import Section

BEGIN: Final = "<!-- written by make bench -->"
END: Final = "<!-- end -->"
LEVEL: Final = 3
"""Of the figures' heading on the page."""


def with_figures(page: str, text: str) -> str:
    """A page with a text in the place of what is between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}{END}{after}"


def _agreement(run: Result, second: Result) -> Section:
    """How much a second run differs from a first."""
    said = verdict(compare(run, second, LIMIT))
    chance = f"By chance alone {100 * (1 - CONFIDENCE):.0f} % of what has an interval would differ."
    about = f"Of {second.made}, against this one: {said} {chance}"
    return Section("again", "Run again", about, ())


@click.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.argument("page", type=click.Path(path_type=Path))
@click.option("--again", type=click.Path(path_type=Path), metavar="SECOND.json",
              help="A second run: the page says how many figures agree.")  # fmt: skip
def main(result: Path, page: Path, again: Path | None) -> None:
    """Put the figures of RESULT, a file of `sgn-rt bench --json`, into PAGE, between its marks."""
    found = page.read_text(encoding="utf-8") if page.is_file() else ""
    if found.count(BEGIN) != 1 or found.find(END) < found.find(BEGIN):
        raise click.UsageError(
            f"{page}: got no marks, expected a page in which {BEGIN} and {END} say where the "
            "figures go. Name another page, or write them into it."
        )
    try:
        run = read_result(result)
        second = None if again is None else read_result(again)
    except SgnError as error:
        raise click.UsageError(str(error)) from error
    extra = [] if second is None else [_agreement(run, second)]
    write_whole(page, with_figures(found, as_markdown(run, LEVEL, extra)).encode())
    click.echo(f"wrote the figures of {run.made} to {page}")


if __name__ == "__main__":
    main()
