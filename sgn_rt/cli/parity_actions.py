"""What GitHub Actions shows of a parity report: annotations, and the summary of a step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from sgn_rt.cli.common import plain, writing_file
from sgn_rt.cli.parity_page import as_markdown
from sgn_rt.cli.parity_report import ParityReport


def tell_actions(report: ParityReport) -> None:
    """Where a workflow of GitHub runs, an annotation for each failure, and the step's summary.

    Raises
    ------
    AudioError
        If the summary cannot be written.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in commands(report):
        click.echo(line, err=True)  # stdout may be JSON; both are read
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        path = Path(summary)
        with writing_file(path), path.open("a", encoding="utf-8") as file:
            file.write(as_markdown(report))  # other steps' commands append to it, too


def commands(report: ParityReport) -> Iterator[str]:
    """Workflow commands, one for every stage that does not hold and every error."""
    for comparison in report.comparisons:
        for name, result in comparison.results.items():
            if not result.passed:
                yield _error(f"parity: {comparison.engine}, {name}", comparison.said(name))
        if comparison.error is not None:
            yield _error(f"parity: {comparison.engine}", comparison.error)
    if report.error is not None:
        yield _error("parity", report.error)


def _error(title: str, message: str) -> str:
    # The escapes are those of the toolkit's `command.ts`: properties have two more than messages.
    text = plain(message).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    name = plain(title).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    name = name.replace(":", "%3A").replace(",", "%2C")
    return f"::error title={name}::{text}"
