"""Whether ``sgn-rt parity --layers`` names the layer that is wrong, for each fault of a layer.

``python -m sgn_rt.benchmarks.studies.layers --write docs/parity.md`` puts each fault of
`sgn_rt.benchmarks.studies.graph_faults` into each graph of a bundle, and prints the table into the
page; exit code 1 if a layer was named for one that has nothing to do with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import click
import numpy as np
import onnxruntime
import torch
from onnx import ModelProto, NodeProto

from sgn_rt._atomic import write_named
from sgn_rt.benchmarks.studies.graph_faults import Alter, GraphFault, Outputs, graph_faults
from sgn_rt.benchmarks.studies.page import written
from sgn_rt.benchmarks.studies.suspect import Suspect
from sgn_rt.export.checkpoint_values import Values
from sgn_rt.export.layer_result import LayerResult, first_departure
from sgn_rt.export.layerwise import LayerComparison
from sgn_rt.export.operators import Layer, OperatorByOperator
from sgn_rt.model.bundle import Artifact, Bundle
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, SECOND_HALVES
from sgn_rt.reference import load

PLACE: Final = "layers"
"""Of the table on the page."""


class Verdict(StrEnum):
    """What the first layer that departs has to do with a fault."""

    CULPRIT = "culprit"
    """It is wrong by itself."""
    BEHIND = "behind"
    """The culprit is within its limit, and what is computed from it is not."""
    UNSEEN = "unseen"
    """None departs: all differ by less than a right graph of that precision may."""
    WRONG = "wrong"
    """It is not even behind the culprit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the comparison of layers says of one fault.

    Attributes
    ----------
    graph, kind, where
        The graph's name, and the fault's.
    layer
        The first that departs; None where all hold.
    verdict
        What that is.
    """

    graph: str
    kind: str
    where: str
    layer: str | None
    verdict: Verdict


class LayerBench:
    """A graph of a bundle with faults."""

    def __init__(self, bundle: Bundle, artifact: Artifact) -> None:
        self._name = artifact.name
        self._comparison = LayerComparison(bundle, artifact)
        self._comparison.right = _once(self._comparison.right)
        suspect = Suspect(load(bundle.root / BUNDLE_CHECKPOINT))
        graph, layers = self._comparison.graph, self._comparison.layers
        self.faults: Callable[[int], Iterator[GraphFault]] = lambda every: graph_faults(
            suspect, artifact, graph, layers, every
        )
        self._memory = Memory()
        self.sound = first_departure(self._results(graph, None))
        """The first layer that departs with nothing wrong: None."""

    def find(self, fault: GraphFault) -> Named:
        """Put a fault in, and compare."""
        graph = fault.graph() if fault.graph else self._comparison.graph
        first = first_departure(self._results(graph, fault.alter))
        layer = None if first is None else first.layer
        return Named(
            graph=self._name, kind=fault.kind, where=fault.where, layer=layer,
            verdict=_verdict(graph, fault.culprits, layer),
        )  # fmt: skip

    def _results(self, graph: ModelProto, alter: Alter | None) -> list[LayerResult]:
        run = Faulty(graph, self._comparison.layers, self._memory, alter)
        return self._comparison.results(run, graph)


def _verdict(graph: ModelProto, culprits: frozenset[str], layer: str | None) -> Verdict:
    if layer is None:
        return Verdict.UNSEEN
    if layer in culprits:
        return Verdict.CULPRIT
    behind = set(culprits)
    for node in graph.graph.node:
        if behind.intersection(node.input):
            behind.update(node.output)
    return Verdict.BEHIND if layer in behind else Verdict.WRONG


class Memory:
    """What nodes have given for the inputs that they saw first: before a fault all is as it was."""

    most = 2
    """Inputs of each node: the probe's windows."""

    def __init__(self) -> None:
        self.sessions: dict[bytes, onnxruntime.InferenceSession] = {}
        self._kept: dict[bytes, list[tuple[Values, Outputs]]] = {}

    def outputs(self, node: NodeProto, inputs: Values, run: Callable[[], Outputs]) -> Outputs:
        """What a node gives, from memory where it was asked before."""
        kept = self._kept.setdefault(node.SerializeToString(deterministic=True), [])
        for seen, given in kept:
            if all(
                value is seen[n] or np.array_equal(value, seen[n]) for n, value in inputs.items()
            ):
                return given
        given = run()
        if len(kept) < self.most:
            kept.append((inputs, given))
        return given


