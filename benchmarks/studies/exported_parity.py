"""``python -m sgn_rt.benchmarks.studies.exported_parity BUNDLE...``: parity as exported, a table.

Of each graph what its export has measured against the network that it was made from. With
``--page FILE`` the table takes its place in a page of the docs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from sgn_rt.benchmarks.studies.page import written
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import SECOND_HALVES
from sgn_rt.model.stages import Stage

STAGES: Final = (Stage.NETWORK, Stage.ANALYSIS, Stage.SYNTHESIS, Stage.WHOLE, Stage.PRESENCE)
PLACE: Final = "parity of networks"


def rows_of(bundle: Bundle) -> list[str]:
    """A row of the table for each graph."""
    return [
        f"| {bundle.root.name} | `{artifact.name}` | "
        + " | ".join(_figure(bundle, artifact, stage) for stage in STAGES)
        + " |"
        for artifact in bundle.artifacts
        if artifact.kind not in SECOND_HALVES
    ]


def table_of(bundles: Sequence[Bundle]) -> str:
    """In Markdown."""
    head = ["network", "graph", *(f"{stage}" for stage in STAGES)]
    lines = [f"| {' | '.join(head)} |", "| --- | --- |" + " --- |" * len(STAGES)]
    return "\n".join([*lines, *(row for bundle in bundles for row in rows_of(bundle))])


def _figure(bundle: Bundle, artifact: Artifact, stage: Stage) -> str:
    entry = artifact.parity.get(stage)
    if entry is None or (stage == Stage.PRESENCE and not bundle.config.has_presence):
        return ""
    if entry["figure"] is None:
        return "exact"
    figure = f"{entry['figure']:.0f}" if entry["unit"] == "dB" else f"{entry['figure']:.1e}"
    return f"{figure} {entry['unit']}".strip()


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--page", type=click.Path(path_type=Path), help="Put it there, too.")
def command(bundles: tuple[Path, ...], page: Path | None) -> None:
    """Show what the exports of some bundles have measured."""
    table = table_of([Bundle.open(folder) for folder in bundles])
    click.echo(table)
    if page is not None:
        page.write_text(written(page.read_text(encoding="utf-8"), table, PLACE), encoding="utf-8")


if __name__ == "__main__":
    command()
