"""``sgn-rt parity`` on music, against others, between bundles; its page, and annotations."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sgn_rt.cli.parity_actions import commands
from sgn_rt.cli.parity_report import Comparison, ParityReport
from sgn_rt.model.bundle import embedded
from sgn_rt.model.contract import Precision
from sgn_rt.model.stages import LIMITS, Limit, Stage

CORE = "onnxruntime:core.fp32"


@pytest.fixture
def music(tmp_path, clip):
    """A recording of two seconds, and a file that is none."""
    folder = tmp_path / "music"
    folder.mkdir()
    shutil.move(clip, folder / "clip.wav")
    (folder / "README.md").write_text("none")
    return folder


@pytest.fixture
def strict(monkeypatch):
    """A limit that nothing holds."""
    limit = Limit(value=300.0, unit="dB", at_least=True)
    monkeypatch.setitem(LIMITS[Stage.WHOLE], Precision.FP32, limit)


def test_recordings_without_stems_are_compared_with_pytorch(run, music, tmp_path):
    pytest.importorskip("torch")
    page, markdown = tmp_path / "page.html", tmp_path / "p.md"
    result = run("parity", "--music", music, "--json", "-", "--html", page, "--markdown", markdown)
    assert result.code == 0, result.err
    engine = json.loads(result.out)["engines"][CORE]
    assert set(engine["stages"]) == set(map(str, Stage)) - {"quality", "assignment"}
    assert engine["worst"]["whole"] == {
        "file": "clip.wav", "second": 0.0, "category": engine["worst"]["whole"]["category"],
    }  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") >= 1
    assert not re.search(r"(src|href)=.(?!data:)", text)  # nothing from elsewhere
    assert "clip.wav at 0.00 s" in text
    assert "| whole |" in markdown.read_text(encoding="utf-8")


def test_against_another_engine(run):
    result = run("parity", "--engine", CORE, "--against", "onnxruntime", "--json", "-")
    assert result.code == 0
    written = json.loads(result.out)
    assert written["against"] == "onnxruntime"
    assert written["engines"][CORE]["stages"]["network"]["figure"] == 0.0
    assert "quality" in written["engines"][CORE]["stages"]  # the probe's stems


def test_against_a_checkpoint_that_is_another_model(run, tmp_path, small_config):
    pytest.importorskip("torch")
    from sgn_rt.reference import random_model, save_checkpoint

    model = random_model(small_config(), 0)
    other = tmp_path / "other.safetensors"
    save_checkpoint(model, model.config, other)
    result = run("parity", "--against", other)
    assert result.code == 2
    assert f"{other}: got sample_rate 8000 for 11025" in result.err


def test_two_bundles_differ_by_what_was_changed(run, tmp_path, edit_manifest):
    same = run("parity", "--bundle-diff", embedded(), embedded(), "--json", "-")
    assert same.code == 0
    assert json.loads(same.out)["changes"] == {}
    old = Path(shutil.copytree(embedded(), tmp_path / "old"))
    edit_manifest(old, lambda manifest: manifest.update(artifacts=[]))
    shown, page = tmp_path / "p.json", tmp_path / "p.md"
    result = run("parity", "--bundle-diff", old, embedded(), "--json", shown, "--markdown", page)
    assert result.code == 0, result.err  # the answers are the same
    written = json.loads(shown.read_text())
    assert written["changes"] == {"graphs": ["none", "core.fp32, masks.fp32"]}
    assert written["against"] == str(old)
    assert "graphs: none before, core.fp32, masks.fp32 now" in result.out
    assert "- graphs: none before" in page.read_text()


def test_two_bundles_with_other_windows_are_not_compared(run, tmp_path, bundle_folder):
    result = run("parity", "--bundle-diff", bundle_folder, embedded())
    assert result.code == 2
    assert "expected the same model" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layers", "--music", "x"), "--layers: got it with"),
        (("bundle", "--bundle-diff", "a", "b"), "--bundle-diff: got a bundle beside it"),
        (("--music", "nowhere"), "nowhere: got no mixture"),
    ],
)
def test_what_does_not_go_together(run, options, message):
    result = run("parity", *options)
    assert result.code == 2
    assert message in result.err


def test_a_failure_is_an_annotation_and_the_step_has_a_summary(run, strict, monkeypatch, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result = run("parity", "--json", "-")
    assert result.code == 1
    json.loads(result.out)  # not a word between
    found = [line for line in result.err.splitlines() if line.startswith("::error")]
    assert len(found) == 1
    title = "::error title=parity%3A onnxruntime%3Acore.fp32%2C whole::whole: "
    assert found[0].startswith(title)
    text = summary.read_text()
    assert text.startswith("before\n### Parity of sgn-instruments: Something does not hold.")
    assert "**FAILED**" in text


def test_elsewhere_there_are_none(run, strict, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    result = run("parity")
    assert result.code == 1
    assert "::error" not in result.out + result.err


def test_what_an_error_says_is_no_command():
    report = ParityReport("b", None, None)
    report.error = None
    report.comparisons.append(Comparison(engine="a,b", error="50 %\n::set-env name=X::y\r"))
    assert list(commands(report)) == [
        "::error title=parity%3A a%2Cb::50 %25%0A::set-env name=X::y%0D"
    ]


def test_names_are_no_markup(run, tmp_path, clip):
    pytest.importorskip("torch")
    folder = tmp_path / "music"
    folder.mkdir()
    samples, rate = soundfile.read(clip, dtype="float32")
    soundfile.write(folder / "<b>|x.wav", np.asarray(samples), rate, subtype="FLOAT")
    page, markdown = tmp_path / "page.html", tmp_path / "p.md"
    run("parity", "--music", folder, "--html", page, "--markdown", markdown)
    assert "<b>|x" not in page.read_text(encoding="utf-8")
    assert "&lt;b&gt;|x.wav" in page.read_text(encoding="utf-8")
    assert r"\<b\>\|x.wav" in markdown.read_text(encoding="utf-8")
