"""What a visitor does: drop a file, listen, choose, save; go live; be told what is wrong."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
import soundfile

from sgn_rt.audio.labelled_music import shipped_music
from sgn_rt.separator import Separator

MIX = shipped_music() / "003.mix.flac"
LIVE_S = 3
TOKEN = "a-token-of-many-letters"

DROPPED = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  return data;
}"""


def expect(locator):
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(locator)


def drop(page, target, name, content):
    expect(page.locator(target)).to_be_visible()
    data = page.evaluate_handle(DROPPED, [name, base64.b64encode(content).decode()])
    page.dispatch_event(target, "drop", {"dataTransfer": data})


def names(page, rows):
    return page.locator(f"{rows} .name").all_inner_texts()


def expect_heard(page, signs):
    expect(page.locator("html")).to_have_attribute("data-heard", signs)


def choose(page, category):
    page.locator("#chips").get_by_text(category, exact=True).click()


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


@pytest.fixture(scope="session")
def excerpt(tmp_path_factory):
    """A few seconds, to go live with."""
    samples, rate = soundfile.read(MIX, frames=LIVE_S * soundfile.info(MIX).samplerate)
    path = tmp_path_factory.mktemp("excerpt") / "excerpt.wav"
    soundfile.write(path, samples, rate)
    return path


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    with Separator.open() as separator:
        return separator.separate_to(MIX, tmp_path_factory.mktemp("expected"), format="flac")


def test_a_dropped_file_becomes_stems_that_play_and_are_saved(visit, url, expected, tmp_path):
    page = visit(url)
    drop(page, "#drop", MIX.name, MIX.read_bytes())
    expect(page.locator("#panel-file")).to_have_attribute("data-state", "ready")
    assert names(page, "#stems") == list(expected.stems)
    presence = [f"presence {100 * expected.presence[stem]:.0f} %" for stem in expected.stems]
    assert page.locator("#stems .quiet").all_inner_texts() == presence
    page.screenshot(path=tmp_path / "stems.png", full_page=True)

    button(page, "Play").click()
    expect(page.locator("#clock")).to_have_text(re.compile(r"^0:0[1-9] / 0:14$"))
    expect_heard(page, "##")
    button(page, "Mute tuba").click()
    expect_heard(page, "#-")
    button(page, "Solo tuba").click()  # what is muted stays so
    expect_heard(page, "--")
    button(page, "Mute tuba").click()
    expect_heard(page, "-#")
    button(page, "Solo tuba").click()
    expect_heard(page, "##")
    page.locator("#seek").press("End")
    expect(page.locator("#clock")).to_have_text("0:14 / 0:14")
    expect(button(page, "Play")).to_be_visible()  # it does not begin anew by itself
    page.locator("#stems canvas").first.click()  # its middle
    expect(page.locator("#clock")).to_have_text("0:07 / 0:14")

    for stem, path in expected.stems.items():
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Save {stem}").click()
        assert download.value.suggested_filename == path.name
        saved, ours = (soundfile.read(each)[0] for each in (download.value.path(), path))
        np.testing.assert_array_equal(saved, ours)


