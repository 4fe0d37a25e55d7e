"""Why was it heard? Sentences about each category, made of nothing but its figures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sgn_rt.explain.axes import stretches, token_grid
from sgn_rt.explain.explanation import Explanation
from sgn_rt.explain.occlusion import Occlusion

LEAST_CLAIM = 0.01
"""Weight of what a category gathers beside its own token, 0 to 1, below which it is called next to
nothing."""
LEAST_FALL = 0.05
"""Of a presence, below which no part of a window is said to carry it."""
STRONGEST = 3
"""Parts of a window that are named."""


def why(explanation: Explanation) -> dict[str, list[str]]:
    """Category shown -> sentences, the most present first."""
    return {
        name: [
            *_presence(explanation, name),
            *_truth(explanation, name),
            *_claims(explanation, name),
            *_carried(explanation, name),
            *_alike(explanation, name),
        ]
        for name in explanation.hearing.names
    }


def as_text(explanation: Explanation) -> str:
    """As Markdown."""
    lines = [f"# Why was it heard in {explanation.title}?", ""]
    if explanation.start_s:
        lines += [from_where(explanation), ""]
    for name, sentences in why(explanation).items():
        lines += [f"## {name}", "", *(f"- {sentence}" for sentence in sentences), ""]
    return "\n".join(lines)


def from_where(explanation: Explanation) -> str:
    """Where seconds count from, of a part of a file."""
    return f"Seconds count from {explanation.start_s:g} s of the file."


def _presence(explanation: Explanation, name: str) -> Iterator[str]:
    hearing, category = explanation.hearing, _position(explanation, name)
    own = np.flatnonzero(hearing.windows.own)
    values, threshold = hearing.presence[own, category], float(explanation.thresholds[category])
    best = own[int(np.argmax(values))]
    length = hearing.config.window_s
    speaking = int(np.count_nonzero(values >= threshold))
    counts = "counts" if name in explanation.present else "does not count"
    heard = "Heard" if explanation.is_heard[_position(explanation, name)] else "Not heard"
    start = hearing.start_s[best]
    yield (
        f"{heard}: presence is highest, {values.max():.2f}, in the window of "
        f"{_span_s(start, min(start + length, hearing.duration_s))}, and at least the threshold "
        f"({threshold:g}) in {speaking} of the {len(own)} windows that a separation hears. "
        f"Over time that {counts} as present."
    )
    every = hearing.presence[:, category]
    low, high = int(np.argmin(every)), int(np.argmax(every))
    middle = hearing.start_s + length / 2
    yield (
        f"Over time, of all {len(every)} windows, it moves between {every.min():.2f} (around "
        f"{middle[low]:.1f} s) and {every.max():.2f} (around {middle[high]:.1f} s)."
    )


def _truth(explanation: Explanation, name: str) -> Iterator[str]:
    labels, row = explanation.labels, explanation.hearing.names.index(name)
    if labels is None:
        return
    heard = bool(explanation.is_heard[_position(explanation, name)])
    verdict = {
        (True, True): "right: it sounds",
        (True, False): "wrong: it does not sound",
        (False, True): "wrong: it sounds, and is missed",
        (False, False): "right: it does not sound",
    }[heard, name in labels]
    yield f"By the labels that is {verdict}."
    taken = explanation.taken
    if taken is not None and taken[row].any():
        parts = sorted(zip(taken[row].tolist(), explanation.stems, strict=True), reverse=True)
        told = ", ".join(f"{share:.0%} {stem}" for share, stem in parts)
        yield f"What its mask lets through is, of the true stems, {told}."


def _claims(explanation: Explanation, name: str) -> Iterator[str]:
    hearing, row = explanation.hearing, explanation.hearing.names.index(name)
    claims = hearing.joined_claims[row].astype(np.float64)
    share = float(claims.mean())
    gathered = hearing.assignment[hearing.windows.own, _position(explanation, name)].sum(axis=-1)
    if float(gathered.max()) < LEAST_CLAIM:
        yield (
            f"Its token claims {share:.2g} of all feature tokens, next to nothing (at most "
            f"{claims.max():.2g} of one): what it knows of the recording came to it by the "
            "transformer's attention, not by the grouping."
        )
    else:
        yield f"Its token claims {share:.0%} of all feature tokens."
        seconds = _joined_s(_most(claims.sum(axis=0)), hearing.column_s, hearing.duration_s)
        low, high = _quartiles(claims.sum(axis=1))
        edges = _row_edges(explanation)
        yield (
            f"Half of what it claims lies in {seconds}; the middle half of it, along frequency, "
            f"between {edges[low]:.0f} and {edges[high + 1]:.0f} Hz."
        )


def _carried(explanation: Explanation, name: str) -> Iterator[str]:
    category = _position(explanation, name)
    found = [o for o in explanation.occlusions if o.category == category]
    for occlusion in found:
        parts = strongest_parts(occlusion)
        window = _span_s(*_window_span(explanation, occlusion.window))
        if not parts:
            yield (
                f"No single part carries it: whichever of the {occlusion.fall.size} parts of the "
                f"window of {window} is silenced, presence stays within {LEAST_FALL:g} of "
                f"{occlusion.presence:.2f}, or rises."
            )
            continue
        told = "; ".join(
            f"without {_part(explanation, occlusion, *part)} it falls from "
            f"{occlusion.presence:.2f} to {occlusion.presence - occlusion.fall[part]:.2f}"
            for part in parts
        )
        yield f"It rests most on these parts of the window of {window}: {told}."


def strongest_parts(occlusion: Occlusion) -> list[tuple[int, int]]:
    """Row and column of the parts that a presence falls most without, the first the most."""
    order = np.argsort(-occlusion.fall, axis=None, kind="stable")[:STRONGEST]
    places = [divmod(int(i), occlusion.fall.shape[1]) for i in order]
    return [place for place in places if occlusion.fall[place] >= LEAST_FALL]


def _alike(explanation: Explanation, name: str) -> Iterator[str]:
    category, names = _position(explanation, name), explanation.hearing.config.categories
    if len(names) > 1:
        row = explanation.similarity[category].copy()
        row[category] = -np.inf
        nearest = int(np.argmax(row))
        yield f"Its embedding is most like that of {names[nearest]} (cosine {row[nearest]:.2f})."
    shown, place = explanation.hearing.names, explanation.hearing.names.index(name)
    if len(shown) > 1:
        shared = explanation.overlap[place].copy()
        shared[place] = -np.inf
        other = int(np.argmax(shared))
        yield (
            f"Of the sound that its mask lets through, {shared[other]:.0%} goes through that of "
            f"{shown[other]}, too: more than through that of any other category shown."
        )


def _position(explanation: Explanation, name: str) -> int:
    return explanation.hearing.config.categories.index(name)


def _window_span(explanation: Explanation, window: int) -> tuple[float, float]:
    start = float(explanation.hearing.start_s[window])
    stop = start + explanation.hearing.config.window_s
    return start, min(stop, explanation.hearing.duration_s)


def _part(explanation: Explanation, occlusion: Occlusion, row: int, column: int) -> str:
    hearing = explanation.hearing
    rows, columns = occlusion.fall.shape
    height = len(hearing.row_hz) // rows
    low, high = hearing.row_hz[row * height], hearing.row_hz[(row + 1) * height - 1]
    length = hearing.config.window_s / columns
    start = hearing.start_s[occlusion.window] + column * length
    return f"{low:.0f} to {high:.0f} Hz at {_span_s(start, start + length)}"


def _most(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The fewest columns that hold half of all."""
    order = np.argsort(-values, kind="stable")
    count = int(np.searchsorted(np.cumsum(values[order]), values.sum() / 2)) + 1
    chosen = np.zeros(len(values), bool)
    chosen[order[:count]] = True
    return chosen


def _quartiles(values: NDArray[np.float64]) -> tuple[int, int]:
    """Places at which a quarter, and three quarters, of all are reached."""
    reached = np.cumsum(values) / values.sum()
    low, high = np.searchsorted(reached, (0.25, 0.75))
    return int(low), int(min(high, len(values) - 1))


def _row_edges(explanation: Explanation) -> NDArray[np.float64]:
    """Borders of the rows of tokens, Hz."""
    rows, _ = token_grid(explanation.hearing.config)
    hz: NDArray[np.float64] = explanation.hearing.row_hz
    return np.append(hz[:: len(hz) // rows], hz[-1])


def _joined_s(
    chosen: NDArray[np.bool_], seconds: NDArray[np.float64], end: float, most: int = 4
) -> str:
    """Stretches of columns, the longest, in their order."""
    edges = np.append(seconds, end)
    found = sorted(stretches(chosen), key=lambda each: each[0] - each[1])
    told = [_span_s(edges[a], edges[b]) for a, b in sorted(found[:most])]
    rest = len(found) - len(told)
    return ", ".join(told) + (f" and {rest} shorter stretches" if rest > 0 else "")


def _span_s(start: float, stop: float) -> str:
    return f"{start:.1f} to {stop:.1f} s"
