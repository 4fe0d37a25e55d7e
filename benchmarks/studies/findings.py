"""What parity says of faults, one by one and as the table of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sgn_rt.model.contract import Precision
from sgn_rt.model.stages import Stage, StageResult, limit_for

OUTSIDE: Final = (
    *(Stage.WHOLE, Stage.LEVEL, Stage.SHARES, Stage.PRESENCE),
    *(Stage.DECISION, Stage.QUALITY, Stage.RESAMPLING),
)
"""Stages of an engine that shows nothing of its inside."""

NOT_FINITE: Final = "error"
"""In the place of a stage: the engine refuses to answer with what is not finite."""


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
        On music, if none of the engine's answers tells of it.
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
        "What the weights alone tell, and the most that it does to any window of the music that "
        "ships:",
        "",
        "| fault | SI-SDR | level | presence | where |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, mine in _by_kind(f for f in findings if f.heard is not None):
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
