"""The page of an evaluation in a real browser, from a file: whole, offline, for everybody.

Skipped where there is no Chromium or no playwright, failing instead where
SGN_RT_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sgn_rt.cli.evaluation_report import result_of
from sgn_rt.evaluation import run
from sgn_rt.evaluation.journal import Journal
from sgn_rt.evaluation.page import as_page
from sgn_rt.evaluation.protocols import protocol_named, sources
from sgn_rt.evaluation.protocols.base import Labels
from sgn_rt.evaluation.worst import Worst
from sgn_rt.model.bundle import Bundle
from tests.browser import chromium

pytest.importorskip("matplotlib")


@pytest.fixture
def page(erring, tmp_path, sound, write, monkeypatch):
    """Of two systems, on mixtures of one to three solos."""
    monkeypatch.setattr(sources, "ROUNDS", 3)
    for at, kind in enumerate(("cello", "tuba", "violin", "thunder & <lightning>")):
        write(tmp_path / "data" / kind / "a.wav", sound(at, 9000), 16_000)
    erring.engine = SimpleNamespace(detail="an engine <of a test>")
    separators, protocol = {"one": erring, "two": erring}, protocol_named("sources")
    journal = Journal(tmp_path / "out", {})
    worst = Worst(tmp_path / "out", "one", "si_sdr", {})
    labels = Labels(erring.categories)
    items = run.evaluate(
        separators, protocol, tmp_path / "data", labels, journal, keep=worst
    )  # fmt: skip
    result = result_of(items, protocol, Bundle.open(None), separators)
    (tmp_path / "page.html").write_text(as_page(result, items, worst.of(items)), encoding="utf-8")
    return tmp_path / "page.html"


SECONDS = """async () => {
    const all = [...document.querySelectorAll('audio')];
    return Promise.all(all.map(each => new Promise((done, fail) => {
        each.onloadedmetadata = () => done(each.duration);
        each.onerror = () => fail(each.error.message);
        each.preload = 'metadata';
        each.load();
    })));
}"""
WIDTHS = "() => [document.documentElement.scrollWidth, innerWidth]"


def test_everybody_can_read_it_and_listen(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    said, fetched = [], []
    with chromium() as browser:
        context = browser.new_context(color_scheme="dark", viewport={"width": 360, "height": 700})
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: fetched.append(request.url))
        tab.goto(page.as_uri())
        found = axe.run(tab)
        assert found.violations_count == 0, found.generate_report()
        shown, there = tab.evaluate(WIDTHS)
        assert shown <= there
        seconds = tab.evaluate(SECONDS)
        assert len(seconds) >= 5 * 3
        assert seconds == pytest.approx([6.0] * len(seconds), abs=0.01)
        titles = tab.locator("figcaption").all_inner_texts()
        for title in ("si_sdr by category", "si_sdr by the number of sources",
                      "one: how much of a true source is in an estimate, dB",
                      "Reliability of presence"):  # fmt: skip
            assert title in titles
        told = tab.locator("section[aria-labelledby=figures]").inner_text()
        assert "dropped: 1 x the model has no category of a folder of solos" in told
        assert "one less two: si_sdr 0.00" in told
        context.close()
    assert said == []
    assert {url.partition(":")[0] for url in fetched} <= {"file", "data"}
    assert [url for url in fetched if url.startswith("file:")] == [page.as_uri()]
