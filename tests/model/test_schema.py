"""`bundle.json` and its JSON schema say the same."""

from __future__ import annotations

import json

import jsonschema
import pytest

from sgn_rt.cli import main
from sgn_rt.errors import BundleError
from sgn_rt.model.bundle import Bundle
from sgn_rt.model.config import ModelConfig
from sgn_rt.model.contract import BUNDLE_SCHEMAS, Kind, Precision
from sgn_rt.model.schema import SCHEMA_FILE, check_schema
from sgn_rt.model.sgn_config import SgnConfig

SCHEMA = json.loads(SCHEMA_FILE.read_text())
DEFS = SCHEMA["$defs"]


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_bundle_that_ships_is_valid():
    check_schema(Bundle.open(None))


def test_it_names_what_the_contract_names():
    assert SCHEMA["properties"]["schema"]["enum"] == list(BUNDLE_SCHEMAS)
    artifact = DEFS["artifact"]["properties"]
    assert artifact["kind"]["enum"] == list(Kind)
    assert artifact["precision"]["enum"] == list(Precision)
    for name, config in (("sgn", SgnConfig), ("module", ModelConfig)):
        assert DEFS[name]["properties"].keys() == {"format", *config.keys()}
        assert DEFS[name]["properties"]["format"]["const"] == config.FORMAT


WRONG = {
    "a kind that is none": (lambda m: m["artifacts"][0].update(kind="heart"), "heart"),
    "a size of text": (lambda m: m["config"].update(n_fft="254"), "254"),
    "no categories": (lambda m: m["config"].pop("categories"), "categories"),
    "an unknown key": (lambda m: m["config"].update(dropout=0.1), "dropout"),
    "a digest of capitals": (lambda m: m["files"]["probe.npz"].update(sha256="A" * 64), "AAA"),
    "parity without unit": (lambda m: m["artifacts"][0].update(parity={"whole": {"figure": 1}}),
                            "unit"),
    "a name that is none": (lambda m: m.update(name=None), "null"),
    "a path that leaves": (lambda m: m["artifacts"][0].update(inputs=[{"name": "x"}]), "dtype"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_as_it_says_is_named(bundle_folder, fails, name):
    change, part = WRONG[name]
    opened = Bundle.open(bundle_folder)
    path = bundle_folder / "bundle.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with fails(BundleError, "bundle.json", "bundle.schema.json", part):
        check_schema(opened)


@pytest.mark.parametrize("change", [{"mask": "soft"}, {"log_epsilon": 0.1}, {"input": "power"}])
def test_a_network_of_a_users_own(change):
    values = ModelConfig(
        sample_rate=8000, n_fft=64, hop_length=16, window_samples=160, frequency_bins=33,
        frames=11, categories=("a", "b"),
    ).to_dict()  # fmt: skip
    checker = jsonschema.Draft202012Validator(DEFS["module"] | {"$defs": DEFS})
    assert checker.is_valid(values)
    assert not checker.is_valid(values | change)


def test_info_checks_it(bundle_folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sgn-rt", "info", str(bundle_folder), "--check"])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    assert "manifest valid" in capsys.readouterr().out
