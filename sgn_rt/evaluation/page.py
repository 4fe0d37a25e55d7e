"""An evaluation as one page of HTML: tables, pictures, and the worst items to listen to."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sgn_rt.evaluation import pictures
from sgn_rt.evaluation.tables import (
    PRESENCE,
    count_lines,
    difference_lines,
    figure_rows,
    presence_rows,
)
from sgn_rt.evaluation.worst import Bad
from sgn_rt.pages.document import document
from sgn_rt.pages.parts import Section, Sounds, Table
from sgn_rt.pages.svg import Plot

GENERATOR: Final = "sgn-rt evaluate"


def as_page(
    result: Mapping[str, Any], items: Sequence[Mapping[str, Any]], worst: Sequence[Bad]
) -> str:
    """All that is told of an evaluation.

    Parameters
    ----------
    result
        As in ``evaluation.json``.
    items
        What is known of each item.
    worst
        Those to listen to, the worst first.

    Raises
    ------
    DependencyError
        If matplotlib is not installed.
    """
    parts = [_figures(result), _leaks(result), _presence(result), _worst(result, worst)]
    protocol, model = result["protocol"], result["model"]
    return document(
        title=f"{model['name']} on {protocol['name']}",
        lead=f"{protocol['about']} {result['note']}",
        parts=[part for part in parts if part is not None],
        pictures=_pictures(result, items, worst),
        generator=GENERATOR,
    )


def _figures(result: Mapping[str, Any]) -> Section:
    metrics = tuple(result["protocol"]["metrics"])
    rows = tuple((group, system, *rest) for system, group, *rest in figure_rows(result))
    tables = [Table("By group", ("group", "system", "items", *metrics), rows)]
    engines = tuple(result["engines"].items())
    tables.append(Table("Engines", ("engine", "what it is"), engines))
    told = (*count_lines(result), *difference_lines(result))
    if told:
        tables.append(Table("Counts and differences", ("found",), tuple((t,) for t in told)))
    return Section(
        "figures",
        "Figures",
        f"Of {result['items']} items, dB; in brackets 95 % intervals by the bootstrap over items. "
        "The mixture is what a system gives that does nothing, the ideal ratio mask the best that "
        "masks of true magnitudes give on the model's own STFT.",
        tuple(tables),
    )


def _leaks(result: Mapping[str, Any]) -> Section | None:
    if not result["leaks"]:
        return None
    return Section(
        "leaks",
        "Which category leaks into which",
        "Each estimate, put together from the true sources by least squares: the power of each "
        "true source in it, over the source's own, mean over items. 0 dB on the diagonal is a "
        "source that is whole; beside it, the less the better.",
        (),
    )


def _presence(result: Mapping[str, Any]) -> Section | None:
    tables = tuple(
        Table(
            f"{system}: expected calibration error {found['reliability']['error']:.3f}",
            PRESENCE,
            tuple(presence_rows(found)),
        )
        for system, found in result["presence"].items()
        if found is not None
    )
    if not tables:
        return None
    about = (
        "How well the model tells which categories sound. The recommended threshold is that of "
        "the best F1 on these items, where there are enough of them; thresholds.json has them."
    )
    return Section("presence", "Presence", about, tables)


def _worst(result: Mapping[str, Any], worst: Sequence[Bad]) -> Section | None:
    if not worst:
        return None
    metric, system = result["protocol"]["metrics"][0], next(iter(result["engines"]))
    about = f"Items of the least {metric} of {system}: what it was given, what is true, its answer."
    return Section("worst", "The worst items", about, ())


def _pictures(
    result: Mapping[str, Any], items: Sequence[Mapping[str, Any]], worst: Sequence[Bad]
) -> dict[str, list[Plot | Sounds]]:
    kept = [item for item in items if "systems" in item]
    systems, metrics = list(result["engines"]), result["protocol"]["metrics"]
    drawn: list[Plot | Sounds] = [pictures.boxes(kept, systems, metrics[0])]
    curves = (pictures.by_sources(result, metric) for metric in metrics)
    drawn += [curve for curve in curves if curve is not None]
    found: dict[str, list[Plot | Sounds]] = {"figures": drawn}
    found["leaks"] = [
        pictures.leaks(leaked, system, number)
        for number, (system, leaked) in enumerate(result["leaks"].items())
    ]
    if any(each is not None for each in result["presence"].values()):
        found["presence"] = [pictures.reliability(result["presence"])]
    found["worst"] = [
        Sounds(
            f"{bad.name}: {bad.value:.2f} dB",
            tuple((label, _data_uri(path.read_bytes())) for label, path in bad.sounds),
        )
        for bad in worst
    ]
    return found


def _data_uri(flac: bytes) -> str:
    return f"data:audio/flac;base64,{base64.b64encode(flac).decode()}"
