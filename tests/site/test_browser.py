"""The site in a real browser, from a server on this machine: quiet, and whole on a telephone.

Skipped where there is no Chromium or no playwright, failing instead where
SGN_RT_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import io
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.browser import chromium

PHONE = {"width": 390, "height": 844}
WIDTHS = "() => [document.documentElement.scrollWidth, innerWidth]"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(site):
    handler = partial(_Quiet, directory=str(site.root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser, address):
    """Opens a page; by the end of the test nothing was said, and nothing came from elsewhere."""
    contexts, said, fetched = [], [], []

    def open_page(name="index.html", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append((message.location["url"], message.text)))
        page.on("pageerror", lambda error: said.append((page.url, str(error))))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(f"{address}/{name}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    # Which is looked for where a drawing alone is shown.
    assert [each for each in said if not each[0].endswith("/favicon.ico")] == []
    assert [url for url in fetched if not url.startswith((address, "data:"))] == []


def test_a_telephone_shows_all_of_every_page(visit, address, site):
    page = visit(viewport=PHONE)
    names = site.names()
    assert len(names) > 30
    for name in names:
        page.goto(f"{address}/{name}")
        shown, there = page.evaluate(WIDTHS)
        assert shown <= there, name


def test_the_search_finds_a_page_by_what_is_on_it(visit):
    page = visit()
    page.keyboard.press("/")
    page.keyboard.type("cross-faded")
    page.locator(".md-search-result__link", has_text="How does it work?").first.wait_for()


OUTSIDE = """() => [...document.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    const frame = document.documentElement.getBoundingClientRect();
    const holds = (around, by) => around.left + by <= box.left && box.right <= around.right - by
        && around.top <= box.top && box.bottom <= around.bottom;
    const middle = (box.left + box.right) / 2;
    const boxes = [...document.querySelectorAll('rect')].map(rect => rect.getBoundingClientRect())
        .filter(rect => rect.top < box.top && box.bottom < rect.bottom)
        .filter(rect => rect.left < middle && middle < rect.right);
    return !holds(frame, 0) || boxes.some(rect => !holds(rect, 4));
}).map(text => text.textContent)"""


@pytest.mark.parametrize("name", ["window.svg", "bundle.svg"])
def test_what_is_written_in_a_drawing_lies_within_its_box(visit, name):
    page = visit(name, viewport={"width": 480, "height": 720})
    assert page.evaluate("document.querySelectorAll('text').length") > 15
    assert page.evaluate(OUTSIDE) == []


@pytest.mark.parametrize("system", ["light", "dark"])
@pytest.mark.parametrize(("chosen", "fill"), [("default", "#e8ecfb"), ("slate", "#2b3152")])
def test_drawings_are_as_light_or_dark_as_the_page(visit, system, chosen, fill):
    """Also where a reader has chosen other than the system has: the fill of the first box."""
    image = pytest.importorskip("PIL.Image")
    page = visit("concepts.html", color_scheme=system, viewport=PHONE)
    page.evaluate(f"() => document.body.setAttribute('data-md-color-scheme', '{chosen}')")
    drawing = page.locator('img[src="window.svg"]')
    shot = image.open(io.BytesIO(drawing.screenshot())).convert("RGB")
    scale = shot.width / 480
    found = shot.getpixel((round(97 * scale), round(31 * scale)))
    expected = tuple(bytes.fromhex(fill[1:]))
    assert found == pytest.approx(expected, abs=4)
