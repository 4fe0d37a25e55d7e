"""Names of files, from names that may be anything."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgn_rt.audio.file_names import LONGEST, distinct_names, safe_name

HOSTILE = {
    "..": "__",
    ".": "_",
    "": "_",
    ".hidden": "_hidden",
    "../../up": "_._.._up",
    "/etc/passwd": "_etc_passwd",
    "a:b": "a_b",
    "dots.": "dots_",
    "n\0l": "n_l",
    "\x1b]0;title\x07": "_]0;title_",
    "\x9b31m": "_31m",
    "left\u202eright": "left_right",
    "caf\udce9": "caf_",
    "con": "_con",
    "COM1.mix": "_COM1.mix",
    "child speech, kid": "child speech, kid",
    "Ragtime, 1ère prise (日本)": "Ragtime, 1ère prise (日本)",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_are_made_safe(name):
    assert safe_name(name) == HOSTILE[name]


@pytest.mark.parametrize("letter", ["x", "é", "日", "🎻"])
def test_long_names_fit(letter):
    for ending in ("", ".wav", "-12.flac"):
        name = safe_name(letter * 300, ending)
        assert LONGEST - 4 < len(name.encode()) <= LONGEST
        assert name.endswith(ending)
    names = distinct_names([letter * 300 + end for end in "abc"], ".wav")
    assert len(set(names.values())) == 3
    assert all(len(name.encode()) <= LONGEST for name in names.values())


def test_names_that_some_file_systems_take_for_one():
    decomposed = unicodedata.normalize("NFD", "é")
    names = distinct_names(["a:b", "A:B", "a_b", "é", decomposed], ".wav")
    assert list(names.values())[:4] == ["a_b.wav", "A_B-2.wav", "a_b-3.wav", "é.wav"]
    assert names[decomposed] == f"{decomposed}-2.wav"


@given(st.lists(st.text(), unique=True, max_size=8))
def test_any_names_are_distinct_files_of_one_folder(names):
    made = distinct_names(names, ".wav")
    assert list(made) == names
    assert len({name.casefold() for name in made.values()}) == len(names)
    for name in made.values():
        assert os.path.basename(name) == name
        assert not name.startswith(".")
        assert name.isprintable()
        assert len(name.encode()) <= LONGEST
