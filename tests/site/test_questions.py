"""Ten questions that a reader comes with: each is answered within two clicks from the start page.

They were written down before the navigation was built. The first click is a link of the start
page itself, not of the menu; the second a link of that page, or one of its headings.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tests.site.pages import Site


class Question(NamedTuple):
    """What is asked, the way to it by what the links are called, and what stands there."""

    asked: str
    first: str
    then: str
    answer: str


QUESTIONS = (
    Question(
        "I have a folder of recordings. What do I type, and what do I get?",
        "Many files",
        "How do I separate a folder, or a list of files?",
        r"sgn-rt separate takes -o many .* many/monday/mix/",
    ),
    Question(
        "What happens to a sound between coming in and going out?",
        "How it works",
        "What happens to a window?",
        r"as log-magnitude.* masks .*cross-faded",
    ),
    Question(
        "Can it run live, and how late is what comes out?",
        "Live streams",
        "",
        r"2\.0 0\.9 1\.0 2\.0 0\.5 4\.2",
    ),
    Question(
        "Will it run on my machine, and what if the GPU gives wrong numbers?",
        "Engines",
        "What happens when an engine fails?",
        r"replaced by the next one, from that very window on",
    ),
    Question(
        "How do I know that an exported model is right, and stop my CI where it is not?",
        "Parity",
        "In CI?",
        r"pytest --sgn-bundle",
    ),
    Question(
        "How much faster than PyTorch is it, and who says so?",
        "Benchmarks",
        "This machine",
        r"times as good as torch",
    ),
    Question(
        "How do I put my own training into it?",
        "Own checkpoints",
        "the bundle",
        r"checkpoint\.safetensors, probe\.npz",
    ),
    Question(
        "Which shapes, dtypes and errors has the call that I am about to write?",
        "Python interface",
        "sgn_rt.Separator",
        r"shape = \(channels, samples\) .* AudioError",
    ),
    Question(
        "May strangers upload files to a service that runs it?",
        "Security",
        "who may come",
        r"^Who may come\?.* token",
    ),
    Question(
        "What is it bad at?",
        "Limits",
        "What does the shipped model not do well?",
        r"register",
    ),
)


def test_there_are_ten():
    assert len({question.asked for question in QUESTIONS}) == 10


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.first)
def test_a_reader_is_there_within_two_clicks(site: Site, question: Question):
    start = site.page("index.html")
    page = site.follow(start, question.first)
    text = site.reach(page, question.then) if question.then else page.text
    assert re.search(question.answer, text), f"{question.asked}\n{text[:2000]}"


def test_a_wrong_way_is_seen(site: Site):
    start = site.page("index.html")
    with pytest.raises(LookupError, match="no link called 'Nowhere'"):
        site.follow(start, "Nowhere")
    with pytest.raises(LookupError, match="neither a link nor a heading"):
        site.reach(site.follow(start, "Parity"), "who may come")
