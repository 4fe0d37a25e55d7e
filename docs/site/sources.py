"""Links from a page to a file of the repository: the file is part of the site, as a page.

In the repository such a link (``../examples/live.py``) leads to the file itself. The site holds
what is linked, so that it needs no address of a repository, and no network.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, InclusionLevel

TOP = Path(__file__).parents[2]
FOLDER = "repository"
"""Of the site, in which files of the repository are."""
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#])")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LANGUAGES = {".yml": "yaml", ".yaml": "yaml", ".json": "json", ".py": "python", ".css": "css",
              ".cpp": "cpp", ".h": "cpp", ".cu": "cpp", ".html": "html", ".toml": "toml",
              ".js": "javascript", ".mjs": "javascript", ".cff": "yaml"}  # fmt: skip


def _outside(text: str, folder: str) -> Iterator[str]:
    """Files of the repository outside of docs that a text in ``folder`` links to."""
    for link in _LINK.findall(_FENCE.sub("", text)):
        path = posixpath.normpath(posixpath.join(folder, link))
        if "://" not in link and not path.startswith("docs/") and (TOP / path).is_file():
            yield path


def _name(path: str) -> str:
    """The page of a file of the repository."""
    return f"{FOLDER}/{path}" if path.endswith(".md") else f"{FOLDER}/{path}.md"


def _content(path: str) -> str:
    text = (TOP / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    language = _LANGUAGES.get(posixpath.splitext(path)[1], "text")
    # A fence longer than any within.
    return f"# {path}\n\n````{language}\n{text.rstrip()}\n````\n"


def _links(text: str, origin: str, here: str) -> str:
    """A text whose links lead to where things lie in the site."""
    folder = posixpath.dirname(origin)

    def moved(match: re.Match[str]) -> str:
        link = match[1]
        if "://" in link or link.startswith(("/", "mailto:")):
            return link
        path = posixpath.normpath(posixpath.join(folder, link))
        inside = path.removeprefix("docs/") if path.startswith("docs/") else _name(path)
        return posixpath.relpath(inside, posixpath.dirname(here) or ".")

    parts = re.split(f"({_FENCE.pattern})", text, flags=_FENCE.flags)
    return "".join(part if part.startswith("```") else _LINK.sub(moved, part) for part in parts)


def on_files(files: Any, config: Any) -> Any:
    """Add what the pages link to, and what that links to."""
    pages = [file for file in files.documentation_pages() if file.src_dir is not None]
    found = {path for file in pages for path in _outside(file.content_string, "docs")}
    waiting = sorted(found)
    while waiting:
        path = waiting.pop()
        text = _content(path)
        files.append(
            File.generated(config, _name(path), content=text, inclusion=InclusionLevel.NOT_IN_NAV)
        )
        new = set(_outside(text, posixpath.dirname(path))) - found
        found |= new
        waiting += sorted(new)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links to the pages that were added."""
    del config, files
    here = page.file.src_uri
    inside = here.removeprefix(f"{FOLDER}/")
    if inside == here:
        return _links(markdown, f"docs/{here}", here)
    shown = inside if (TOP / inside).is_file() else inside.removesuffix(".md")
    return _links(markdown, shown, here) if shown.endswith(".md") else markdown