def test_what_is_chosen_is_what_comes(visit, url):
    page = visit(url)
    page.set_input_files("#file", MIX)
    expect(page.locator("#stems li")).to_have_count(2)
    choose(page, "violin")
    choose(page, "acoustic guitar")
    page.get_by_label("also what is left over").check()
    page.locator("#format").select_option("wav")
    button(page, "Separate again").click()
    expect(page.locator("#stems li")).to_have_count(3)
    assert names(page, "#stems") == ["acoustic guitar", "violin", "residual"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Save residual").click()
    assert soundfile.info(download.value.path()).subtype == "FLOAT"


def test_what_is_wrong_is_told_in_words(visit, url):
    page = visit(url)
    alert = page.get_by_role("alert")
    drop(page, "#drop", "broken.wav", b"no sound at all")
    expect(alert).to_contain_text("broken.wav: got a file that does not read as audio")
    assert page.said == [
        "error: Failed to load resource: the server responded with a status of 400 (Bad Request)"
    ]
    page.route("**/separate*", lambda route: route.abort())
    drop(page, "#drop", MIX.name, b"")
    expect(alert).to_contain_text("The server does not answer")
    page.unroute("**/separate*")
    page.get_by_role("tab", name="Live").click()
    expect(alert).to_be_hidden()
    page.set_input_files("#live-file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"no"})
    expect(alert).to_contain_text("a.wav cannot be read")
    page.get_by_role("tab", name="A recording").click()
    drop(page, "#drop", MIX.name, MIX.read_bytes())  # and goes on
    expect(page.locator("#stems li")).to_have_count(2)
    page.said.clear()  # the browser's own word on the two answers above


def test_a_file_that_is_no_longer_wanted(visit, url):
    page = visit(url)
    held = []
    page.route("**/separate*", lambda route: held.append(route))
    page.set_input_files("#file", MIX)
    button(page, "Cancel").click()
    expect(page.locator("#panel-file")).to_have_attribute("data-state", "idle")
    expect(page.get_by_role("alert")).to_be_hidden()
    assert len(held) == 1


def test_live_stems_sound_as_they_come(visit, url, excerpt, tmp_path):
    page = visit(url)
    page.get_by_role("tab", name="A recording").press("ArrowRight")
    choose(page, "tuba")
    choose(page, "piano")
    drop(page, "#live-drop", excerpt.name, excerpt.read_bytes())
    expect(page.locator("#live-doing")).to_contain_text("excerpt.wav, 1.0 s later")
    assert names(page, "#strips") == ["piano", "tuba"]
    expect(page.locator("#events li").first).to_contain_text(re.compile(r"appeared \(\d+ %\)"))
    expect_heard(page, "##")
    expect(page.locator("#strips .level > div").first).not_to_have_css("transform", "none")
    button(page, "Mute piano").click()
    expect_heard(page, "-#")
    page.screenshot(path=tmp_path / "live.png", full_page=True)
    expect(page.locator("#live-doing")).to_have_text("excerpt.wav is over.")
    expect(page.locator("#live-clock")).to_have_text(f"0:0{LIVE_S}")  # to the last of it


def test_a_microphone_and_a_token(visit, serving):
    page = visit(serving(token=TOKEN))
    page.get_by_label("This server wants its token").fill("a-wrong-one")
    button(page, "Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("Authorization")
    page.get_by_label("This server wants its token").fill(TOKEN)
    button(page, "Go on").click()
    page.get_by_role("tab", name="Live").click()
    choose(page, "xylophone")
    page.get_by_label("Delay").select_option("0.5 s")
    page.locator("#microphone").click()
    expect(page.locator("#live-clock")).to_have_text(re.compile("0:0[1-9]"))
    button(page, "Stop").click()
    expect(page.locator("#live-doing")).to_have_text("Microphone is over.")
    page.said.clear()  # the browser's own word on the two refusals


def test_a_telephone_shows_all_of_it(visit, url):
    page = visit(url, viewport={"width": 360, "height": 700})
    page.set_input_files("#file", MIX)
    expect(page.locator("#stems li")).to_have_count(2)
    widths = "() => [document.documentElement.scrollWidth, innerWidth]"
    shown, there = page.evaluate(widths)
    assert shown <= there
    page.get_by_role("tab", name="Live").click()
    shown, there = page.evaluate(widths)
    assert shown <= there


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(visit, url, excerpt, scheme):
    """By the rules of axe: names, roles, contrast and more, in every state of the page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(url, color_scheme=scheme)

    def look(state):
        found = axe.run(page)
        assert found.violations_count == 0, f"{state}: {found.generate_report()}"

    expect(page.locator("#work")).to_be_visible()
    look("begin")
    page.set_input_files("#file", excerpt)
    expect(page.locator("#panel-file")).to_have_attribute("data-state", "ready")
    page.locator("#stems button").last.click()
    look("stems, one of them muted")
    choose(page, "tuba")
    page.get_by_role("tab", name="Live").click()
    page.set_input_files("#live-file", excerpt)
    expect(page.locator("#events li").first).to_be_visible()
    look("live")
    page.set_input_files("#live-file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"no"})
    expect(page.get_by_role("alert")).to_be_visible()
    look("a problem")


def test_the_page_needs_nothing_from_elsewhere(visit, url):
    asked = []
    page = visit(url)
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.set_input_files("#file", MIX)
    expect(page.locator("#stems li")).to_have_count(2)
    assert len(asked) > 5
    assert all(each.startswith((url, "blob:")) for each in asked), json.dumps(asked)
