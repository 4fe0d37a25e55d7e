"""The page in a real browser, from a file: whole, offline, readable by everybody.

Skipped where there is no Chromium or no playwright, failing instead where
SGN_RT_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from sgn_rt.benchmarks.report.comparison import compare
from sgn_rt.benchmarks.report.course import course_page
from sgn_rt.benchmarks.report.page import as_page
from sgn_rt.benchmarks.report.verdict import comparison_section
from tests.browser import chromium

pytest.importorskip("matplotlib")

WIDTHS = "() => [document.documentElement.scrollWidth, innerWidth]"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(result, tmp_path_factory):
    """A run's page with a comparison that has every word in it, and one of a history."""
    folder = tmp_path_factory.mktemp("pages")
    lost = dataclasses.replace(
        result.figures[0], value=float("nan"), values=(), interval=None, failure="EngineError: no"
    )
    worse = [
        dataclasses.replace(f, values=tuple(2 * v for v in f.values), value=2 * f.value)
        for f in result.figures[1:-1]
    ]
    new = dataclasses.replace(result, figures=(lost, *worse))
    compared = comparison_section(compare(result, new, 0.05))
    (folder / "run.html").write_text(as_page(result, [compared]))
    elsewhere = dataclasses.replace(
        result, made="2026-12-02T08:00:00+00:00", machine=result.machine | {"cpu": "Other <CPU>"}
    )
    later = dataclasses.replace(result, made="2026-12-01T08:00:00+00:00")
    (folder / "course.html").write_text(course_page([result, later, elsewhere]))
    return folder


@pytest.fixture
def visit(browser, pages):
    """Opens a page; by the end of the test nothing was said, and nothing was fetched."""
    contexts, said, fetched = [], [], []

    def open_page(name, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto((pages / name).as_uri())
        fetched[:] = [url for url in fetched if not url.startswith("data:")]
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert all(re.fullmatch(r"file://.*/(run|course)\.html", url) for url in fetched)


def boxes(page, what):
    return [each.bounding_box() for each in page.locator(what).all()]


PAGES = ["run.html", "course.html"]


@pytest.mark.parametrize(
    ("name", "scheme"), [("run.html", "light"), ("run.html", "dark"), ("course.html", "dark")]
)
def test_everybody_can_use_it(visit, name, scheme):
    """By the rules of axe: names, roles, headings, contrast and more."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(visit(name, color_scheme=scheme))
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", PAGES)
def test_a_telephone_shows_all_of_it(visit, name):
    page = visit(name, viewport={"width": 360, "height": 700})
    shown, there = page.evaluate(WIDTHS)
    assert shown <= there
    wide = (
        "() => [...document.querySelectorAll('figure')].map(f => f.getBoundingClientRect().width)"
    )
    assert all(300 < width <= 360 for width in page.evaluate(wide))


def test_what_is_drawn_lies_within_its_picture(visit):
    """Also the longest names: nothing that is written in a picture is cut off at its edge."""
    page = visit("run.html")
    outside = page.evaluate("""() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
        const frame = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text')].filter(text => {
            const box = text.getBoundingClientRect();
            return box.left < frame.left - 1 || box.right > frame.right + 1
                || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
        }).map(text => text.textContent);
    })""")
    assert outside == []


def test_every_scenario_has_its_pictures_and_tables(visit, result):
    page = visit("run.html")
    for scenario in dict.fromkeys(figure.scenario for figure in result.figures):
        section = page.locator(f"section[aria-labelledby={scenario}]")
        assert section.locator("figure svg").count() >= 1
        assert section.locator("table").count() >= 1
    titles = page.locator("figcaption").all_inner_texts()
    for title in ("Latencies", "Peak memory", "Where the time goes", "Roofline of the network"):
        assert title in titles
    assert "59% of its roof" in page.locator("#limits").locator("..").inner_text()


def test_rows_without_figures_say_why(visit):
    page = visit("run.html")
    text = page.locator("section[aria-labelledby=rows]").inner_text()
    assert "parity: whole: 0.4 (at most 0.01)" in text
    assert 'pip install "openvino>=2025"' in text
    assert page.locator("td.bad", has_text="INVALID").count() == 1
    assert "LOST" in page.locator("section[aria-labelledby=comparison]").inner_text()


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.links = [], []

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key == "id":
                self.ids.append(value)
            elif key in ("src", "href", "xlink:href"):
                self.links.append(value)


@pytest.mark.parametrize("name", PAGES)
def test_all_of_it_is_in_it(pages, name):
    """No link out of it, no name twice, no colour but the page's own, nothing that is no text."""
    text = (pages / name).read_text()
    found = Links()
    found.feed(text)
    inside = [link for link in found.links if not link.startswith("data:")]
    assert inside
    assert all(link.startswith("#") and link[1:] in found.ids for link in inside)
    assert len(found.ids) == len(set(found.ids))
    assert "#a100" not in text
    assert "mathdefault" not in text
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(found.ids)
    assert "<CPU>" not in text


def test_names_are_no_markup(result):
    hostile = "<script>alert(1)</script>$x^2$\x00"
    rows = (dataclasses.replace(result.rows[0], name=hostile), *result.rows[1:])
    figures = (dataclasses.replace(result.figures[0], row=hostile, note=hostile),)
    text = as_page(dataclasses.replace(result, rows=rows, figures=figures, limits=()))
    assert "<script" not in text
    assert "\x00" not in text
    assert "$x^2$" in text


def test_a_page_is_the_same_each_time(result):
    few = dataclasses.replace(result, figures=result.figures[:4])
    assert as_page(few) == as_page(few)
