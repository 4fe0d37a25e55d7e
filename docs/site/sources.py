"""Links from a page to a file of the repository: the file is part of the site, as a page.

In the repository such a link (``../examples/live.py``) leads to the file itself. The site holds
what is linked, so that it needs no address of a repository, and no network. A folder is a page
that lists its files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, InclusionLevel

TOP = Path(__file__).parents[2]
DOCS = "docs/"
FOLDER = "repository"
"""Of the site, in which files of the repository are."""
_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#])")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LANGUAGES = {".yml": "yaml", ".yaml": "yaml", ".json": "json", ".py": "python", ".css": "css",
              ".cpp": "cpp", ".h": "cpp", ".hpp": "cpp", ".cu": "cpp", ".html": "html",
              ".toml": "toml", ".js": "javascript", ".mjs": "javascript", ".cff": "yaml",
              ".sh": "bash", ".txt": "text", ".Dockerfile": "docker"}  # fmt: skip


def _name(path: str) -> str:
    """The page of a file or folder of the repository."""
    if (TOP / path).is_dir():
        return f"{FOLDER}/{path}/index.md"
    return f"{FOLDER}/{path}" if path.endswith(".md") else f"{FOLDER}/{path}.md"


def _listed(path: str) -> str:
    """A folder's files; those that are text lead to their pages."""
    lines = [f"# {path}", ""]
    for entry in sorted((TOP / path).iterdir()):
        if not entry.name.startswith((".", "__")):
            shown = entry.is_dir() or entry.suffix in (*_LANGUAGES, ".md")
            lines.append(f"- [{entry.name}]({entry.name})" if shown else f"- {entry.name}")
    return "\n".join(lines)


def _content(path: str) -> str:
    """A file as Markdown."""
    if (TOP / path).is_dir():
        return _listed(path)
    text = (TOP / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    language = _LANGUAGES.get(posixpath.splitext(path)[1], "text")
    # A fence longer than any within.
    return f"# {path}\n\n````{language}\n{text.rstrip()}\n````\n"


def _targets(text: str, origin: str) -> Iterator[str]:
    """What is outside of docs and linked to by a text of the repository."""
    for link in _LINK.findall(_FENCE.sub("", text)):
        path = _target(link, origin)
        if path is not None and not path.startswith(DOCS) and (TOP / path).exists():
            yield path


def _target(link: str, origin: str) -> str | None:
    """What a link of a text of the repository leads to, from the top; None for an address."""
    if re.match(r"\w+:|/", link):
        return None
    folder = origin if (TOP / origin).is_dir() else posixpath.dirname(origin)
    return posixpath.normpath(posixpath.join(folder, link))


def _moved(text: str, origin: str, here: str) -> str:
    """A text whose links lead to where things lie in the site."""

    def moved(match: re.Match[str]) -> str:
        path = _target(match[1], origin)
        if path is None:
            return match[1]
        inside = path.removeprefix(DOCS) if path.startswith(DOCS) else _name(path)
        return posixpath.relpath(inside, posixpath.dirname(here) or ".")

    parts = re.split(f"({_FENCE.pattern})", text, flags=_FENCE.flags)
    return "".join(part if part.startswith("```") else _LINK.sub(moved, part) for part in parts)


def on_files(files: Any, config: Any) -> Any:
    """Add what the pages link to, and what that links to; all links lead there."""
    pages = [file for file in files.documentation_pages() if file.src_dir is not None]
    waiting = [
        path for file in pages for path in _targets(file.content_string, DOCS + file.src_uri)
    ]
    added: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path not in added:
            added.add(path)
            text, name = _content(path), _name(path)
            waiting += _targets(text, path)
            page = _moved(text, path, name)
            outside = InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, name, content=page, inclusion=outside))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead the links of a page of docs to the pages that were added."""
    if page.file.src_dir is None:  # generated: its links are right
        return markdown
    return _moved(markdown, DOCS + page.file.src_uri, page.file.src_uri)
