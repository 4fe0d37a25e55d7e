"""`examples/web` in Chromium: a dropped clip becomes Python's stems, on a host and from a file."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.model.contract import Precision
from sgn_rt.model.stages import Stage, limit_for
from tests.browser import chromium

WEB = Path(__file__).parents[2] / "examples" / "web"
PACKAGE = Path(sys.prefix) / "web" / "node_modules" / "onnxruntime-web"
PATIENCE_MS = 120_000
NAMES = ["piano", "tuba"]
LIMIT_DB = limit_for(Stage.WHOLE, Precision.FP32, 1e-3).value
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


@pytest.fixture(scope="module")
def site(waveform_bundle, missing_web, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, WEB / "build.py", waveform_bundle, PACKAGE, folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def missing_web() -> None:
    if not PACKAGE.is_dir():
        reason = f"no onnxruntime-web in {PACKAGE.parent}: see the Makefile"
        if os.environ.get("SGN_RT_REQUIRE_WEB") == "1":
            pytest.fail(f"{reason}, and SGN_RT_REQUIRE_WEB=1")
        pytest.skip(reason)


class Host(http.server.SimpleHTTPRequestHandler):
    """Files, and the headers that isolate a page."""

    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        for name, value in ISOLATED.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(site) -> Iterator[str]:
    handler = functools.partial(Host, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")  # while it is there, the thread has a loop, and can run no other
def browser() -> Iterator:
    with chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser) -> Iterator:
    """Opens an address; what the console has said by the end of the test is no error."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    said: list[str] = []
    context = browser.new_context(accept_downloads=True)

    def hear(message) -> None:
        if message.text != "No available adapters.":  # of WebGPU, which it was asked for
            said.append(f"{message.type}: {message.text}")

    def open_page(address: str):
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", hear)
        page.on("pageerror", lambda error: said.append(f"uncaught: {error}"))
        page.said = said
        page.goto(address)
        return page

    yield open_page
    context.close()
    assert said == []


def expect(locator):
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(locator)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def separate(page, clip: Path) -> None:
    expect(page.locator("#file")).to_be_enabled()
    for name in NAMES:
        page.locator("#chips").get_by_text(name, exact=True).click()
    page.set_input_files("#file", clip)
    expect(page.locator("#work")).to_have_attribute("data-state", "ready")


def expect_stems(page, expected: dict[str, np.ndarray], rate: int) -> None:
    """What is saved are Python's stems."""
    assert page.locator("#stems .name").all_inner_texts() == NAMES
    for name in NAMES:
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Save {name}").click()
        assert download.value.suggested_filename == f"{name}.wav"
        found, found_rate = soundfile.read(download.value.path(), always_2d=True)
        assert found_rate == rate
        assert found.T.shape == expected[name].shape
        difference = np.sum((found.T - expected[name]) ** 2)
        assert 10 * np.log10(np.sum(expected[name] ** 2.0) / difference) > LIMIT_DB


@pytest.fixture(scope="module")
def mono(clip, tmp_path_factory) -> Path:
    """A recording of one channel, as the browser computes one window after another."""
    samples, rate = soundfile.read(clip)
    path = tmp_path_factory.mktemp("mono") / "clip.wav"
    soundfile.write(path, samples[:, 0], rate, subtype="FLOAT")
    return path


def test_a_dropped_clip_becomes_the_stems_that_python_gives(visit, url, mono, stems_of, tmp_path):
    page = visit(url)
    separate(page, mono)
    expect_stems(page, stems_of(mono, NAMES), soundfile.info(mono).samplerate)
    expect(page.locator("#engine")).to_have_text(
        re.compile(r"Computed here, by WebAssembly, [2-8] threads\.")
    )
    page.screenshot(path=tmp_path / "stems.png", full_page=True)
    for canvas in page.locator("#stems canvas").all():  # something is drawn on each
        colours = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
        assert canvas.evaluate(colours) > 10

    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 360, "height": 700})  # a telephone shows all of it
    shown, there = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert shown <= there

    button(page, "Mute tuba").click()
    expect(page.locator("#stems li").nth(1)).to_have_class(re.compile("silent"))
    button(page, "Solo tuba").click()  # what is muted stays so
    expect(page.locator("#stems li").nth(0)).to_have_class(re.compile("silent"))
    button(page, "Mute tuba").click()
    expect(page.locator("#stems li").nth(1)).not_to_have_class(re.compile("silent"))
    button(page, "Play").click()
    expect(page.locator("#clock")).to_have_text(re.compile(r"^0:0[1-9] / 0:09$"))


def test_the_page_that_is_one_file_needs_no_host(visit, site, mono, stems_of):
    page = visit((site / "separate.html").as_uri())
    separate(page, mono)
    expect_stems(page, stems_of(mono, NAMES), soundfile.info(mono).samplerate)
    expect(page.locator("#engine")).to_contain_text("1 thread, as this page is not cross-origin")


def test_what_is_wrong_is_told_in_words(visit, site, tmp_path):
    page = visit((site / "index.html").as_uri())
    expect(page.get_by_role("alert")).to_contain_text("open the page that is one file")
    assert page.said
    page.said.clear()  # the browser's own word on files that it does not read


def test_a_file_that_is_no_sound_and_one_that_is_no_longer_wanted(visit, url, mono):
    page = visit(url)
    expect(page.locator("#file")).to_be_enabled()
    page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"no"})
    expect(page.get_by_role("alert")).to_contain_text("a.wav cannot be read")
    page.set_input_files("#file", mono)
    button(page, "Cancel").click()
    expect(page.locator("#work")).to_have_attribute("data-state", "idle")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_folder_with_files_in_it_is_not_built_into(waveform_bundle, tmp_path):
    (tmp_path / "mine.txt").touch()
    done = subprocess.run(
        [sys.executable, WEB / "build.py", waveform_bundle, PACKAGE, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "expected a new one" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
