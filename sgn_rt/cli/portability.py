"""``sgn-rt portability``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import click

from sgn_rt.cli.common import (
    console,
    json_option,
    output_option,
    progress_bar,
    table,
    write_json,
    write_text,
)
from sgn_rt.cli.verbosity import verbosity_options
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.contract import Kind
from sgn_rt.model.stages import Stage
from sgn_rt.portability.compare import CONSUMERS, Answer, chosen, compare


@click.command("portability")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--consumer", "consumers", multiple=True, metavar="NAME",
              help=f"{', '.join(each.name for each in CONSUMERS)}; may be repeated. All of them "
                   "if left out.")  # fmt: skip
@json_option
@output_option("--markdown", help="Also write the table as Markdown; - for stdout.")
@verbosity_options
def command(
    bundle: Path | None, consumers: Sequence[str], json_path: Path | None, markdown: Path | None
) -> int:
    """Run every graph of a bundle in whatever else reads ONNX, and compare it with the reference.

    By the stages of parity, on the bundle's probes; onnx.reference, which takes a minute a window,
    by those of a start-up. What is not installed is named with the command; what does not take a
    graph, with the operator. Exit code 1 if a figure is beyond its limit, or a graph without
    plugins is refused.
    """
    wanted = chosen(consumers)
    opened = Bundle.open(bundle)
    answers = []
    with progress_bar("portability") as progress:
        calls = len(wanted) * len(opened.artifacts)
        for done, answer in enumerate(compare(opened, wanted), start=1):
            answers.append(answer)
            progress(done / calls, answer.consumer)
    if json_path is not None:
        write_json(json_path, {"bundle": opened.name, "answers": [a.to_dict() for a in answers]})
    if markdown is not None:
        write_text(markdown, as_markdown(answers))
    if "-" not in map(str, (json_path, markdown)):
        _show(answers)
    return int(any(map(_is_bad, answers)))


def _is_bad(answer: Answer) -> bool:
    """Of the plugins' graphs a refusal is what is expected: TensorRT alone has what they need."""
    refused = answer.refused is not None and not answer.graph.startswith(f"{Kind.PLUGIN}.")
    return refused or answer.departed is not None


def _verdict(answer: Answer) -> str:
    if answer.missing is not None:
        return "missing"
    if answer.refused is not None:
        return f"refuses {answer.operator}" if answer.operator else "refuses it"
    if answer.departed is not None:
        return f"FAILED: {answer.departed.stage} {answer.departed.figure:.3g}"
    return "holds"


def _decibels(answer: Answer) -> str:
    figure = answer.figure(Stage.WHOLE)
    if figure is None:
        return ""
    return "exact" if math.isinf(figure) else f"{figure:.0f} dB"


def _show(answers: Sequence[Answer]) -> None:
    rows = table("consumer", "graph", "sources", "presence", "s a window", "", "")
    for answer in answers:
        presence = answer.figure(Stage.PRESENCE)
        rows.add_row(
            f"{answer.consumer} {answer.version or ''}".rstrip(),
            answer.graph,
            _decibels(answer),
            "" if presence is None else f"{presence:.1g}",
            "" if answer.seconds is None else f"{answer.seconds:.2f}",
            _verdict(answer),
            answer.missing or answer.refused or "",
        )
    console().print(rows)


def as_markdown(answers: Sequence[Answer]) -> str:
    """A row for each consumer, a column for each graph; what refuses, in words below."""
    graphs = list(dict.fromkeys(answer.graph for answer in answers))
    names = list(dict.fromkeys(answer.consumer for answer in answers))
    found = {(answer.consumer, answer.graph): answer for answer in answers}
    lines = [_row("consumer", graphs), _row("---", ["---"] * len(graphs))]
    for name in names:
        mine = [found[name, graph] for graph in graphs]
        missing = mine[0].missing
        if missing is not None:
            lines.append(_row(name, [f"missing: `{missing}`", *[""] * (len(graphs) - 1)]))
        else:
            lines.append(_row(f"{name} {mine[0].version}", [_cell(answer) for answer in mine]))
    return "\n".join(lines) + "\n"


def _row(head: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join((head, *cells))} |"


def _cell(answer: Answer) -> str:
    verdict = _verdict(answer)
    return _decibels(answer) if verdict == "holds" else verdict
