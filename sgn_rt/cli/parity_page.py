"""A parity report for people: Markdown, and one page of HTML that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from sgn_rt._types import Float
from sgn_rt.cli.common import plain
from sgn_rt.cli.parity_report import Comparison, ParityReport
from sgn_rt.parity.excerpts import Worst

_FRAME: Final = 1024
_RANGE_DB: Final = 100.0
"""Below the loudest of the reference, what a picture shows; an engine that holds is black."""

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left}
.failed{color:#b00020;font-weight:600}.holds{color:#186a3b}
figure{margin:1.5rem 0}img{max-width:100%}figcaption{font-size:.95em}
@media (prefers-color-scheme:dark){body{background:#16181c;color:#ddd}.failed{color:#ff7b8a}
.holds{color:#7fd6a0}}
"""


def verdict(report: ParityReport) -> str:
    """The result of a run in a line."""
    said = {0: "Everything holds.", 1: "Something does not hold.", 2: "Not all was compared."}
    against = f" against {report.against}" if report.against else ""
    return f"Parity of {report.bundle}{against}: {said[report.exit_code]}"


def rows(comparison: Comparison) -> Iterator[tuple[str, str, str, str, bool]]:
    """Stage (or layer), figure and limit, where, verdict, and whether it holds."""
    if comparison.skipped is not None:
        yield "", comparison.skipped, "", "left out", True
    for name, result in comparison.results.items():
        worst = comparison.worst.get(name)
        said = str(result).removeprefix(f"{name}: ")
        where = "" if worst is None else str(worst)
        yield name, said, where, "holds" if result.passed else "FAILED", result.passed
    if comparison.error is not None:
        yield "", comparison.error, "", "ERROR", False


def as_markdown(report: ParityReport) -> str:
    """As Markdown: the verdict, and a table."""
    lines = [f"### {_cell(verdict(report))}", ""]
    if report.error is not None:
        lines += [_cell(report.error), ""]
    lines += [*(f"- {_cell(line)}" for line in changes(report)), ""]
    lines += ["| engine | stage | figure (limit) | worst in | |", "| --- | --- | --- | --- | --- |"]
    for comparison in report.comparisons:
        for name, said, where, state, passed in rows(comparison):
            shown = state if passed else f"**{state}**"
            cells = (comparison.engine, name, said, where)
            lines.append(f"| {' | '.join(map(_cell, cells))} | {shown} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that is no markup, on a line."""
    flat = " ".join(plain(text).split())
    for mark in "\\`*_|<>[]":
        flat = flat.replace(mark, f"\\{mark}")
    return flat


def changes(report: ParityReport) -> list[str]:
    """What differs between two bundles, a line each."""
    return [
        f"{name}: {old} before, {new} now" for name, (old, new) in (report.changes or {}).items()
    ]


def as_page(report: ParityReport) -> str:
    """As HTML with all pictures in it: the worst window of each stage."""
    body = [f"<h1>{_text(verdict(report))}</h1>"]
    if report.error is not None:
        body.append(f"<p class=failed>{_text(report.error)}</p>")
    if report.changes:
        body.append("<ul>" + "".join(f"<li>{_text(c)}</li>" for c in changes(report)) + "</ul>")
    for comparison in report.comparisons:
        body.append(f"<h2>{_text(comparison.engine)}</h2><p>{_text(comparison.detail)}</p><table>")
        body.append("<tr><th>stage<th>figure (limit)<th>worst in<th></tr>")
        for name, said, where, state, passed in rows(comparison):
            kind = "holds" if passed else "failed"
            cells = "".join(f"<td>{_text(cell)}" for cell in (name, said, where))
            body.append(f"<tr>{cells}<td class={kind}>{state}</tr>")
        body.append("</table>")
        body += _figures(comparison)
    title = _text(verdict(report))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style>{''.join(body)}</html>\n"
    )


def _text(text: str) -> str:
    return html.escape(plain(text))


def _figures(comparison: Comparison) -> Iterator[str]:
    """A picture of each window, once, with the stages that it is the worst for."""
    shown: dict[tuple[str, float, str], list[Worst]] = {}
    for worst in comparison.worst.values():
        key = (worst.excerpt.file, worst.excerpt.second, worst.category)
        shown.setdefault(key, []).append(worst)
    for worsts in shown.values():
        first = worsts[0]
        stages = ", ".join(str(worst.result) for worst in worsts)
        caption = f"<b>{_text(str(first))}</b>: {_text(stages)}"
        if first.expected is None or first.found is None:
            yield f"<p>{caption}. The probe holds no source of it.</p>"
            continue
        picture = base64.b64encode(
            _drawn(first.expected, first.found, comparison.sample_rate)
        ).decode()
        yield (
            f"<figure><figcaption>{caption}</figcaption>"
            f'<img alt="Spectrograms of {_text(str(first))}" src="data:image/png;base64,{picture}">'
            "</figure>"
        )


def _drawn(expected: Float, found: Float, sample_rate: int) -> bytes:
    """Reference, engine and difference, one colour scale for all three, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    signals = {"reference": expected, "engine": found, "difference": found - expected}
    powers = {name: _power(signal) for name, signal in signals.items()}
    loudest = max(float(powers["reference"].max()), 1e-30)
    figure = Figure(figsize=(13.0, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    every: Any = figure.subplots(1, 3, sharey=True)
    for axes, (name, power) in zip(every, powers.items(), strict=True):
        image = axes.imshow(
            10.0 * np.log10(np.maximum(power / loudest, 10 ** (-_RANGE_DB / 10))),
            origin="lower", aspect="auto", cmap="magma", vmin=-_RANGE_DB, vmax=0.0,
            extent=(0.0, len(expected) / sample_rate, 0.0, sample_rate / 2000),
        )  # fmt: skip
        axes.set_title(name, loc="left", fontsize="medium")
        axes.set_xlabel("seconds")
    every[0].set_ylabel("kHz")
    figure.colorbar(image, ax=list(every), label="dB, the reference's loudest is 0")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90)
    return png.getvalue()


def _power(signal: Float) -> np.ndarray:
    frame = min(_FRAME, 2 ** int(math.log2(len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(signal, frame)[:: frame // 4]
    power: np.ndarray = np.abs(np.fft.rfft(frames * np.hanning(frame), axis=1).T) ** 2
    return power


def windows_of(worst: Mapping[str, Worst]) -> dict[str, Any]:
    """Of each stage the window that is worst for it, as JSON types."""
    return {stage: each.to_dict() for stage, each in worst.items()}
