"""What would be published: whole, described, and of use where nothing of the sources is."""

from __future__ import annotations

import os
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import soundfile

import sgn_rt
from tests.packaging.distributions import faults, in_wheel, run

pytest.importorskip("build")
pytest.importorskip("twine")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> tuple[Path, Path]:
    from tests.packaging.distributions import build

    return build(tmp_path_factory.mktemp("dist"), "--no-isolation")


def test_nothing_is_missing_and_nothing_too_much(distributions):
    assert faults(*distributions) == []


def test_what_is_missing_or_too_much_is_seen(distributions, tmp_path):
    sdist, wheel = distributions
    altered = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(altered, "w") as new:
        for name in old.namelist():
            if not name.endswith(("py.typed", "licenses/LICENSE")):
                new.writestr(name, old.read(name))
        new.writestr("tests/test_it.py", "")
        new.writestr("sgn_rt/gone.py", "")
    assert faults(sdist, altered) == [
        "wheel: no sgn_rt/py.typed",
        "wheel: sgn_rt/gone.py, which is no file of the package",
        "wheel: no licenses/LICENSE",
        "wheel: tests/test_it.py beside the package",
    ]


def test_the_metadata_says_what_a_registry_shows(distributions):
    _, others = in_wheel(distributions[1])
    (text,) = (content for name, content in others.items() if name.endswith("/METADATA"))
    told = Parser().parsestr(text)
    assert (told["Name"], told["Version"]) == ("sgn-rt", sgn_rt.__version__)
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.11"
    assert told["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in told.get_all("Classifier")
    assert told.get_payload().startswith("# sgn-rt")


def test_it_separates_where_it_is_unpacked(distributions, tmp_path):
    """Its own copy, on packages that are there: `make wheels` does it in clean environments."""
    place, work = tmp_path / "installed", tmp_path / "work"
    work.mkdir()
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
        "--disable-pip-version-check", "--target", place, distributions[1], cwd=work)  # fmt: skip
    ours = {**os.environ, "PYTHONPATH": str(place)}
    asked = "import sgn_rt; print(sgn_rt.__file__)"
    assert run(sys.executable, "-c", asked, cwd=work, env=ours).startswith(str(place))
    mixture = place / "sgn_rt/data/music/003.mix.flac"
    command = (place / "bin/sgn-rt", "separate", mixture, "-o", "out", "--duration", "6")
    run(*command, cwd=work, env=ours)
    assert soundfile.info(work / "out/003.mix/tuba.wav").frames == 6 * 44100
