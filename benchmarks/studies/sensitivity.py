"""What parity catches: each fault of `sgn_rt.benchmarks.studies.faults`, and which stage names it.

``python -m sgn_rt.benchmarks.studies.sensitivity --write docs/parity.md`` puts each into the
published network, measures it, and prints the table into the page. Where an engine's answers do not
tell, the weights of the graph that it runs are looked at, and what it does to music is measured:
exit code 1 if no stage names it, or if it differs there by more than a right engine may.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final

import click
import numpy as np
import torch

from sgn_rt._atomic import write_named
from sgn_rt._types import Float, Separated
from sgn_rt.audio.labelled_music import load_music
from sgn_rt.benchmarks.studies.faults import Fault, faults
from sgn_rt.benchmarks.studies.findings import Finding, Heard, table
from sgn_rt.benchmarks.studies.page import written
from sgn_rt.benchmarks.studies.suspect import Suspect
from sgn_rt.errors import EngineError
from sgn_rt.export.graphs import float_module
from sgn_rt.export.weights import GraphWeights
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Kind
from sgn_rt.model.graph_constants import Constant
from sgn_rt.model.probe import Probe
from sgn_rt.model.stages import PRESENCE_THRESHOLD, StageResult
from sgn_rt.parity.measure import measure
from sgn_rt.parity.metrics import si_sdr
from sgn_rt.parity.weights import result_of
from sgn_rt.reference import load

_EXACT: Final = 200.0
"""dB, in the place of no difference at all."""

PLACE: Final = "sensitivity"
"""Of the table on the page."""


class Bench:
    """The published network with faults, and what is right.

    Parameters
    ----------
    probe
        The bundle's.
    """

    def __init__(self, probe: Probe) -> None:
        self.suspect = Suspect(load(embedded() / BUNDLE_CHECKPOINT))
        self._probe = probe
        self._right = GraphWeights(load(embedded() / BUNDLE_CHECKPOINT))
        self._graph = next(a for a in Bundle.open(None).artifacts if a.kind == Kind.CORE)

    @property
    def faults(self) -> list[Fault]:
        """Every fault."""
        return list(faults(self.suspect.model))

    def find(self, fault: Fault) -> Finding:
        """Put a fault in, and measure it."""
        with fault.made(self.suspect):
            precision = self.suspect.precision
            try:
                results = measure(self.suspect, self._probe)
            except EngineError:
                results = []
            finding = Finding(
                kind=fault.kind, where=fault.where, precision=precision, stages=tuple(results)
            )
        if finding.named is not None:
            return finding
        expected = self._music
        with fault.made(self.suspect):
            results.append(self._weights())
            heard = _heard(self._separated(), expected)
        return replace(finding, stages=tuple(results), heard=heard)

    def _weights(self) -> StageResult:
        """The stage, of the graph that the network as it is now would be exported to."""
        made = float_module(self.suspect.model, self._graph.kind, self._graph.precision)
        held = {name: Constant(value.numpy()) for name, value in made.named_parameters()}
        return result_of(held, self._right, self._graph)

    @cached_property
    def _windows(self) -> list[Float]:
        """Half overlapping ones of all music that ships."""
        config = self.suspect.config
        step = config.window_samples // 2
        return [
            piece.mixture[start : start + config.window_samples]
            for piece in load_music(None, config.sample_rate)
            for start in range(0, len(piece.mixture) - config.window_samples + 1, step)
        ]

    @cached_property
    def _music(self) -> list[Separated]:
        return self._separated()

    def _separated(self) -> list[Separated]:
        known = np.arange(len(self.suspect.config.categories))
        return [self.suspect.separate(window[None], known) for window in self._windows]


def _heard(found: list[Separated], expected: list[Separated]) -> Heard:
    ratios, levels, presences = [], [0.0], []
    for given, right in zip(found, expected, strict=True):
        presences.append(float(np.abs(given.presence - right.presence).max()))
        sounding = np.flatnonzero(right.presence[0] > PRESENCE_THRESHOLD)
        sources = right.sources[0, sounding].astype(np.float64)
        estimates = given.sources[0, sounding].astype(np.float64)
        energies = np.sum(np.square(sources), axis=1)
        if energies.sum() == 0.0:
            continue
        each = [min(si_sdr(e, s), _EXACT) for e, s in zip(estimates, sources, strict=True)]
        ratios.append(float(np.average(each, weights=energies)))
        levels.append(float(np.abs(1.0 - np.sum(estimates * sources, axis=1) / energies).max()))
    return Heard(si_sdr=min(ratios), level=max(levels), presence=max(presences))


@click.command()
@click.option("--write", "page", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Page to print the table into.")  # fmt: skip
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False),
              help="Every figure, JSON.")  # fmt: skip
@click.option("--kind", default="", help="Only kinds of fault that have this in their name.")
def main(page: Path | None, path: Path | None, kind: str) -> None:
    """Put every fault into the published network, and tell the stage that names it."""
    if page is not None:
        written(page.read_text(encoding="utf-8"), "", PLACE)  # told before the work
    findings = _all(kind, click.echo)
    text = table(findings)
    click.echo(text)
    if path is not None:
        content = json.dumps([finding.to_dict() for finding in findings], indent=2)
        write_named(path, content.encode())
    if page is not None:
        write_named(page, written(page.read_text(encoding="utf-8"), text, PLACE).encode())
    epsilon = Bundle.open(None).config.log_epsilon
    unseen = [f for f in findings if f.named is None]
    loud = [f for f in findings if f.heard and not f.heard.within(f.precision, epsilon)]
    for what, those in (
        ("unseen", unseen),
        ("told by no answer, and beyond limits on music", loud),
    ):
        for finding in those:
            click.echo(f"{what}: {finding.kind}, {finding.where}", err=True)
    raise SystemExit(1 if unseen or loud else 0)


def _all(kind: str, tell: Callable[[str], None]) -> list[Finding]:
    torch.set_num_threads(1)  # two on a busy machine are slower than one
    bench = Bench(Bundle.open(None).probe)
    findings = []
    for fault in bench.faults:
        if kind in fault.kind:
            findings.append(bench.find(fault))
            tell(f"{fault.kind}, {fault.where}: {findings[-1].named or 'unseen'}")
    return findings


if __name__ == "__main__":
    main()
