"""An explanation in pictures: PNG, by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sgn_rt._optional import require
from sgn_rt.explain.explanation import Explanation
from sgn_rt.explain.why import LEAST_CLAIM

_RANGE_DB: Final = 80.0
_WIDTH: Final = 12.0
_ROW: Final = 1.7
_COLUMNS: Final = 2000
"""Of a spectrogram at most: more is finer than a screen."""
_TICKS_HZ: Final = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)
_SPECTROGRAM, _MAP = "magma", "viridis"


def require_pictures() -> None:
    """Raise DependencyError, before any work, if pictures cannot be drawn."""
    require("matplotlib", extra="explain", purpose="explain")


def pictures(explanation: Explanation) -> dict[str, bytes]:
    """File name -> PNG: presence, similarity, map, claims, masks, and what presence rests on."""
    require_pictures()
    return {
        "presence.png": _drawn(_WIDTH, 3.6, lambda f: _presence(f, explanation)),
        "similarity.png": _drawn(*_square(explanation), lambda f: _similarity(f, explanation)),
        "map.png": _drawn(_WIDTH, 5.2, lambda f: _maps(f, explanation)),
        "claims.png": _rows(explanation, _claims),
        "masks.png": _rows(explanation, _masks),
        "rests-on.png": _rows(explanation, _occlusions),
    }


def _drawn(width: float, height: float, draw: Callable[[Any], None]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names are no formulas, though they may have dollar signs
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def _square(explanation: Explanation) -> tuple[float, float]:
    side = min(14.0, 4.0 + 0.36 * len(explanation.hearing.config.categories))
    return side + 1.2, side


def _presence(figure: Any, explanation: Explanation) -> None:
    hearing, axes = explanation.hearing, figure.subplots()
    middle = hearing.start_s + hearing.config.window_s / 2
    own = hearing.windows.own
    for colour, name, category in _coloured(explanation):
        values = hearing.presence[:, category]
        axes.plot(middle, values, color=colour, label=_labelled(explanation, name))
        axes.plot(middle[own], values[own], "o", color=colour)
    for threshold in sorted(set(explanation.thresholds[list(hearing.shown)].tolist())):
        axes.axhline(threshold, linestyle="--", color="grey", linewidth=1)
    axes.set(xlim=(0, hearing.duration_s), ylim=(-0.02, 1.02), xlabel="seconds",
             ylabel="presence")  # fmt: skip
    axes.set_title(
        f"{explanation.title}: presence, each window at its middle; dots: the windows that a "
        "separation hears",
        loc="left", fontsize="medium",
    )  # fmt: skip
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _similarity(figure: Any, explanation: Explanation) -> None:
    axes, values = figure.subplots(), explanation.similarity
    image = axes.imshow(values, vmin=-1, vmax=1, cmap="RdBu_r")
    names = explanation.hearing.config.categories
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    if len(names) <= 24:
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour,
                      fontsize=7)  # fmt: skip
    axes.set_title("cosine between embeddings, mean over windows", loc="left", fontsize="medium")
    figure.colorbar(image, ax=axes, shrink=0.7)


def _maps(figure: Any, explanation: Explanation) -> None:
    maps, count = explanation.maps, len(explanation.hearing.windows.starts)
    if not maps:
        figure.text(0.05, 0.5, "Too few windows for a map: three embeddings at least.")
        return
    every = np.atleast_1d(figure.subplots(1, len(maps)))
    for axes, laid in zip(every, maps, strict=True):
        for place, (colour, name, _) in enumerate(_coloured(explanation)):
            points = laid.points[place * count : (place + 1) * count]
            axes.plot(*points.T, "o", color=colour, alpha=0.8, label=_labelled(explanation, name))
        kept = "" if laid.kept is None else f", {laid.kept:.0%} of the variance"
        axes.set_title(f"embeddings of every window, {laid.method.upper()}{kept}", loc="left",
                       fontsize="medium")  # fmt: skip
    every[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _rows(explanation: Explanation, draw: Callable[[Any, Explanation], None]) -> bytes:
    height = 0.7 + _ROW * (len(explanation.hearing.shown) + 1)
    return _drawn(_WIDTH, height, lambda figure: draw(figure, explanation))


def _claims(figure: Any, explanation: Explanation) -> None:
    hearing, every = explanation.hearing, _planes(figure, explanation)
    image, level = None, _level(explanation)
    for axes, name, claims in zip(every, hearing.names, hearing.joined_claims, strict=True):
        most = float(claims.max())
        scale = max(most, LEAST_CLAIM)  # or rounding would look like a claim
        _plane(axes, explanation, level, "gray", -_RANGE_DB, 0.0)
        image = _plane(axes, explanation, claims / scale, _MAP, 0.0, 1.0, alpha=0.65)
        axes.set_title(
            f"{name}: claims {float(claims.mean()):.2g} of all feature tokens, at most {most:.2g} "
            "of one",
            loc="left", fontsize="medium",
        )  # fmt: skip
    figure.colorbar(image, ax=list(every), location="left", aspect=40, pad=0.01,
                    label="claim, of the category's largest")  # fmt: skip


def _masks(figure: Any, explanation: Explanation) -> None:
    hearing, every = explanation.hearing, _planes(figure, explanation)
    image = None
    for axes, name, mask in zip(every, hearing.names, hearing.masks, strict=True):
        image = _plane(axes, explanation, mask.astype(np.float32), _MAP, 0.0, 1.0)
        axes.set_title(f"{name}: mask", loc="left", fontsize="medium")
    figure.colorbar(image, ax=list(every), location="left", aspect=40, pad=0.01, label="mask")


def _occlusions(figure: Any, explanation: Explanation) -> None:
    hearing, every = explanation.hearing, _planes(figure, explanation)
    found = {occlusion.category: occlusion for occlusion in explanation.occlusions}
    image = None
    for axes, name, category in zip(every, hearing.names, hearing.shown, strict=True):
        axes.set_facecolor("0.9")
        if category not in found:
            axes.set_title(f"{name}: not looked at, as it is not heard", loc="left",
                           fontsize="medium")  # fmt: skip
            continue
        occlusion = found[category]
        rows, columns = occlusion.fall.shape
        times = hearing.start_s[occlusion.window] + np.linspace(
            0.0, hearing.config.window_s, columns + 1
        )
        places = np.linspace(0, len(hearing.row_hz), rows + 1)
        image = axes.pcolormesh(times, places, occlusion.fall, vmin=-1, vmax=1, cmap="RdBu_r")
        axes.set_title(
            f"{name}: presence {occlusion.presence:.2f} in this window, and how far it falls "
            f"without each part (at most {float(occlusion.fall.max()):.2f})",
            loc="left", fontsize="medium",
        )  # fmt: skip
    if image is not None:
        figure.colorbar(image, ax=list(every), location="left", aspect=40, pad=0.01, label="fall")


def _planes(figure: Any, explanation: Explanation) -> NDArray[Any]:
    """Axes of time and frequency for each category shown, below those of the mixture."""
    hearing = explanation.hearing
    every = figure.subplots(len(hearing.shown) + 1, 1, sharex=True, sharey=True)
    _plane(every[0], explanation, _level(explanation), _SPECTROGRAM, -_RANGE_DB, 0.0)
    every[0].set_title(f"{explanation.title}, as the network sees it", loc="left",
                       fontsize="medium")  # fmt: skip
    for axes in every:
        axes.set_ylabel("Hz")
    every[-1].set_xlabel("seconds")
    found: NDArray[Any] = every[1:]
    return found


def _level(explanation: Explanation) -> NDArray[Any]:
    """Of the mixture at each row and column, dB, the loudest 0."""
    level = 10.0 * np.log10(np.maximum(explanation.hearing.power, 1e-30))
    loudest: NDArray[Any] = level - level.max()
    return loudest


def _plane(
    axes: Any,
    explanation: Explanation,
    values: NDArray[Any],
    cmap: str,
    low: float,
    high: float,
    alpha: float = 1.0,
) -> Any:
    hearing = explanation.hearing
    hz = hearing.row_hz
    skip = -(-values.shape[1] // _COLUMNS)
    image = axes.imshow(
        values[:, ::skip], origin="lower", aspect="auto", cmap=cmap, vmin=low, vmax=high,
        interpolation="nearest", alpha=alpha, extent=(0.0, hearing.duration_s, 0.0, len(hz)),
    )  # fmt: skip
    ticks = [tick for tick in _TICKS_HZ if hz[1] <= tick <= hz[-1]]
    axes.set_yticks(np.interp(ticks, hz, np.arange(len(hz)) + 0.5), [f"{tick}" for tick in ticks])
    axes.set_xlim(0.0, hearing.duration_s)
    axes.set_ylim(0.0, len(hz))
    return image


def _coloured(explanation: Explanation) -> list[tuple[str, str, int]]:
    """Colour, name and position of each category shown."""
    hearing = explanation.hearing
    return [
        (f"C{place % 10}", name, category)
        for place, (name, category) in enumerate(zip(hearing.names, hearing.shown, strict=True))
    ]


def _labelled(explanation: Explanation, name: str) -> str:
    if explanation.labels is None or name in explanation.labels:
        return name
    return f"{name} (not there)"
