"""The page in a real browser, from a file."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sgn_rt.explain.page import as_page

from ..serving.page.conftest import EARS, browser  # noqa: F401
from ..serving.server.tools import PATIENCE_S


@pytest.fixture
def signal(signal) -> np.ndarray:
    """Long enough to be looked at while it plays."""
    return np.tile(signal, 10)


@pytest.fixture
def opened(browser, explanation, tmp_path) -> Iterator[Callable[..., Any]]:  # noqa: F811
    """The page, with ears; fails if it asks for anything beside itself, or complains."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(PATIENCE_S * 1000)
    asked: list[str] = []
    said: list[str] = []

    def make(**changes: Any) -> Any:
        file = tmp_path / "index.html"
        file.write_text(as_page(explanation(**changes)), encoding="utf-8")
        page = context.new_page()
        page.add_init_script(EARS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield make
    context.close()
    assert said == []
    assert [url for url in asked if not re.match(r"file:|data:", url)] == []


def heard(page: Any, expected: str) -> None:
    page.wait_for_selector(f"html[data-heard='{expected}']")


def position(page: Any) -> float:
    return float(page.input_value("#position"))


def test_stems_are_played_soloed_and_muted_and_the_cursor_follows(opened):
    page = opened()
    page.click("text=Play")
    heard(page, "###")
    deadline = time.monotonic() + PATIENCE_S
    while position(page) < 0.2:
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    width = page.evaluate("document.getElementById('plane').clientWidth")
    assert page.evaluate("document.querySelector('.cursor').offsetLeft") > 0.2 / 21 * width * 0.9
    page.click("[aria-label='Solo horn']")
    heard(page, "-#-")
    assert page.get_attribute("[aria-label='Solo horn']", "aria-pressed") == "true"
    page.click("[aria-label='Solo horn']")
    page.click("[aria-label='Mute bell']")
    heard(page, "-##")
    assert page.get_attribute("#stems li", "data-audible") == "false"
    page.click("text=Pause")
    heard(page, "---")
    rests = position(page)
    assert rests > 0.2
    box = page.locator("#plane").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert position(page) == pytest.approx(10.5, abs=0.1)


def test_a_place_that_is_pointed_at_is_told(opened, explanation):
    page = opened()
    hearing = explanation().hearing
    box = page.locator("#plane").bounding_box()
    row = int(np.argmin(np.abs(hearing.row_hz - 3000)))
    height = box["y"] + box["height"] * (1 - (row + 0.5) / len(hearing.row_hz))
    page.mouse.move(box["x"] + box["width"] * 1.5 / hearing.duration_s, height)
    told = page.inner_text("#readout")
    found = re.match(r"1\.[45]\d s, (\d+) Hz, -?\d+ dB\. ", told)
    assert found, told
    assert float(found[1]) == pytest.approx(hearing.row_hz[row], abs=1)
    assert "horn: mask 0.90, claims 1.0, presence 0." in told
    assert "bell: mask 0.10, claims 0.0, presence 0." in told


def test_what_is_shown_can_be_chosen(opened):
    page = opened()
    seen = {page.evaluate("document.getElementById('plane').toDataURL()")}
    for what in ("masks", "claims", "occlusions"):
        for which in ("0", "1"):
            page.select_option("#what", what)
            page.select_option("#which", which)
            seen.add(page.evaluate("document.getElementById('plane').toDataURL()"))
    assert len(seen) == 7
    assert page.locator("#maps circle").count() > 100
    page.locator("#maps circle").last.dispatch_event("click")
    assert position(page) > 20


def test_it_fits_a_telephone_and_is_for_everybody(opened):
    from axe_playwright_python.sync_playwright import Axe

    page = opened()
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
