"""The built site: whole, quiet, and with everything that it shows."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.pages import Site

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
MENU = runpy.run_path(str(DOCS / "site/navigation.py"))["menu"]


def test_it_is_built_in_silence(site: Site):
    """As --strict would end it for a warning, this sees what is said in another way."""
    assert "WARNING" not in site.told
    assert "Documentation built" in site.told


def test_every_page_of_the_docs_is_in_it_and_in_the_menu(site: Site):
    start = (DOCS / "index.md").read_text(encoding="utf-8")
    first, *sections = MENU(start)
    listed = [page for section in sections for part in section.values() for page in part]
    pages = [*first.values(), *(name for entry in listed for name in entry.values())]
    assert sorted(pages) == sorted(path.name for path in DOCS.glob("*.md"))
    built = site.names()
    assert {page.replace(".md", ".html") for page in pages} <= set(built)
    menu = (site.root / "index.html").read_text(encoding="utf-8")
    for entry in listed:
        for called, name in entry.items():
            target = name.replace(".md", ".html")
            assert re.search(
                rf'href="{target}" class="md-nav__link *">(\s|<[^>]*>)*{re.escape(called)}\s*<',
                menu,
            )


def test_links_and_anchors_lead_somewhere(site: Site):
    checked = 0
    for name in site.names():
        page = site.page(name)
        for called, link in page.links:
            there = site.target(page, link)
            if there is None:
                continue
            file, anchor = there
            assert (site.root / file).is_file(), f"{name}: {called}: {link}"
            if anchor:
                assert anchor in site.page(file).ids, f"{name}: {called}: {link}"
            checked += 1
    assert checked > 200


def test_names_of_the_interface_lead_to_the_reference(site: Site):
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    page = site.page("python.html")
    links = dict(page.links)
    for name in set(re.findall(r"`(sgn_rt\.[\w.]+)`", text)):
        there = site.target(page, links[name])
        assert there is not None
        assert there[0].startswith("reference/")
        assert there[1].rpartition(".")[2] == name.rpartition(".")[2]


def test_the_search_knows_what_is_said_and_not_how_it_is_done(site: Site):
    index = json.loads((site.root / "search/search_index.json").read_text(encoding="utf-8"))
    texts = {entry["location"]: entry["text"] for entry in index["docs"]}
    separate = texts["reference/separating.html#sgn_rt.Separator.separate"]
    assert "shape = (channels, samples)" in separate
    assert "def least_latency_s" not in "".join(texts.values())


def test_nothing_is_loaded_from_elsewhere(site: Site):
    for name in site.names():
        page = site.page(name)
        assert page.loads
        for link in page.loads:
            there = site.target(page, link)
            assert there is not None, f"{name} loads {link}"
            assert (site.root / there[0]).is_file(), f"{name} loads {link}"
    styles = "".join(path.read_text(encoding="utf-8") for path in site.root.rglob("*.css"))
    assert not re.search(r"url\(\s*['\"]?(https?:)?//", styles)


def test_nothing_is_left_as_it_was_written(site: Site):
    """What GitHub takes for a table, a list or a link, and MkDocs for text."""
    for name in site.names():
        html = (site.root / name).read_text(encoding="utf-8")
        prose = re.sub(r"<(pre|code|script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
        for left in (r"\| -{3}", r"\]\(", r"```", r"<p>[-*] ", r"\n- ", r"\*\*", r":::"):
            found = re.search(rf".{{0,80}}{left}.{{0,80}}", prose)
            assert not found, f"{name}: {found[0]}"


def test_files_that_pages_link_to_are_pages_with_their_content(site: Site):
    page = site.follow(site.page("index.html"), "a gate for your CI")
    assert page.name.startswith("repository/examples/gate.py")
    script = (TOP / "examples/gate.py").read_text(encoding="utf-8")
    for line in script.split("\n\n")[0].splitlines():
        assert " ".join(line.split()) in page.text


def test_drawings_are_files_that_know_the_dark(site: Site):
    for name in ("window.svg", "bundle.svg"):
        drawing = (site.root / name).read_text(encoding="utf-8")
        assert "prefers-color-scheme: dark" in drawing
        assert name in site.page("concepts.html").loads


@pytest.fixture
def build(tmp_path):
    """One page, with the site's rules and without its plugins."""

    def of(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs/index.md").write_text(f"# A page\n\n{text}\n")
        (tmp_path / "mkdocs.yml").write_text(
            f"INHERIT: {DOCS}/site/mkdocs.yml\ndocs_dir: docs\nsite_dir: built\nhooks: []\n"
            "theme: {name: mkdocs, custom_dir: docs}\nplugins: []\nextra_css: []\n"
        )
        command = [sys.executable, "-m", "mkdocs", "build", "-f", str(tmp_path / "mkdocs.yml")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return of


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("All is [well](#a-page).", None),
        ("To [nowhere](none.md).", "'none.md'"),
        ("To [no heading](index.md#none).", "#none"),
        ("To [a place of this disk](/index.md).", "absolute link"),
    ],
)
def test_what_leads_nowhere_ends_the_build(build, text, message):
    done = build(text)
    assert (done.returncode == 0) == (message is None), done.stderr
    if message is not None:
        assert message in done.stderr
