"""Options that the commands share."""

from __future__ import annotations

import json

import pytest

from sgn_rt.model.bundle import embedded

CHECKPOINT = embedded() / "checkpoint.safetensors"


def test_categories_named_in_two_options_both_count(run, clip, tmp_path):
    result = run("separate", clip, "-o", tmp_path, "--categories", "tuba", "--categories",
                 "piano, cello", "--json", "-")  # fmt: skip
    assert result.code == 0
    assert list(json.loads(result.out)["stems"]) == ["tuba", "piano", "cello"]


@pytest.mark.parametrize("text", ["", " ", ","])
def test_an_option_without_a_name_is_an_error(run, clip, tmp_path, text):
    out = tmp_path / "out"
    for arguments in (
        ("separate", clip, "-o", out, "--categories", text),
        ("separate", clip, "-o", out, "--categories", "tuba", "--categories", text),
        ("export", CHECKPOINT, "-o", out, "--precision", text),
        ("export", CHECKPOINT, "-o", out, "--kind", text),
        ("build", embedded(), "--precision", text),
        ("build", embedded(), "--gpu", text),
    ):
        result = run(*arguments)
        option = next(a for a in reversed(arguments) if str(a).startswith("--"))
        assert result.code == 2
        assert f"{option}: got {text!r}, expected at least one name" in result.err
        assert result.err.count("\n") == 1
        assert not out.exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--precision", "fp16", "--precision", "fp16"), "--precision: got 'fp16' twice"),
        (("--precision", "fp8"), "--precision: got 'fp8', expected a list from fp32, fp16"),
        (("--kind", "core,corn"), "--kind: got 'corn', expected a list from core, masks, waveform"),
    ],
)
def test_members_are_looked_at_before_any_work(run, tmp_path, given, words):
    result = run("export", CHECKPOINT, "-o", tmp_path / "out", *given)
    assert result.code == 2
    assert words in result.err
    assert not (tmp_path / "out").exists()
