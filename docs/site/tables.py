"""Tables on narrow screens: what is short stays on one line, and prose is given room."""

from __future__ import annotations

import re
from typing import Any

SHORT = 18
"""Characters: a figure with its bounds, or a page's name."""
_CELL = re.compile(r"<td>(.*?)</td>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Mark the short cells; the style sheet does the rest."""

    def marked(cell: re.Match[str]) -> str:
        short = len(_TAG.sub("", cell[1])) <= SHORT
        return f'<td class="short">{cell[1]}</td>' if short else cell[0]

    return _CELL.sub(marked, html)
