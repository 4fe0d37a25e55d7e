"""Of every public name the reference says what a caller has to know."""

from __future__ import annotations

import importlib
import re
import runpy
from pathlib import Path

import pytest

import sgn_rt

griffe = pytest.importorskip("griffe", reason="the reference is made with the extra docs")
from tests.site.docstrings import Reader  # noqa: E402

TOP = Path(__file__).parents[2]
REFERENCE = runpy.run_path(str(TOP / "docs/site/reference.py"))
PUBLIC = REFERENCE["PUBLIC"]
NAMES = [name for names in PUBLIC.values() for name in names]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(NAMES)


def test_nothing_is_promised_twice_and_everything_that_is_exported_is():
    assert len(set(NAMES)) == len(NAMES)
    tails = {name.rpartition(".")[2] for name in NAMES}
    assert set(sgn_rt.__all__) - {"__version__"} <= tails
    for package in ("sgn_rt.serving.client", "sgn_rt.reference"):
        exported = importlib.import_module(package).__all__
        assert {f"{package}.{name}" for name in exported} - {"sgn_rt.reference.PAPER"} <= set(NAMES)


def test_the_page_names_what_the_reference_has():
    page = (TOP / "docs/python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(sgn_rt\.[\w.]+)`", page))
    assert named <= set(NAMES)
    assert len(named) > 20


def test_docstrings_hold_parameters_shapes_units_and_errors(reader):
    assert reader.complaints() == []


SAMPLE = '''
def scaled(samples: Float, gain_db: float, other: int) -> Float:
    """Samples as loud as they should be."""
    if not other:
        raise ConfigError("no")


def told(samples: Float, gain_db: float) -> Float:
    """Samples, shape = (S, N), louder by ``gain_db`` dB.

    Raises
    ------
    SgnError
        For none.
    """
    raise ConfigError("no")


def referring(samples: Float, gain_db: float) -> Float:
    """As `told`."""


def further(samples: Float, other: int) -> None:
    """As `told`."""


def bare(): ...
'''


def test_what_is_missing_is_seen():
    with griffe.temporary_visited_module(SAMPLE) as module:
        reader = Reader(())
        reader.by_tail = {"told": module["told"]}
        found = {name: list(reader.missing(module[name])) for name in module.members}
    assert found == {
        "scaled": [
            "nothing of gain_db",
            "nothing of other",
            "it gives Float, and no shape",
            "it raises ConfigError, and does not say so",
        ],
        "told": [],
        "referring": [],
        "further": ["nothing of other"],
        "bare": ["no docstring"],
    }


def test_the_site_has_each_of_them_with_its_source(site):
    for group, names in PUBLIC.items():
        page = site.page(REFERENCE["page_of"](group).replace(".md", ".html"))
        places = sorted((page.ids[name], name) for name in names)
        ends = [place for place, _ in places[1:]] + [len(page.parts)]
        for (start, name), end in zip(places, ends, strict=True):
            assert "Source code in" in "".join(page.parts[start:end]), name
