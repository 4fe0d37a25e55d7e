"""The page in a real browser, against a real server of the model that ships.

Skipped where there is no Chromium or no playwright, failing instead where
SGN_RT_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sgn_rt.separator import Separator
from tests.browser import chromium

from ..server.conftest import Running
from ..server.tools import PATIENCE_S

FLAGS = (
    "--use-fake-device-for-media-stream",  # a microphone that beeps, lent without asking
    "--use-fake-ui-for-media-stream",
)

EARS = """
const connect = AudioNode.prototype.connect;
const ears = [];
const heard = new Float32Array(16384);
AudioNode.prototype.connect = function (target, ...rest) {
  if (target === this.context.destination) {
    const ear = new AnalyserNode(this.context, { fftSize: heard.length });
    connect.call(this, ear);
    ears.push(ear);
  }
  return connect.call(this, target, ...rest);
};
function listen() {
  const living = ears.filter((ear) => ear.context.state !== "closed");
  document.documentElement.dataset.heard = living.map((ear) => {
    ear.getFloatTimeDomainData(heard);
    return heard.some((sample) => Math.abs(sample) > 1e-4) ? "#" : "-";
  }).join("");
  requestAnimationFrame(listen);
}
addEventListener("DOMContentLoaded", listen);
"""
"""Listens to all that goes to the loudspeakers: one sign for each source in ``data-heard`` of the
document, ``#`` for one that sounded within the last third of a second."""


@pytest.fixture(scope="module")  # while it is there, the thread has a loop, and can run no other
def browser() -> Iterator[Any]:
    """Chromium."""
    with chromium(*FLAGS) as opened:
        yield opened


@pytest.fixture(scope="session")
def serving(tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Starts servers of one separator; gives their addresses."""
    started: list[Running] = []
    spool = tmp_path_factory.mktemp("spool")
    separator = Separator.open()

    def start(**options: Any) -> str:
        started.append(Running(lambda: separator, spool=spool, **options))
        assert started[-1].server.backend.wait(PATIENCE_S)
        return started[-1].url

    yield start
    for each in started:
        each.end()
        each.join()
    separator.close()


@pytest.fixture(scope="session")
def url(serving) -> str:
    return serving()


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Any]]:
    """Opens the page of a server; what its console has said by the end of the test is no error."""
    from playwright.sync_api import expect

    expect.set_options(timeout=1000 * PATIENCE_S)
    contexts: list[Any] = []
    said: list[str] = []

    def open_page(url: str, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * PATIENCE_S)
        page.add_init_script(EARS)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"uncaught: {error}"))
        page.said = said
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
