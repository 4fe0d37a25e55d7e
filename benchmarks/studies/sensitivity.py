"""What parity catches: each fault of `sgn_rt.benchmarks.studies.faults`, and which stage names it.

``python -m sgn_rt.benchmarks.studies.sensitivity --write docs/parity.md`` puts each into the
published network, measures it, and prints the table into the page. What no stage sees is measured
on music: exit code 1 if it differs there by more than a right engine of its precision may.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch

from sgn_rt._atomic import write_named
from sgn_rt._types import Float, Separated
from sgn_rt.audio.labelled_music import load_music
from sgn_rt.benchmarks.studies.faults import Fault, faults
from sgn_rt.benchmarks.studies.page import written
from sgn_rt.benchmarks.studies.suspect import Suspect
from sgn_rt.errors import EngineError
from sgn_rt.model.bundle import Bundle, embedded
from sgn_rt.model.contract import BUNDLE_CHECKPOINT, Precision
from sgn_rt.model.probe import Probe
from sgn_rt.model.stages import PRESENCE_THRESHOLD, Stage, StageResult, limit_for
from sgn_rt.parity.measure import measure
from sgn_rt.parity.metrics import si_sdr
from sgn_rt.reference import load

OUTSIDE: Final = (
    *(Stage.WHOLE, Stage.LEVEL, Stage.SHARES, Stage.PRESENCE),
    *(Stage.DECISION, Stage.QUALITY, Stage.RESAMPLING),
)
"""Stages of an engine that shows nothing of its inside."""

NOT_FINITE: Final = "error"
"""In the place of a stage: the engine refuses to answer with what is not finite."""

_EXACT: Final = 200.0
"""dB, in the place of no difference at all."""

PLACE: Final = "sensitivity"
"""Of the table on the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How far a fault is heard on music: the worst of all windows.

    Attributes
    ----------
    si_sdr
        Of a source that sounds, dB, weighted by energy in each window.
    level
        Difference of a source's gain.
    presence
        Difference of a presence.
    """

    si_sdr: float
    level: float
    presence: float

    def within(self, precision: Precision, log_epsilon: float | None) -> bool:
        """Whether a right engine of that precision may differ as much."""
        return limit_for(Stage.WHOLE, precision, log_epsilon).holds(self.si_sdr) and limit_for(
            Stage.LEVEL, precision, log_epsilon
        ).holds(self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What parity says of one fault.

    Attributes
    ----------
    kind, where
        The fault's.
    precision
        What the engine claimed to be.
    stages
        What was measured; nothing of an engine that failed.
    heard
        On music, if no stage sees it.
    """

    kind: str
    where: str
    precision: Precision
    stages: tuple[StageResult, ...]
    heard: Heard | None = None

    @property
    def named(self) -> str | None:
        """The stage that names it; None where none sees it."""
        return self._first(tuple(Stage))

    @property
    def named_outside(self) -> str | None:
        """The same of an engine that shows only what goes in and out."""
        return self._first(OUTSIDE)

    def _first(self, stages: Sequence[Stage]) -> str | None:
        if not self.stages:
            return NOT_FINITE
        failed = {result.stage for result in self.stages if not result.passed}
        return next((str(stage) for stage in stages if stage in failed), None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        heard = self.heard
        return {
            "kind": self.kind,
            "where": self.where,
            "precision": self.precision,
            "named": self.named,
            "named_outside": self.named_outside,
            "stages": {result.stage: result.to_dict() for result in self.stages},
            "music": None if heard is None else {
                "si_sdr_db": heard.si_sdr, "level": heard.level, "presence": heard.presence,
            },
        }  # fmt: skip


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
            heard = _heard(self._separated(), expected)
        return Finding(
            kind=fault.kind, where=fault.where, precision=precision,
            stages=tuple(results), heard=heard,
        )  # fmt: skip

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


def table(findings: Sequence[Finding]) -> str:
    """What the page says, as Markdown."""
    lines = [
        "| fault | cases | named by | seen from outside by | unseen |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, mine in _by_kind(findings):
        unseen = sum(f.named is None for f in mine)
        lines.append(
            f"| {kind} | {len(mine)} | {_counts(f.named for f in mine)} | "
            f"{_counts(f.named_outside for f in mine)} | {unseen or ''} |"
        )
    lines += [
        "",
        "What no stage sees, and the most that it does to any window of the music that ships:",
        "",
        "| fault | SI-SDR | level | presence | where |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, mine in _by_kind(f for f in findings if f.named is None):
        heard = [f.heard for f in mine if f.heard is not None]
        lines.append(
            f"| {kind} | {min(h.si_sdr for h in heard):.0f} dB | "
            f"{max(h.level for h in heard):.0e} | {max(h.presence for h in heard):.0e} | "
            f"{'; '.join(f.where for f in mine)} |"
        )
    return "\n".join(lines)


def _by_kind(findings: Iterable[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.kind, []).append(finding)
    yield from found.items()


def _counts(names: Iterable[str | None]) -> str:
    counts = Counter(name for name in names if name is not None)
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


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
    loud = [f for f in findings if f.heard and not f.heard.within(f.precision, epsilon)]
    for finding in loud:
        click.echo(f"unseen, and beyond limits on music: {finding.kind}, {finding.where}", err=True)
    raise SystemExit(1 if loud else 0)


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