class Faulty(OperatorByOperator):
    """A graph, operator by operator, with nodes that give something else."""

    def __init__(
        self, graph: ModelProto, layers: list[Layer], memory: Memory, alter: Alter | None
    ) -> None:
        super().__init__(graph, layers)
        self._memory, self._alter, self._sessions = memory, alter, memory.sessions

    def outputs(self, node: NodeProto, inputs: Values) -> Outputs:
        """As of `OperatorByOperator`."""
        right = super().outputs

        def run(given: Values) -> Outputs:
            return self._memory.outputs(node, given, lambda: right(node, given))

        return run(inputs) if self._alter is None else self._alter(node, inputs, run)


def _once(run: Callable[[Values], Values]) -> Callable[[Values], Values]:
    """A function that computes the same only once."""
    kept: dict[bytes, Values] = {}

    def once(feed: Values) -> Values:
        key = b"".join(value.tobytes() for value in feed.values())
        if key not in kept:
            kept[key] = run(feed)
        return kept[key]

    return once


def table(found: Sequence[Named]) -> str:
    """What the page says, as Markdown."""
    graphs, kinds = (list(dict.fromkeys(getattr(n, a) for n in found)) for a in ("graph", "kind"))
    lines = [
        f"| fault | {' | '.join(graphs)} |",
        f"| --- |{' --- |' * len(graphs)}",
    ]
    for kind in kinds:
        cells = []
        for graph in graphs:
            mine = [n.verdict for n in found if (n.graph, n.kind) == (graph, kind)]
            behind = mine.count(Verdict.BEHIND)
            cell = f"{mine.count(Verdict.CULPRIT)} of {len(mine)}" if mine else ""
            cells.append(cell + (f", {behind} behind" if behind else ""))
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    wrong = [n for n in found if n.verdict == Verdict.WRONG]
    lines += ["", *(f"- {n.graph}: {n.kind}, {n.where}: {n.layer} was named" for n in wrong)]
    return "\n".join(lines).rstrip()


@click.command()
@click.option("--bundle", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="The bundle; the one that ships if left out.")  # fmt: skip
@click.option("--write", "page", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Page to print the table into.")  # fmt: skip
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False),
              help="Every fault with the layer named, JSON.")  # fmt: skip
@click.option("--kind", default="", help="Only kinds of fault that have this in their name.")
@click.option("--graph", default="", help="Only graphs that have this in their name.")
@click.option("--every", type=click.IntRange(min=1), default=1,
              help="Of the faults in weights and single layers, each of these many.")  # fmt: skip
def main(
    folder: Path | None, page: Path | None, path: Path | None, kind: str, graph: str, every: int
) -> None:
    """Put every fault into every graph, and tell the layer that is named."""
    if page is not None:
        written(page.read_text(encoding="utf-8"), "", PLACE)  # told before the work
    torch.set_num_threads(1)
    bundle, found = Bundle.open(folder), list[Named]()
    for artifact in bundle.artifacts:
        if artifact.kind in SECOND_HALVES or graph not in artifact.name:
            continue  # the second half is compared behind its first
        bench = LayerBench(bundle, artifact)
        if bench.sound is not None:
            raise click.ClickException(f"{artifact.name}: got {bench.sound}, expected it to hold.")
        for fault in bench.faults(every):
            if kind in fault.kind:
                found.append(bench.find(fault))
                click.echo(f"{artifact.name}: {fault.kind}, {fault.where}: {found[-1].layer}")
    text = table(found)
    click.echo(text)
    if path is not None:
        write_named(path, json.dumps([asdict(n) for n in found], indent=2).encode())
    if page is not None:
        write_named(page, written(page.read_text(encoding="utf-8"), text, PLACE).encode())
    raise SystemExit(1 if any(n.verdict == Verdict.WRONG for n in found) else 0)


if __name__ == "__main__":
    main()
