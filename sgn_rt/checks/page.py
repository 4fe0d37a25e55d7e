"""The report as a page to read, and to send back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sgn_rt.checks.check import Outcome, Part, Verdict

Outcomes = Mapping[str, tuple[Part, Outcome]]
"""By name, in the order of the report."""


def all_held(outcomes: Outcomes) -> bool:
    """Whether something was checked, and all of it held."""
    counts = Counter(outcome.verdict for _, outcome in outcomes.values())
    return bool(counts[Verdict.HELD]) and not counts[Verdict.FAILED] + counts[Verdict.NOT_RUN]


def page(machine: Mapping[str, Any], outcomes: Outcomes) -> str:
    """The whole text."""
    lines = [*_head(machine), _summary(outcomes)]
    for part in Part:
        of_part = {name: found for name, (its, found) in outcomes.items() if its == part}
        if of_part:
            lines += ["", *_part(part, of_part)]
    return "\n".join(lines) + "\n"


def _head(machine: Mapping[str, Any]) -> Iterator[str]:
    yield f"sgn-rt {machine['sgn-rt']} (sources {machine['code']}), GPU report"
    found = machine["gpus"]
    if isinstance(found, str):
        yield f"GPU: {found}"
    else:
        for gpu in found:
            name, driver, *rest = gpu.items()
            details = ", ".join(f"{field} {value}" for field, value in rest)
            yield f"GPU: {name[1]}, driver {driver[1]}, {details}"
    if machine["cuda"]:
        yield ", ".join(f"{name} {version}" for name, version in machine["cuda"].items())
    yield f"Python {machine['python']}, {machine['platform']}, {machine['cpus']} processors"
    yield ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    yield f"tools: {', '.join(machine['tools']) or 'none'}"
    bundle = machine["bundle"]
    yield f"bundle {bundle['name']}: {', '.join(bundle['graphs']) or 'no graph'}"
    yield ""


def _summary(outcomes: Outcomes) -> str:
    counts = Counter(outcome.verdict for _, outcome in outcomes.values())
    failed = [name for name, (_, found) in outcomes.items() if found.verdict == Verdict.FAILED]
    told = ", ".join(f"{verdict}: {counts[verdict]}" for verdict in Verdict if counts[verdict])
    return f"{told} ({', '.join(failed)})" if failed else told


def _part(part: Part, outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    if all(outcome.verdict == Verdict.DOES_NOT_APPLY for outcome in outcomes.values()):
        reasons = dict.fromkeys(outcome.reason or "" for outcome in outcomes.values())
        yield f"{part.heading}: {Verdict.DOES_NOT_APPLY}: {'; '.join(reasons)}"
        return
    yield part.heading
    before: Outcome | None = None
    for name, outcome in outcomes.items():
        # What keeps all of a group from running is told once.
        again = before is not None and outcome.reason and outcome.reason == before.reason
        yield from show(name, outcome, reason="as above" if again else outcome.reason)
        before = outcome


def show(name: str, outcome: Outcome, reason: str | None) -> Iterator[str]:
    """A check's lines."""
    took = f" in {outcome.seconds:.1f} s" if outcome.seconds >= 0.05 else ""
    first, *rest = (reason or "").splitlines() or [""]
    if outcome.verdict == Verdict.FAILED or rest:
        yield f"  {name}: {outcome.verdict}{took}"
        yield from (f"      {line}" for line in (first, *rest) if line)
    else:
        yield f"  {name}: {outcome.verdict}{took}{': ' if first else ''}{first}"
    for figure, value in outcome.figures.items():
        yield from _figure(figure, value)


def _figure(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        yield f"      {name}:"
        yield from (f"        {line}" for line in table(value))
    else:
        yield f"      {name}: {_text(value)}"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(rows: list[Mapping[str, Any]]) -> list[str]:
    """Rows of the same columns as lines, numbers to the right."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [columns, *([_text(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    right = [all(isinstance(row.get(column, 0), int | float) for row in rows) for column in columns]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    ]
