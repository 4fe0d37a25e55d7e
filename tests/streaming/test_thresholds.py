"""Thresholds in a file."""

from __future__ import annotations

import pytest

import sgn_rt
from sgn_rt.errors import ConfigError
from sgn_rt.streaming.presence import PresenceRule


def test_a_file_of_thresholds(tmp_path, config):
    (tmp_path / "t.json").write_text(f'{{"{config.categories[0]}": 0.25}}')
    found = sgn_rt.read_thresholds(tmp_path / "t.json")
    assert found == {config.categories[0]: 0.25}
    assert PresenceRule.of(config, found).thresholds[0] == 0.25


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a JSON object: category -> threshold"),
        ("[0.5]", r"got \[0.5\], expected"),
        ("{}", "got {}, expected"),
        ('{"cello": 1.5}', "got 1.5 for 'cello', expected"),
        ('{"cello": true}', "got True for 'cello', expected"),
        ('{"cello": NaN}', "got nan for 'cello', expected"),
        ('{"cello": "0.5"}', "got '0.5' for 'cello', expected"),
        ('{"cello": 0.5, "cello": 0.1}', "got a category twice, expected"),
        ("[" * 100_000, "expected a JSON object"),
        ("\xff", "expected a JSON object"),
    ],
)
def test_what_is_none(tmp_path, text, told):
    (tmp_path / "t.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=told):
        sgn_rt.read_thresholds(tmp_path / "t.json")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.json: got No such file or directory, expected"):
        sgn_rt.read_thresholds(tmp_path / "no.json")
