"""Folders of many recordings: no two alike, and the same whatever the order."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgn_rt.serving.folders.names import FolderRule, Named

E = "é"  # one letter; two in the other composition


def folders(*keys):
    named = [Named(key) for key in keys]
    rule = FolderRule(named)
    return [rule.of(each) for each in named]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["a.wav"], ["a"]),
        (["x/y/a.b.wav", "z"], ["x/y/a.b", "z"]),
        (["a.wav", "a.mp3", "b.wav"], ["a.wav", "a.mp3", "b"]),
        (["x/a.wav", "y/a.wav"], ["x/a", "y/a"]),
        (["a.wav", "a/b.wav"], ["a.wav", "a/b"]),
        (["a.wav", "A.mp3"], ["a.wav", "A.mp3"]),
        (["../a.wav", "/x/b.wav"], ["a", "x/b"]),
        ([f"{E}.wav", unicodedata.normalize("NFD", E) + ".ogg"],
         [f"{E}.wav", unicodedata.normalize("NFD", E) + ".ogg"]),
    ],
)  # fmt: skip
def test_the_rule(keys, expected):
    assert folders(*keys) == expected


@pytest.mark.parametrize(
    "keys",
    [
        ["a.wav", "A.wav"],
        ["x/a.wav", "X/a.wav"],
        [f"{E}.wav", unicodedata.normalize("NFD", E) + ".wav"],
        ["a?.wav", "a*.wav"],
        ["a.wav", "a.mp3", "a.wav.ogg"],
        ["a.wav", "a/b.wav", "a.wav/c.wav"],
        ["a", "a.wav"],
        ["x" * 300 + ".wav", "x" * 301 + ".wav"],
    ],
)
def test_what_is_alike_with_its_ending_has_a_digest(keys):
    made = folders(*keys)
    assert any("-" in folder[-13:-12] for folder in made)
    assert len({_as_file_systems_see(folder) for folder in made}) == len(made)
    assert folders(*keys[::-1]) == made[::-1]


def _as_file_systems_see(folder):
    return unicodedata.normalize("NFC", folder).casefold()


_LETTERS = st.sampled_from(
    ["a", "A", E, "E\u0301", "e\u0301", ".", "/", "?", "wav", ".wav", ".mp3"]
)


@given(st.sets(st.lists(_LETTERS, min_size=1, max_size=6).map("".join), max_size=12), st.randoms())
def test_no_two_are_alike_nor_inside_of_another(keys, random):
    keys = {str(PurePosixPath(key)) for key in keys} - {"/", ".", ".."}
    shuffled = sorted(keys)
    made = dict(zip(shuffled, folders(*shuffled), strict=True))
    random.shuffle(shuffled)
    assert dict(zip(shuffled, folders(*shuffled), strict=True)) == made
    seen = {_as_file_systems_see(folder) for folder in made.values()}
    assert len(seen) == len(keys)
    for folder in seen:
        assert not folder.startswith((".", "/"))
        assert not seen & {str(parent) for parent in PurePosixPath(folder).parents}


def test_a_folder_of_choice_is_kept_and_the_rule_gives_way():
    chosen, other = Named("b.wav", "a"), Named("a.wav")
    rule = FolderRule([chosen, other])
    assert (rule.of(chosen), rule.of(other)) == ("a", "a.wav")
