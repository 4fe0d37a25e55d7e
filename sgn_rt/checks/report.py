"""``sgn-rt doctor --gpu-report FILE``: every check that needs a GPU, in one page to send back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sgn_rt._atomic import write_named
from sgn_rt.checks.check import Budget, Check, Clock, Group, Outcome, Part, Verdict
from sgn_rt.checks.machine import identity
from sgn_rt.checks.page import Outcomes, all_held, page
from sgn_rt.checks.runner import TIME_IS_UP, Runner
from sgn_rt.errors import ConfigError

TOTAL_S: Final = 450.0
"""What all checks of a run may take: with what comes before and after it less than eight minutes.
What is not done by then is done by the next run."""


def chosen(groups: Sequence[Group], names: Sequence[str] | None) -> list[tuple[Group, Check]]:
    """Checks by the names of parts, groups or their own; all for None.

    Raises
    ------
    ConfigError
        For a name that is none of these.
    """
    every = [(group, check) for group in groups for check in group.checks]

    def is_named(name: str, group: Group, check: Check) -> bool:
        return name in (group.part, group.name, group.name_of(check))

    for name in names or ():
        if not any(is_named(name, *pair) for pair in every):
            known = dict.fromkeys(group.name_of(check) for group, check in every)
            raise ConfigError(
                f"--gpu-part: got {name!r}, expected one of {', '.join(Part)}, or a check of "
                f"{', '.join(known)}. Name some, separated by commas, or leave the option out."
            )
    return [pair for pair in every if names is None or any(is_named(name, *pair) for name in names)]


class Report:
    """Outcomes, on the disk after every check: a run that was ended is gone on with.

    Parameters
    ----------
    path
        The page; ``PATH.json`` beside it is the same as JSON, which the next run reads. None keeps
        nothing.
    machine
        From `sgn_rt.checks.machine.describe`.
    again
        Forget what an earlier run has found.
    """

    def __init__(self, path: Path | None, machine: Mapping[str, Any], *, again: bool) -> None:
        self._path, self._machine = path, machine
        self._outcomes: dict[str, tuple[Part, Outcome]] = {} if again else self._earlier()

    @property
    def _json_path(self) -> Path | None:
        return None if self._path is None else self._path.with_name(f"{self._path.name}.json")

    @property
    def outcomes(self) -> Outcomes:
        """By name."""
        return self._outcomes

    def is_done(self, name: str) -> bool:
        """Whether a check has an outcome that stays; what was missing may be there by now."""
        found = self._outcomes.get(name)
        return found is not None and found[1].verdict in (Verdict.HELD, Verdict.FAILED)

    def record(self, name: str, part: Part, outcome: Outcome) -> None:
        """Write an outcome down."""
        self._outcomes[name] = part, outcome
        if self._path is not None and self._json_path is not None:
            write_named(self._json_path, json.dumps(self.to_dict(), indent=2).encode())
            write_named(self._path, self.text.encode())

    @property
    def text(self) -> str:
        """The page."""
        return page(self._machine, self._outcomes)

    @property
    def held(self) -> bool:
        """Whether something was checked, and all of it held."""
        return all_held(self._outcomes)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        checks = [
            {"name": name, "part": str(part), **outcome.to_dict()}
            for name, (part, outcome) in self._outcomes.items()
        ]
        return {"machine": dict(self._machine), "held": self.held, "checks": checks}

    def _earlier(self) -> dict[str, tuple[Part, Outcome]]:
        """Outcomes of an earlier run on this machine; none where there is none, or of another."""
        if self._json_path is None:
            return {}
        try:
            found = json.loads(self._json_path.read_text(encoding="utf-8"))
            if identity(found["machine"]) != json.loads(json.dumps(identity(self._machine))):
                return {}
            return {
                check.pop("name"): (Part(check.pop("part")), Outcome.from_dict(check))
                for check in found["checks"]
            }
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def run_checks(
    checks: Sequence[tuple[Group, Check]],
    runner: Runner,
    report: Report,
    *,
    seconds: float = TOTAL_S,
    clock: Clock = time.monotonic,
    tell: Callable[[str], object] = id,
) -> None:
    """Run what has no outcome yet, also after one has failed, until time is up.

    Parameters
    ----------
    checks
        From `chosen`.
    runner
        Runs each; closed at the end.
    report
        Takes the outcomes, one by one.
    seconds, clock
        The time of all.
    tell
        Told each check's name before it, and those that failed.
    """
    total = Budget(seconds, clock)
    try:
        for group, check in checks:
            name = group.name_of(check)
            if report.is_done(name):
                continue
            if total.left <= 0.0:
                outcome = Outcome(verdict=Verdict.NOT_RUN, reason=TIME_IS_UP)
            else:
                tell(f"{name} ...")
                outcome = runner.run(group, check, total)
                if outcome.verdict == Verdict.FAILED:
                    tell(f"{name}: {outcome.verdict}")
            report.record(name, group.part, outcome)
    finally:
        runner.close()
