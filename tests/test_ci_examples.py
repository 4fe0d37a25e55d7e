"""What `examples/ci` promises: files of the right form, and an action whose script runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
CI = TOP / "examples" / "ci"
FORMS = {
    "action.yml": "vendor.github-actions",
    "github.yml": "vendor.github-workflows",
    "gitlab.yml": "vendor.gitlab-ci",
}


def check(path: Path, form: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-W", "ignore", "-m", "check_jsonschema", "--builtin-schema", form]
    if form == "vendor.gitlab-ci":
        command += ["--data-transform", "gitlab-ci"]
    return subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FORMS)
def test_examples_have_the_form_that_is_published(name):
    done = check(CI / name, FORMS[name])
    assert done.returncode == 0, done.stdout


def test_a_wrong_form_is_seen(tmp_path):
    wrong = tmp_path / "github.yml"
    wrong.write_text((CI / "github.yml").read_text().replace("runs-on:", "runs_on:"))
    assert check(wrong, FORMS["github.yml"]).returncode == 1


def test_every_example_is_checked():
    assert {path.name for path in CI.iterdir()} == set(FORMS)


def test_the_script_of_the_action_hands_on_what_it_is_given(tmp_path):
    """With a program in the place of sgn-rt, that tells what it was called with."""
    text = (CI / "action.yml").read_text(encoding="utf-8")
    script = "\n".join(line[8:] for line in text.partition("run: |\n")[2].splitlines())
    inputs = set(re.findall(r"\$\{\{ inputs\.(\w+) \}\}", text))
    assert inputs == {"bundle", "engines", "music", "package", "reports"}
    told = tmp_path / "sgn-rt"
    told.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    told.chmod(0o755)
    given = {
        "BUNDLE": "a bundle; touch harm", "ENGINES": "onnxruntime torch", "MUSIC": "",
        "REPORTS": str(tmp_path / "re ports"), "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=given, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    arguments = done.stdout.splitlines()
    assert arguments[:6] == [
        "parity", "a bundle; touch harm", "--engine", "onnxruntime", "--engine", "torch",
    ]  # fmt: skip
    assert "--music" not in arguments
    assert arguments[-1] == f"{tmp_path}/re ports/parity.html"
    assert not (tmp_path / "harm").exists()
