"""The published schema: what it takes, what it refuses, and that it says what the classes say."""

from __future__ import annotations

import copy
import dataclasses
import json
import typing

import jsonschema
import pytest

from sgn_rt.benchmarks import result as classes
from sgn_rt.benchmarks.report import files
from sgn_rt.benchmarks.report.files import problem, read_result, schema, told_and_checked
from sgn_rt.errors import ConfigError, DependencyError

ADDED = {"passes"}
"""Fields that files of the same schema may lack, as they were written before."""


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("kind", ["Row", "Figure", "Ratio", "Limits", "Result"])
def test_it_names_the_fields_of_the_classes(kind):
    part = schema() if kind == "Result" else schema()["$defs"][kind.lower()]
    names = {field.name for field in dataclasses.fields(getattr(classes, kind))}
    names |= {"schema"} if kind == "Result" else set()
    assert set(part["properties"]) == names
    assert set(part["required"]) == names - ADDED
    assert part["additionalProperties"] is False


def test_its_words_are_those_of_the_classes():
    found = schema()["$defs"]
    assert found["network"]["enum"] == [*typing.get_args(classes.Network)]
    assert found["figure"]["properties"]["better"]["enum"] == [*typing.get_args(classes.Better)]
    kinds = typing.get_args(typing.get_type_hints(classes.Row)["kind"])
    assert found["row"]["properties"]["kind"]["enum"] == [*kinds]
    assert schema()["properties"]["schema"]["const"] == classes.SCHEMA


def test_a_result_is_what_it_was(result, tmp_path):
    told, wrong = told_and_checked(result)
    assert wrong is None
    path = tmp_path / "run.json"
    path.write_text(json.dumps(told, allow_nan=False))
    again = read_result(path)
    assert again.to_dict() == result.to_dict()
    assert again.figures[0] == result.figures[0]


def test_a_file_of_before_there_were_passes_is_of_one(result, tmp_path):
    told = result.to_dict()
    for figure in told["figures"]:
        del figure["passes"]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(told))
    assert {figure.passes for figure in read_result(path).figures} == {1}


def break_at(place, value):
    def change(told):
        at = told
        for key in place[:-1]:
            at = at[key]
        if value is None:
            del at[place[-1]]
        else:
            at[place[-1]] = value

    return change


BROKEN = {
    "no figures": break_at(["figures"], None),
    "more": break_at(["more"], 1),
    "no interval": break_at(["figures", 0, "interval"], None),
    "half an interval": break_at(["figures", 0, "interval"], [1.0]),
    "a text for a value": break_at(["figures", 0, "value"], "fast"),
    "more of a figure": break_at(["figures", 0, "typo"], 1),
    "neither better": break_at(["figures", 0, "better"], "faster"),
    "a percentile of nothing": break_at(["figures", 0, "percentiles"], {"q1": 0.1}),
    "another network": break_at(["rows", 0, "network"], "other"),
    "another kind": break_at(["rows", 0, "kind"], "reference"),
    "a hash": break_at(["model", "sha256"], "0123"),
    "no processor": break_at(["machine", "cpu"], None),
    "local time": break_at(["made"], "2026-11-29T08:00:00+02:00"),
    "a share": break_at(["limits", 0, "shares", "dsp"], 25),
    "no need": break_at(["limits", 0, "roofline", "memory", "need_s"], None),
    "a ratio of nothing": break_at(["ratios", 0, "value"], 0),
    "a figure twice": lambda told: told["figures"].append(told["figures"][0]),
    "no value and no failure": lambda told: told["figures"][-1].update(failure=None),
    "absent for no reason": lambda told: told["rows"][-1].update(failure=None),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused_with_its_place(result, tmp_path, change):
    told = copy.deepcopy(result.to_dict())
    assert problem(told) is None
    change(told)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=r"expected a file of `sgn-rt bench --json`") as refused:
        read_result(path)
    assert str(path) in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"3", b'{"schema": true}'])
def test_what_is_no_result_at_all(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.json: got "):
        read_result(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_result(tmp_path / "nonesuch.json")


def test_a_file_of_another_version(result, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(result.to_dict() | {"schema": 1}))
    with pytest.raises(ConfigError, match="got schema 1, expected 2"):
        read_result(path)


def test_to_read_needs_the_package_and_to_write_does_not(result, tmp_path, monkeypatch):
    def missing(module, **more):
        raise DependencyError(f"{module}: pip install it")

    monkeypatch.setattr(files, "require", missing)
    assert told_and_checked(result)[1] is None
    path = tmp_path / "run.json"
    path.write_text(json.dumps(result.to_dict()))
    with pytest.raises(DependencyError, match="pip install"):
        read_result(path)
