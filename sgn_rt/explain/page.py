"""An explanation as one page to explore: nothing beside it, nothing from a network."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._types import Float
from sgn_rt.explain.explanation import Explanation
from sgn_rt.explain.figures import Clusters
from sgn_rt.explain.why import LEAST_CLAIM, from_where, why
from sgn_rt.pages.document import text

COLUMNS: Final = 1500
"""Of planes in the page, at most; the arrays beside it have all."""
RANGE_DB: Final = 80.0
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
)
"""Nothing is asked of a network, whatever is in the names that are shown."""
_ICON: Final = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"


def as_page(explanation: Explanation) -> str:
    """The page, HTML."""
    title = text(f"What was heard in {explanation.title}?")
    data = json.dumps(_data(explanation), allow_nan=False, separators=(",", ":"))
    safe = data.replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title}</title>
<link rel="icon" href="{_ICON}">
<style>
{_static("page.css")}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="quiet">{text(_lead(explanation))}</p>
</header>
<main>
{_static("page.html")}
<section aria-labelledby="why"><h2 id="why">Why?</h2>
<div class="reasons">{"".join(_reasons(explanation))}</div></section>
<section aria-labelledby="alike"><h2 id="alike">How alike are the categories?</h2>
<div class="alike">
<div class="table" role="group" aria-label="Similarity of embeddings" tabindex="0">
{_matrix(explanation)}</div>
<div id="maps"></div></div>
{"".join(f"<p class='quiet'>{text(line)}</p>" for line in cluster_lines(explanation))}
</section>
</main>
<script type="application/json" id="data">{safe}</script>
<script>
{_static("page.js")}</script>
</body>
</html>
"""


def cluster_lines(explanation: Explanation) -> Iterator[str]:
    """What is measured of how embeddings cluster, in sentences."""
    yield _clustered("Embeddings of the categories shown, by category", explanation.clusters)
    if explanation.true_clusters is not None:
        yield _clustered(
            "The same by truth, what does not sound being one label", explanation.true_clusters
        )


def _clustered(what: str, found: Clusters) -> str:
    if found.silhouette is None or found.nearest is None:
        return f"{what}: no figure, as there are {found.labels} labels of {found.points} points."
    return (
        f"{what}: silhouette {found.silhouette:.2f} (-1 to 1); {found.nearest:.0%} of "
        f"{found.points} points have a point of their own label nearest."
    )


def _lead(explanation: Explanation) -> str:
    hearing, names = explanation.hearing, explanation.hearing.config.categories
    heard = [names[i] for i in np.flatnonzero(explanation.is_heard)]
    said = f"Heard in some window: {', '.join(heard) or 'nothing'}."
    said += f" Present over time: {', '.join(sorted(explanation.present)) or 'nothing'}."
    if explanation.labels is not None:
        said += f" True: {', '.join(sorted(explanation.labels)) or 'nothing'}."
    gain = f", {explanation.gain_db:+.1f} dB for the network" if explanation.gain_db else ""
    said += f" {hearing.duration_s:.1f} s, by {explanation.model}{gain} ({explanation.network})."
    return f"{said} {from_where(explanation)}" if explanation.start_s else said


def _reasons(explanation: Explanation) -> Iterator[str]:
    for name, sentences in why(explanation).items():
        lines = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
        yield f"<article><h3>{text(name)}</h3><ul>{lines}</ul></article>"


def _matrix(explanation: Explanation) -> str:
    names = explanation.hearing.config.categories
    head = "".join(f'<th scope="col"><span>{text(name)}</span></th>' for name in names)
    rows = []
    for name, row in zip(names, explanation.similarity, strict=True):
        cells = "".join(
            f'<td style="--v:{value:.3f}" title="{text(name)} and {text(other)}: {value:.3f}">'
            f"{value:.2f}</td>"
            for other, value in zip(names, row, strict=True)
        )
        rows.append(f'<tr><th scope="row">{text(name)}</th>{cells}</tr>')
    caption = "Cosine between embeddings, mean over windows"
    return (
        f"<table class=matrix><caption>{caption}</caption><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _data(explanation: Explanation) -> dict[str, Any]:
    hearing, shown = explanation.hearing, list(explanation.hearing.shown)
    skip = -(-len(hearing.column_s) // COLUMNS)
    level = 10.0 * np.log10(np.maximum(hearing.power[:, ::skip], 1e-30))
    claims = hearing.joined_claims[:, :, ::skip]
    most = claims.max(axis=(1, 2))
    scale = np.maximum(most, LEAST_CLAIM)  # or rounding would look like a claim
    loudest = max(1.0, *(float(np.abs(s).max()) for s in explanation.sources.values()))
    return {
        "duration": hearing.duration_s,
        "window": hearing.config.window_s,
        "hz": np.round(hearing.row_hz, 1).tolist(),
        "range": RANGE_DB,
        "spectrogram": _plane((level - level.max()) / RANGE_DB + 1.0),
        "names": hearing.names,
        "heard": [bool(explanation.is_heard[i]) for i in shown],
        "thresholds": explanation.thresholds[shown].tolist(),
        "presence": np.round(hearing.presence[:, shown].T, 4).tolist(),
        "starts": np.round(hearing.start_s, 4).tolist(),
        "own": hearing.windows.own.tolist(),
        "masks": [_plane(mask[:, ::skip].astype(np.float32)) for mask in hearing.masks],
        "claims": [
            {"most": float(m), "scale": float(s), **_plane(claim / s)}
            for claim, m, s in zip(claims, most, scale, strict=True)
        ],
        "occlusions": {
            str(shown.index(o.category)): {
                "start": float(hearing.start_s[o.window]),
                "fall": np.round(o.fall, 4).tolist(),
            }
            for o in explanation.occlusions
        },
        "maps": [
            {"method": m.method, "kept": m.kept, "points": np.round(m.points, 4).tolist()}
            for m in explanation.maps
        ],
        "sounds": [
            {"name": name, "flac": _flac(sound / loudest, hearing.config.sample_rate)}
            for name, sound in explanation.sources.items()
        ],
    }


def _plane(values: NDArray[Any]) -> dict[str, Any]:
    """Values of 0 to 1 [rows, columns] as bytes, row by row, the lowest frequency first."""
    steps = np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
    return {"rows": steps.shape[0], "columns": steps.shape[1], "bytes": _base64(steps.tobytes())}


def _flac(sound: Float, sample_rate: int) -> str:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, sound, sample_rate, format="FLAC", subtype="PCM_16")
    return _base64(file.getvalue())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _static(name: str) -> str:
    return resources.files("sgn_rt.explain").joinpath("static", name).read_text("utf-8")
