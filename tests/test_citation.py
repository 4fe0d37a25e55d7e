"""CITATION.cff: of the form that is published, and of the same facts as the package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
CITATION = TOP / "CITATION.cff"


def check(path: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("check_jsonschema")
    form = ("--builtin-schema", "vendor.citation-file-format")
    command = [sys.executable, "-W", "ignore", "-m", "check_jsonschema", *form, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_has_the_form_that_is_published():
    done = check(CITATION)
    assert done.returncode == 0, done.stdout


def test_a_wrong_form_is_seen(tmp_path):
    wrong = tmp_path / "CITATION.cff"
    wrong.write_text(CITATION.read_text(encoding="utf-8").replace("authors:", "writers:", 1))
    assert check(wrong).returncode == 1


def test_it_says_what_the_package_says():
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = CITATION.read_text(encoding="utf-8")
    told = dict(re.findall(r"^([a-z]+): (.+)$", text, re.MULTILINE))
    assert told["title"] == project["name"]
    assert told["version"] == project["version"]
    assert told["license"] == project["license"]
    assert f"- name: {project['authors'][0]['name']}\n" in text
    assert project["description"] in text
    assert project["urls"]["Paper"] in text
