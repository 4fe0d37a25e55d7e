"""Figures as the terminal, Markdown and the page all show them: in groups, by scenario."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sgn_rt.benchmarks.report.quantities import Unit, unit_for
from sgn_rt.benchmarks.result import Figure, Result


def scenarios(result: Result) -> list[str]:
    """Names of the scenarios in the order in which they were run."""
    return list(dict.fromkeys(figure.scenario for figure in result.figures))


def grouped(figures: Iterable[Figure]) -> list[list[Figure]]:
    """Figures that stand in one table or plot: of one scenario, network, name and unit."""
    found: dict[tuple[str, ...], list[Figure]] = {}
    for figure in figures:
        key = (figure.scenario, figure.network, figure.name, figure.unit)
        found.setdefault(key, []).append(figure)
    return list(found.values())


def group_title(group: Sequence[Figure]) -> str:
    """What the figures of a group are."""
    first = group[0]
    return first.name if first.network == "published" else f"{first.name}, {first.network} network"


def group_unit(group: Sequence[Figure]) -> Unit:
    """What the figures of a group are shown in."""
    return unit_for(group[0].unit, (figure.value for figure in group))


def scenario_title(scenario: str) -> str:
    """Its heading."""
    return scenario[:1].upper() + scenario[1:]


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested JSON types as names and texts, for people."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from flat(each, f"{name} {key}".strip())
    elif isinstance(value, list | tuple) and any(isinstance(each, dict) for each in value):
        for index, each in enumerate(value):
            yield from flat(each, f"{name} {index}".strip())
    elif isinstance(value, list | tuple):
        yield name, ", ".join(map(str, value)) or "-"
    elif isinstance(value, dict) or value is None:
        yield name, "-"
    else:
        yield name, ("yes" if value else "no") if isinstance(value, bool) else str(value)
