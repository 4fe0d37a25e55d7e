"""What an evaluation found: on the terminal, as JSON and as CSV of every item."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sgn_rt.cli.common import console, table, write_json, write_text
from sgn_rt.evaluation.page import as_page
from sgn_rt.evaluation.presence import thresholds_of
from sgn_rt.evaluation.protocols.base import Protocol
from sgn_rt.evaluation.summary import SCHEMA, presence_figures, summary
from sgn_rt.evaluation.tables import (
    PRESENCE,
    count_lines,
    difference_lines,
    figure_rows,
    presence_rows,
)
from sgn_rt.evaluation.worst import Bad
from sgn_rt.model.bundle import Bundle
from sgn_rt.separator import Separator

RESULT, ITEMS, THRESHOLDS = "evaluation.json", "items.csv", "thresholds.json"
PAGE = "evaluation.html"


def result_of(
    items: Sequence[Mapping[str, Any]], protocol: Protocol, bundle: Bundle,
    separators: Mapping[str, Separator],
) -> dict[str, Any]:  # fmt: skip
    """All that an evaluation found, as JSON types."""
    told = [dict(item) for item in items]
    rate = bundle.config.sample_rate
    return {
        "schema": SCHEMA,
        "protocol": {"name": protocol.name, "about": protocol.about,
                     "metrics": list(protocol.metrics)},
        "model": {"name": bundle.name, "sha256": bundle.identity, "sample_rate": rate},
        "note": f"The model hears and gives nothing above {rate / 2:g} Hz.",
        "engines": {name: separator.engine.detail for name, separator in separators.items()},
        **summary(told, protocol, list(separators)),
        "presence": {name: presence_figures(told, separator, name)
                     for name, separator in separators.items()},
    }  # fmt: skip


def write(
    output: Path,
    result: Mapping[str, Any],
    items: Sequence[Mapping[str, Any]],
    worst: Sequence[Bad],
) -> None:
    """Write the result, its items, a page, and the thresholds that presence comes to.

    Thresholds of an earlier run, of other items, do not stay.
    """
    write_json(output / RESULT, result)
    write_text(output / ITEMS, as_csv(items, result["protocol"]["metrics"]))
    write_text(output / PAGE, as_page(result, items, worst))
    first = next(iter(result["presence"].values()))
    found = {} if first is None else thresholds_of(first)
    if found:
        write_json(output / THRESHOLDS, found)
    else:
        (output / THRESHOLDS).unlink(missing_ok=True)


def as_csv(items: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> str:
    """A line for each source of each item and system, or why the item was dropped."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["item", "system", "source", "group", *metrics, "dropped"])
    for item in items:
        if "dropped" in item:
            writer.writerow([item["name"], "", "", "", *[""] * len(metrics), item["dropped"]])
            continue
        for system, sources in item["systems"].items():
            for source in sources:
                figures = [source["figures"].get(metric, "") for metric in metrics]
                writer.writerow(
                    [item["name"], system, source["source"], source["group"], *figures, ""]
                )
    return text.getvalue()


def show(result: Mapping[str, Any], protocol: Protocol) -> None:
    """Print what was found."""
    out = console()
    out.print(f"{protocol.name}: {result['items']} items. {protocol.about}")
    out.print(result["note"])
    for line in count_lines(result):
        out.print(line)
    rows = table("system", "group", "items", *protocol.metrics, right="items")
    for row in figure_rows(result):
        rows.add_row(*row)
    out.print(rows)
    for line in difference_lines(result):
        out.print(line)
    for name, found in result["presence"].items():
        if found is not None:
            error = found["reliability"]["error"]
            out.print(f"{name}: presence; expected calibration error {error:.3f}")
            rows = table(*PRESENCE)
            for row in presence_rows(found):
                rows.add_row(*row)
            out.print(rows)
