"""A built site as a reader goes through it: what a page says, its headings, and its links."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

_VOID = {
    "area",
    "base",
    "br",
    "col",
    "embed",
    "hr",
    "img",
    "input",
    "link",
    "meta",
    "source",
    "wbr",
}
_BREAKS = {"p", "li", "tr", "td", "th", "div", "pre", "br", "dt", "dd"} | {
    f"h{n}" for n in range(1, 7)
}
_PERMALINK = "headerlink"


def _words(parts: list[str]) -> str:
    return " ".join("".join(parts).split())


@dataclass
class Heading:
    """A heading, and the place of its text in the page's."""

    level: int
    parts: list[str] = field(default_factory=list)
    start: int = 0

    @property
    def title(self) -> str:
        return _words(self.parts)


@dataclass
class Page:
    """What stands between a page's menus."""

    name: str
    parts: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)  # what it is called, where it leads
    loads: list[str] = field(default_factory=list)  # what the browser fetches by itself
    ids: dict[str, int] = field(default_factory=dict)  # anchor -> place in the text

    @property
    def text(self) -> str:
        return _words(self.parts)

    def section(self, title: str) -> str | None:
        """From a heading to the next of its level; None where there is none of that title."""
        for number, heading in enumerate(self.headings):
            if heading.title == title:
                later = [h for h in self.headings[number + 1 :] if h.level <= heading.level]
                end = later[0].start if later else len(self.parts)
                return _words(self.parts[heading.start : end])
        return None

    def after(self, anchor: str) -> str:
        """From an anchor on; the whole page for none."""
        return _words(self.parts[self.ids[anchor] if anchor else 0 :])


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.page = page
        self.open: list[str] = []
        self.link: tuple[str, list[str]] | None = None
        self.heading: Heading | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag not in _VOID:
            self.open.append(tag)
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.page.loads.append(str(given["src"]))
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.page.loads.append(str(given["href"]))
        if "article" not in self.open:
            return
        if tag in _BREAKS:
            self.page.parts.append(" ")
        if given.get("id"):
            self.page.ids[str(given["id"])] = len(self.page.parts)
        if re.fullmatch("h[1-6]", tag):
            self.heading = Heading(int(tag[1]), start=len(self.page.parts))
            self.page.headings.append(self.heading)
        if tag == "a" and given.get("href") and _PERMALINK not in str(given.get("class")):
            self.link = (str(given["href"]), [])

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self.link is not None:
            self.page.links.append((_words(self.link[1]), self.link[0]))
            self.link = None
        if self.heading is not None and re.fullmatch("h[1-6]", tag):
            self.heading = None
        while tag in self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "article" not in self.open or {"script", "style"} & set(self.open):
            return
        self.page.parts.append(data)
        if self.link is not None:
            self.link[1].append(data)
        if self.heading is not None and data != "¶":
            self.heading.parts.append(data)


class Site:
    """The folder that was built."""

    def __init__(self, root: Path, told: str) -> None:
        self.root, self.told = root, told
        self._pages: dict[str, Page] = {}

    def names(self) -> list[str]:
        """Every page, relative to the root."""
        found = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*.html"))
        return sorted(name for name in found if name != "404.html")

    def page(self, name: str) -> Page:
        if name not in self._pages:
            page = Page(name)
            reader = _Reader(page)
            reader.feed((self.root / name).read_text(encoding="utf-8"))
            reader.close()
            self._pages[name] = page
        return self._pages[name]

    def target(self, page: Page, link: str) -> tuple[str, str] | None:
        """File and anchor that a link of a page leads to; None for another site's."""
        if urlsplit(link).scheme or link.startswith("//"):
            return None
        parts = urlsplit(urljoin(f"/{page.name}", link))
        name = unquote(parts.path).removeprefix("/")
        return (f"{name}index.html" if name.endswith("/") or not name else name), parts.fragment

    def follow(self, page: Page, called: str) -> Page:
        """Click on a link of a page."""
        places = dict(reversed(page.links))
        if called not in places:
            raise LookupError(f"{page.name}: no link called {called!r}: {sorted(places)}")
        there = self.target(page, places[called])
        assert there is not None, f"{called} leads out of the site"
        return self.page(there[0])

    def reach(self, page: Page, called: str) -> str:
        """What a reader sees after a click on a heading, or a link, of a page."""
        section = page.section(called)
        if section is not None:
            return section
        for text, link in page.links:
            there = self.target(page, link)
            if text == called and there is not None:
                return self.page(there[0]).after(there[1])
        raise LookupError(f"{page.name}: {called!r} is neither a link nor a heading")
