"""Hints name a command that works: packages by their own names, as this one is on no index."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import sgn_rt
from sgn_rt._optional import pip_command, require
from sgn_rt.errors import DependencyError

PACKAGES = Path(sgn_rt.__file__).parent
EXTRAS = sorted(set(metadata.metadata("sgn-rt").get_all("Provides-Extra")) - {"test", "dev"})


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_command_installs_what_the_extra_would(extra):
    command = pip_command(extra)
    assert re.fullmatch(r'pip install( "[^"]+")+', command)
    named = [Requirement(text) for text in re.findall(r'"([^"]+)"', command)]
    wanted = []
    for line in metadata.requires("sgn-rt"):
        requirement = Requirement(line)
        if requirement.marker and requirement.marker.evaluate({"extra": extra}):
            requirement.marker = None
            wanted.append(requirement)
    assert named == wanted != []
    assert "sgn-rt" not in {requirement.name for requirement in named}


def test_a_source_tree_that_is_not_installed_installs_its_extra(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert pip_command("cpu") == 'pip install ".[cpu]" in the folder of the sources of sgn-rt'


def test_a_package_that_does_not_load_is_told_like_a_missing_one(monkeypatch, fails):
    def broken(name):
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr("importlib.import_module", broken)
    with fails(DependencyError, "'torch'", "libcudart.so.12", 'pip install "torch>='):
        require("torch", extra="export", purpose="engine: the torch engine")


def test_every_extra_that_is_asked_for_is_there():
    asked = set()
    for folder in (PACKAGES, *map(Path, _folders("sgn_rt.export", "sgn_rt.benchmarks"))):
        for path in folder.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            asked |= set(re.findall(r"""(?:extra=|pip_command\()["']([\w-]+)["']""", text))
            assert "pip install 'sgn-rt[" not in text, path
            assert 'pip install "sgn-rt[' not in text, path
    # As the sources have it: an editable install may be older than an extra.
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert {"cpu", "gpu", "export", "tensorrt", "plot"} <= asked
    assert asked <= set(project["optional-dependencies"])


def _folders(*packages: str) -> list[str]:
    from importlib.util import find_spec

    return [folder for name in packages for folder in find_spec(name).submodule_search_locations]
