"""Figures of matplotlib as SVG for a page: the page's own colours and letters, no names that clash.

A figure is drawn in stand-in colours, of which the SVG then says the page's variables, so that it
is light or dark as the page is.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sgn_rt._optional import require

INK, SOFT, LINE, PAPER = "#a10010", "#a10011", "#a10012", "#a10013"
"""Stand-ins: text, axes, grid, background."""
ROWS: Final = tuple(f"#a1002{digit}" for digit in "0123456789")
"""Stand-ins of rows; further ones begin anew, with another line or marker."""
_VARIABLES: Final = {
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--line",
    PAPER: "--card",
    **{stand_in: f"--row-{index}" for index, stand_in in enumerate(ROWS)},
}
_NOT_TEXT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
WIDTH: Final = 4.4
"""Inches: about a telephone's width at the size of the letters."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture, and what it shows for those who do not see it."""

    title: str
    svg: str


def require_matplotlib() -> None:
    """Raise DependencyError, before any work, if pictures cannot be drawn."""
    require("matplotlib", extra="plot", purpose="a page with plots")


def clean(text: str) -> str:
    """Without what neither HTML nor XML takes: control characters, bytes that are no text."""
    return _NOT_TEXT.sub("\ufffd", text)


@contextmanager
def drawing(height: float) -> Iterator[tuple[Any, Any]]:
    """A figure in the page's style and its axes."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {
        "font.size": 10, "axes.edgecolor": LINE, "axes.labelcolor": SOFT, "text.color": INK,
        "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": SOFT,
        "ytick.labelcolor": INK, "axes.grid": True, "axes.axisbelow": True, "grid.color": LINE,
        "grid.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False,
        "legend.frameon": False, "svg.fonttype": "none", "svg.hashsalt": "sgn-rt",
        "axes.facecolor": "none", "figure.facecolor": "none",
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def as_svg(figure: Any, title: str, prefix: str) -> Plot:
    """A figure of `drawing`, within its block.

    Parameters
    ----------
    figure
        What was drawn.
    title
        What it shows.
    prefix
        Of every name in it, one of its own on the page.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names are no formulas, though they may have dollar signs
    file = io.StringIO()
    with warnings.catch_warnings():
        # The browser draws the letters, by its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = clean(file.getvalue())
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, f"var({variable})")
    head = f'<svg role="img" aria-label="{html.escape(title, quote=True)}"'
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return Plot(title, text.replace("<svg", head, 1).strip())
