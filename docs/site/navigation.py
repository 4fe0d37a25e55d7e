"""The menu: what the start page links to, under its headings, by the names of the links.

So a page is in the menu when a reader of the start page can find it, on the site and in the
repository alike, and nowhere else is there a list of pages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

START = "index.md"
_HEADING = re.compile(r"^## (.+)$")
_ROW = re.compile(r"^\| .+\| \[([^\]]+)\]\(([\w-]+\.md)\) \|$")


def menu(start: str) -> list[dict[str, Any]]:
    """MkDocs' ``nav`` of the start page's text: the rows of its tables whose end is a link."""
    sections: list[dict[str, Any]] = [{"Start": START}]
    heading = ""
    for line in start.splitlines():
        if found := _HEADING.match(line):
            heading = found[1]
        elif found := _ROW.match(line):
            if heading not in sections[-1]:
                sections.append({heading: []})
            sections[-1][heading].append({found[1]: found[2]})
    return sections


def on_config(config: Any) -> Any:
    """Give MkDocs its menu."""
    config.nav = menu((Path(config.docs_dir) / START).read_text(encoding="utf-8"))
    return config
